"""What stands before a service that may fail, and may be called only so often."""

from dataclasses import dataclass

from shared.domain.breaker import CircuitBreaker
from shared.domain.rate import Pacer


@dataclass(frozen=True, slots=True)
class Gate:
    """Who calls takes a turn of the pacer, waits for it, asks the breaker, and tells it how the call went."""

    breaker: CircuitBreaker
    pacer: Pacer
