"""State of calls and applications while they run; to a policy, read-only windows (`policies.interface.CallView`)."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import Any

from traces.graph import Graph, graph_of
from traces.prefix import PrefixPath, content_keys, prefix_paths
from traces.workload import Application, Call, Workload, num_prompt_tokens


class CallStatus(Enum):
    """Where a call is between its application's arrival and its end."""

    BLOCKED = "blocked"
    SUBMITTED = "submitted"
    DISPATCHED = "dispatched"
    FINISHED = "finished"
    FAILED = "failed"  # will never finish; `Coordinator.failures` says why


#: Where a call stays for good.
_ENDED = (CallStatus.FINISHED, CallStatus.FAILED)


class CallState:
    """One call of a running workload.

    Parameters
    ----------
    index : int
        Position in the workload.
    position : int
        Position in the application.
    """

    __slots__ = (
        "application",
        "delay",
        "dependants",
        "dispatched_at",
        "engine_id",
        "index",
        "num_blocking",
        "num_output_tokens",
        "num_prompt_tokens",
        "path",
        "position",
        "rank",
        "ready_at",
        "spec",
        "stage",
        "status",
        "submitted_at",
        "was_held",
    )

    def __init__(
        self, spec: Call, application: ApplicationState, index: int, position: int, num_prompt: int, path: PrefixPath
    ) -> None:
        self.spec = spec
        self.application = application
        self.index = index
        self.position = position
        self.stage = spec.stage
        self.delay = spec.delay
        self.num_prompt_tokens = num_prompt
        self.num_output_tokens = spec.output_tokens
        self.path = path
        self.dependants: tuple[CallState, ...] = ()
        self.num_blocking = 0
        self.status = CallStatus.BLOCKED
        self.rank: Any = 0
        self.engine_id = -1
        self.ready_at = self.submitted_at = self.dispatched_at = -1.0
        self.was_held = False

    @property
    def app_id(self) -> str:
        return self.application.app_id

    @property
    def call_id(self) -> str:
        return self.spec.id

    @property
    def app_arrived_at(self) -> float:
        return self.application.arrived_at

    @property
    def priority(self) -> int:
        return self.spec.priority

    @property
    def deadline_at(self) -> float | None:
        deadline = self.spec.deadline
        return None if deadline is None else self.application.arrived_at + deadline

    @property
    def earliest_deadline_at(self) -> float | None:
        deadlines = [call.deadline_at for call in self.with_descendants() if call.deadline_at is not None]
        return min(deadlines, default=None)

    @property
    def predicted_output_tokens(self) -> int | None:
        return self.spec.predicted_output_tokens

    @property
    def depth(self) -> int:
        return self.application.graph.depth[self.position]

    @property
    def num_descendants(self) -> int:
        return self.application.graph.num_descendants[self.position]

    @property
    def critical_path_calls(self) -> int:
        return self.application.graph.critical_path_calls[self.position]

    @property
    def num_siblings_outstanding(self) -> int:
        return self.application.num_outstanding(self.stage) - 1

    @property
    def group(self) -> tuple[str, ...]:
        return self.application.group_of(self)

    @property
    def prompt_segments(self) -> tuple[tuple[str, int], ...]:
        keys = content_keys(self.app_id, self.spec, self.application.output_tokens)
        return tuple((f"{name}/{tag}", tokens) for name, tag, tokens in keys)

    @property
    def oracle(self) -> Oracle:
        return Oracle(self)

    def with_descendants(self) -> list[CallState]:
        """This call and everything that depends on it, each once."""
        found = {self.index: self}
        stack = [self]
        while stack:
            for dependant in stack.pop().dependants:
                if dependant.index not in found:
                    found[dependant.index] = dependant
                    stack.append(dependant)
        return list(found.values())

    def weight(self, output_weight: float) -> float:
        """Prompt and output tokens, an output token counting `output_weight`."""
        return self.num_prompt_tokens + output_weight * self.num_output_tokens


class Oracle:
    """What no gateway knows of a call (`policies.interface.OracleView`)."""

    __slots__ = ("_call",)

    def __init__(self, call: CallState) -> None:
        self._call = call

    @property
    def num_output_tokens(self) -> int:
        return self._call.num_output_tokens

    @property
    def remaining_work_tokens(self) -> int:
        return sum(call.num_prompt_tokens + call.num_output_tokens for call in self._call.with_descendants())

    def remaining_path(self, output_weight: float) -> float:
        return self._call.application.paths(output_weight)[self._call.position]

    def remaining_application(self, output_weight: float) -> float:
        calls = self._call.application.calls
        return sum(call.weight(output_weight) for call in calls if call.status not in _ENDED)


class ApplicationState:
    """One application of a running workload."""

    __slots__ = ("_graph", "_groups", "_outstanding", "_paths", "app_id", "arrived_at", "calls", "spec")

    def __init__(self, spec: Application) -> None:
        self.spec = spec
        self.app_id = spec.id
        self.arrived_at = spec.arrival
        self.calls: tuple[CallState, ...] = ()
        self._graph: Graph | None = None
        self._outstanding: Counter[str] | None = None
        self._groups: dict[tuple[int, ...], tuple[str, ...]] | None = None
        self._paths: dict[float, list[float]] | None = None

    @property
    def graph(self) -> Graph:
        """Shape of the dependency graph, computed when first asked for."""
        if self._graph is None:
            self._graph = graph_of(self.spec)
        return self._graph

    @property
    def output_tokens(self) -> dict[str, int]:
        """Output length of each call by id; prompts that contain outputs need it."""
        return {call.call_id: call.num_output_tokens for call in self.calls}

    def num_outstanding(self, stage: str) -> int:
        """Unfinished calls of one stage."""
        if self._outstanding is None:
            self._outstanding = Counter(call.stage for call in self.calls if call.status not in _ENDED)
        return self._outstanding[stage]

    def group_of(self, call: CallState) -> tuple[str, ...]:
        """Ids of the calls with the same direct dependants; of a call without any, its own."""
        children = self.graph.children
        if not children[call.position]:
            return (call.call_id,)
        if self._groups is None:
            self._groups = {}
            for each, key in zip(self.calls, children, strict=True):
                self._groups[key] = (*self._groups.get(key, ()), each.call_id)
        return self._groups[children[call.position]]

    def paths(self, output_weight: float) -> list[float]:
        """Weight of the heaviest chain from each call to a sink, by position."""
        if self._paths is None:
            self._paths = {}
        if output_weight not in self._paths:
            paths = [0.0] * len(self.calls)
            for position in reversed(self.graph.order):
                below = max((paths[child] for child in self.graph.children[position]), default=0.0)
                paths[position] = self.calls[position].weight(output_weight) + below
            self._paths[output_weight] = paths
        return self._paths[output_weight]

    def call_done(self, call: CallState) -> None:
        """Count a call that has just finished or failed."""
        if self._outstanding is not None:
            self._outstanding[call.stage] -= 1


def build_applications(workload: Workload) -> list[ApplicationState]:
    """Running state of every application, with calls linked to their dependants."""
    paths = iter(prefix_paths(workload))
    applications = []
    index = 0
    for spec in workload.applications:
        application = ApplicationState(spec)
        outputs = {call.id: call.output_tokens for call in spec.calls}
        calls = []
        for position, call in enumerate(spec.calls):
            calls.append(CallState(call, application, index, position, num_prompt_tokens(call, outputs), next(paths)))
            index += 1
        application.calls = tuple(calls)
        if len(calls) > 1:
            _link(application)
        applications.append(application)
    return applications


def _link(application: ApplicationState) -> None:
    graph = application.graph
    for call, parents, children in zip(application.calls, graph.parents, graph.children, strict=True):
        call.num_blocking = len(parents)
        call.dependants = tuple(application.calls[child] for child in children)
