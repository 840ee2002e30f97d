"""Virtual token counter: fairness between clients by the tokens they have been served."""

from __future__ import annotations

from collections import Counter, defaultdict

from policies.clients import Clients, client_of
from policies.interface import CallView, Event, EventKind, Policy
from policies.work import require_weight


class VirtualTokenCounter(Policy):
    """Calls of the client that has been served the fewest weighted tokens first.

    Parameters
    ----------
    clients : "name" or "application"
        Whose calls share a counter: those of applications whose names differ only in their number, or those of one
        application (`policies.clients.client_of`).
    output_weight : float
        Prompt tokens that one output token counts.

    Raises
    ------
    ValueError
        When `output_weight` is not positive.

    Notes
    -----
    VTC (Sheng et al., OSDI 2024, algorithm 2; weights 1 and 2 as in its evaluation). A client that comes back is lifted
    to the least counter of the clients that wait, so that nobody saves up service while away; when nobody waits, to the
    counter of the client that was the last to leave.

    Left out: outputs are charged when a call ends, not token by token, because a gateway is not told of steps. The
    bound on the difference between two clients that both wait grows accordingly, by the outputs in flight.
    Counters change while calls wait, so ranks are asked for before every round of decisions; calls sent out in one
    round are ordered by the counters at its beginning.
    """

    reranks = True

    def __init__(self, clients: Clients = "name", output_weight: float = 2.0) -> None:
        self._clients: Clients = clients
        self._output_weight = require_weight(output_weight)
        self._client_of: dict[str, str] = {}  # by application
        self._served: defaultdict[str, float] = defaultdict(float)
        self._num_waiting: Counter[str] = Counter()  # only clients with waiting calls
        self._last_to_leave: str | None = None

    def observe(self, event: Event) -> None:
        call = event.call
        if call is None:
            return
        client = self._client(call)
        if event.kind in (EventKind.CALL_SUBMITTED, EventKind.CALL_RETURNED):
            self._arrive(client)
        elif event.kind is EventKind.CALL_DISPATCHED:
            self._served[client] += call.num_prompt_tokens
            self._leave(client)
        elif event.kind is EventKind.CALL_FINISHED:
            self._served[client] += self._output_weight * (event.num_output_tokens or 0)

    def rank(self, call: CallView, now: float) -> float:
        return self._served[self._client(call)]

    def _client(self, call: CallView) -> str:
        app_id = call.app_id
        client = self._client_of.get(app_id)
        if client is None:
            client = self._client_of[app_id] = client_of(app_id, self._clients)
        return client

    def _arrive(self, client: str) -> None:
        if client not in self._num_waiting:
            others = self._num_waiting or ((self._last_to_leave,) if self._last_to_leave is not None else ())
            floor = min((self._served[other] for other in others), default=0.0)
            self._served[client] = max(self._served[client], floor)
        self._num_waiting[client] += 1

    def _leave(self, client: str) -> None:
        if self._num_waiting[client] > 1:
            self._num_waiting[client] -= 1
        else:
            del self._num_waiting[client]
            self._last_to_leave = client
