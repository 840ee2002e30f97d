"""From a dispatched call to the request an engine gets: prompt token ids, order label and metadata."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from realexec.call_metadata import to_extra_args
from realexec.interface import EngineRequest
from realexec.order_labels import OrderLabels
from realexec.token_ids import TokenIds

if TYPE_CHECKING:
    from policies.calls import ApplicationState, CallState
    from realexec.attempts import Attempt


class RequestMaker:
    """Makes the requests of one run.

    Parameters
    ----------
    applications : iterable of ApplicationState
    token_ids : TokenIds
    ordered : bool
        Whether engines order their queues by priority; then a request carries a label of its call's rank, else 0.

    Notes
    -----
    `num_repeated_outputs` counts outputs that stand in later prompts and are equal to an earlier one of another
    application. Real text hardly ever repeats so; models with random weights may, and then hit the prefix cache where
    the simulator sees different text.
    """

    def __init__(self, applications: Iterable[ApplicationState], token_ids: TokenIds, *, ordered: bool = False) -> None:
        self.labels = OrderLabels()
        self.num_repeated_outputs = 0
        self._token_ids = token_ids
        self._ordered = ordered
        self._outputs: dict[str, dict[str, list[int]]] = {}  # by application, of calls that stand in later prompts
        self._reused = {
            (application.app_id, part.output_of)
            for application in applications
            for call in application.spec.calls
            for part in call.prompt
            if part.output_of is not None
        }
        self._first_with: dict[tuple[int, ...], str] = {}  # application that first had an output

    def make(self, attempt: Attempt, run_started_at: float) -> EngineRequest:
        """Request of one attempt.

        Parameters
        ----------
        attempt : Attempt
        run_started_at : float, seconds of `time.monotonic()`
        """
        call = attempt.call
        return EngineRequest(
            request_id=attempt.request_id,
            prompt_token_ids=self._token_ids.of_prompt(call.spec, self._outputs.get(call.app_id, {})),
            num_output_tokens=call.num_output_tokens,
            priority=self.labels.label(call.rank) if self._ordered else 0,
            extra_args=to_extra_args(call, run_started_at),
        )

    def keep_output(self, call: CallState, token_ids: list[int]) -> None:
        """Remember what a call generated, where later prompts contain it."""
        if (call.app_id, call.call_id) in self._reused:
            self._outputs.setdefault(call.app_id, {})[call.call_id] = token_ids
            first = self._first_with.setdefault(tuple(token_ids), call.app_id)
            self.num_repeated_outputs += first != call.app_id
