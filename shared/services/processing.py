"""The pipeline of processors: what every publication goes through before it is queued. Trusts none of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic_core import from_json

from shared.domain.principal import PUBLIC_CLAIMS_MAX_BYTES
from shared.domain.processing import Context, Draft, Processor
from shared.domain.publication import PRIORITIES
from shared.errors import BadFrameError, InternalError, RefusedError, TooLargeError
from shared.ports import Metrics
from shared.protocol.encode import to_json
from shared.protocol.limits import DATA_MAX_BYTES, EVENT_NAME_MAX_LENGTH

_REFUSAL_MAX_BYTES: Final = 8_000  # of the error object: replies have their limit too


class ProcessorFaultError(Exception):
    """A processor returned or raised what can't be used."""


@dataclass(frozen=True, slots=True)
class Processing:
    """An ordered list of processors.

    Attributes:
        on_failure: Is told the channel and what a processor should not have raised.
    """

    processors: Sequence[Processor]
    metrics: Metrics
    on_failure: Callable[[str, Exception], None]

    def run(self, draft: Draft, context: Context) -> Draft:
        """Return what is to be published: each processor is given what the one before it returned.

        Raises:
            RefusedError: A processor says no.
            TooLargeError: They have made more of the data than a publication holds.
            InternalError: A processor has failed.
        """
        if not self.processors:
            return draft
        # A copy: one body may be published in several channels, and a processor may change what it is given.
        draft = replace(draft, data=_copy(draft.data))
        try:
            for processor in self.processors:
                draft = processor(draft, context)
                if not isinstance(draft, Draft):
                    raise ProcessorFaultError("a processor returned no draft")
            return _checked(draft)
        except RefusedError as refusal:
            self.metrics.count("PublicationsRefused")
            raise self._tellable(refusal, context) from None
        except TooLargeError:
            raise
        except Exception as error:
            raise self._failure(error, context) from error

    def _tellable(self, refusal: RefusedError, context: Context) -> RefusedError | InternalError:
        try:
            if len(to_json(refusal.to_wire())) <= _REFUSAL_MAX_BYTES:
                return refusal
            fault: Exception = ProcessorFaultError("a refusal is too long")
        except (ValueError, TypeError, RecursionError) as error:
            fault = error
        return self._failure(fault, context)

    def _failure(self, error: Exception, context: Context) -> InternalError:
        self.metrics.count("ProcessorFailures")
        self.on_failure(context.channel, error)
        return InternalError()


def _copy(data: Any) -> Any:
    try:
        return from_json(to_json(data))
    except ValueError:
        raise BadFrameError("data is nested too deep, or no JSON") from None


def _checked(draft: Draft) -> Draft:
    """Hold a draft to what the wire holds a publication to; return it with pure JSON in it.

    Raises:
        TooLargeError: The data is over its limit.
        Exception: Anything else is wrong.
    """
    if not isinstance(draft.name, str) or not 0 < len(draft.name) <= EVENT_NAME_MAX_LENGTH:
        raise ProcessorFaultError("a processor gave an event no good name")
    draft.name.encode()  # a lone surrogate could not be sent
    if draft.priority not in PRIORITIES:
        raise ProcessorFaultError("a processor gave a publication no good priority")
    encoded = to_json(draft.data)
    if len(encoded) > DATA_MAX_BYTES:
        raise TooLargeError(
            f"data has at most {DATA_MAX_BYTES} bytes, also when it has been processed",
            details={"max_bytes": DATA_MAX_BYTES},
        )
    return replace(draft, data=from_json(encoded), claims=_checked_claims(draft.claims))


def _checked_claims(claims: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if claims is None:
        return None
    encoded = to_json(claims)
    value = from_json(encoded)
    if not isinstance(value, dict) or len(encoded) > PUBLIC_CLAIMS_MAX_BYTES:
        raise ProcessorFaultError("a processor gave a sender claims that are no object, or too large")
    return value
