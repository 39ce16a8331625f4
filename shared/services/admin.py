"""What only an admin may do."""

from shared.domain.principal import Principal
from shared.errors import ForbiddenError


def check_admin(principal: Principal) -> None:
    """Check that somebody may do whatever there is to administer.

    Raises:
        ForbiddenError: They may not ``admin`` on ``*``.
    """
    if not principal.may("admin", "*"):
        raise ForbiddenError("this is for admins: it needs the capability admin on *")
