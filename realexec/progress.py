"""A run under way, for whoever wants to show it. Reading it is safe from any thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from policies.coordinator import Coordinator
from realexec.attempts import Fault, RunNotes
from realexec.interface import EngineBackend, EngineInfo, EngineProgress


@dataclass(frozen=True, slots=True)
class EngineInProgress:
    """One engine: what it is, what it reports, and what the driver knows of it."""

    engine_id: int
    device: str
    progress: EngineProgress
    num_finished: int
    is_lost: bool


class RunInProgress:
    """A run whose engines are up.

    Parameters
    ----------
    coordinator : Coordinator
    notes : RunNotes
        The driver's.
    backends : sequence of EngineBackend
    infos : sequence of EngineInfo
    """

    def __init__(
        self,
        coordinator: Coordinator,
        notes: RunNotes,
        backends: Sequence[EngineBackend],
        infos: Sequence[EngineInfo],
    ) -> None:
        self.num_calls = len(coordinator.calls)
        self._coordinator = coordinator
        self._notes = notes
        self._backends = backends
        self._infos = infos

    @property
    def num_ended(self) -> int:
        """Calls that finished or failed."""
        return self._coordinator.num_ended

    @property
    def faults(self) -> list[Fault]:
        """What went wrong so far."""
        return self._notes.faults

    def engines(self) -> Iterator[EngineInProgress]:
        """Every engine as it is now."""
        lost = {fault.engine for fault in self.faults if fault.kind == "engine lost"}
        for backend, info in zip(self._backends, self._infos, strict=True):
            engine_id = backend.engine_id
            finished = self._notes.num_finished[engine_id]
            yield EngineInProgress(engine_id, info.device, backend.progress, finished, engine_id in lost)
