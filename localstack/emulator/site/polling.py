"""Lets the emulator look into one queue whatever goes on at another.

One thread looks into all of them, each time that a message is sent or a batch has been worked off. When it finds
nothing to do it closes its eyes for 50 ms, so that others' work does not keep it busy: but then whoever fills one lane
delays all others. On AWS each event source has its own pollers.
"""

from typing import Final

from ministack.services import lambda_svc  # type: ignore[import-not-found]  # the environment beside it

_GAP_S: Final = 0.002

_ = lambda_svc._ESM_IDLE_WAKE_GAP_SECONDS  # an emulator that does not have it (any more) is to be noticed
lambda_svc._ESM_IDLE_WAKE_GAP_SECONDS = _GAP_S
