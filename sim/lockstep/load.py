"""The calls of a case as they become ready, with the ids of their tokens.

Ids follow from the names of the content alone (`traces.prefix.content_keys`), not from the prefix tree that the native
engine uses, so that the comparison checks the tree as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sim.request import Request
from traces.prefix import PrefixPath, content_keys, prefix_paths
from traces.workload import Call, Workload

Key = tuple[str, str]  # application and call


@dataclass(slots=True, eq=False)
class Item:
    """One call of a case.

    Parameters
    ----------
    key : (str, str)
    call : Call
    token_ids : list of int, (num_tokens,)
        Of its prompt and its output.
    path : tuple of PrefixNode
    ready_at : float or None
        Turn in which it arrives; None while it waits for others.
    """

    key: Key
    call: Call
    token_ids: list[int]
    path: PrefixPath
    ready_at: float | None

    def request(self, sequence: int, arrived_at: float) -> Request:
        """A new request for one side."""
        count = self.call.output_tokens
        request = Request(self.key, len(self.token_ids) - count, count, self.path, self.call.priority)
        request.sequence, request.arrived_at = sequence, arrived_at
        return request


class Load:
    """The calls of a workload that have not arrived yet.

    Parameters
    ----------
    workload : Workload
        Times are turns.
    """

    def __init__(self, workload: Workload) -> None:
        self._first_ids: dict[tuple[str, int | str], int] = {}
        self._next_id = 0
        self._waiting = _items(workload, self._ids)
        self._finished: set[Key] = set()

    def _ids(self, name: str, tag: int | str, tokens: int) -> range:
        first = self._first_ids.get((name, tag))
        if first is None:
            first = self._first_ids[name, tag] = self._next_id
            self._next_id += tokens
        return range(first, first + tokens)

    @property
    def next_at(self) -> float | None:
        """Turn of the next arrival; None when all have arrived, or wait for others."""
        return min((item.ready_at for item in self._waiting if item.ready_at is not None), default=None)

    def arriving(self, turn: int) -> list[Item]:
        """Take the calls that have arrived by a turn, in order."""
        found = [item for item in self._waiting if item.ready_at is not None and item.ready_at <= turn]
        self._waiting = [item for item in self._waiting if item not in found]
        return sorted(found, key=lambda item: item.ready_at or 0.0)

    def finish(self, keys: list[Key], turn: int) -> None:
        """Make ready what only waited for these calls."""
        self._finished.update(keys)
        for item in self._waiting:
            if item.ready_at is None and all((item.key[0], dep) in self._finished for dep in item.call.deps):
                item.ready_at = turn + 1 + item.call.delay


def _items(workload: Workload, ids: Callable[[str, int | str, int], range]) -> list[Item]:
    paths = iter(prefix_paths(workload))
    items = []
    for application in workload.applications:
        outputs = {call.id: call.output_tokens for call in application.calls}
        for call in application.calls:
            keys = [*content_keys(application.id, call, outputs), (application.id, call.id, call.output_tokens)]
            token_ids = [token for key in keys for token in ids(*key)]
            ready_at = application.arrival + call.delay if not call.deps else None
            items.append(Item((application.id, call.id), call, token_ids, next(paths), ready_at))
    return items
