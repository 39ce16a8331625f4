"""Tells subscribers who sent an event: the sender's public claims, as ``sender.claims``."""

from dataclasses import replace

from shared.domain.processing import Context, Draft


def add_claims(draft: Draft, context: Context) -> Draft:
    """Add what the sender's token has in ``public``, if it has something there."""
    return replace(draft, claims=context.public_claims) if context.public_claims else draft
