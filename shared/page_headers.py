"""What pages are sent with, by the app and by CloudFront: what they may load, and who may put them into a frame."""

from typing import Final

# Two years. Not for subdomains, which may be somebody else's. Browsers mind it by HTTPS alone (RFC 6797, section 8.1).
HSTS_MAX_AGE_S: Final = 63_072_000
REFERRER_POLICY: Final = "no-referrer"
PERMISSIONS_POLICY: Final = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"
# For hosts that would guess what a file is: it is what it is said to be.
CONTENT_TYPE_OPTIONS: Final = "nosniff"


def content_security_policy(*hosts: str) -> str:
    """Return what a page may load: its own scripts, styles and pictures, nothing that is written into the page.

    Args:
        hosts: Origins that it connects to beside its own.
    """
    own = "'self'"
    directives = {
        "default-src": "'none'",
        "script-src": own,
        "style-src": own,
        "img-src": own,
        "connect-src": " ".join([own, *sorted(set(hosts))]),
        "base-uri": "'none'",
        "form-action": own,
        "frame-ancestors": "'none'",  # no other page puts it under buttons of its own
    }
    return "; ".join(f"{name} {value}" for name, value in directives.items())


def page_headers(*hosts: str) -> dict[str, str]:
    """Return all of them; ``hosts`` as above."""
    return {
        "Content-Security-Policy": content_security_policy(*hosts),
        "Permissions-Policy": PERMISSIONS_POLICY,
        "Referrer-Policy": REFERRER_POLICY,
        "Strict-Transport-Security": f"max-age={HSTS_MAX_AGE_S}",
        "X-Content-Type-Options": CONTENT_TYPE_OPTIONS,
    }
