"""Stages in order of how far they are from done, each with its own bound on resident calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from policies.interface import CallView, EngineId, EngineView, Policy, least_loaded


class StagePriority(Policy):
    """Later stages first; at most so many calls of a stage at one engine.

    Parameters
    ----------
    bounds : mapping of stage to int, optional
        Most unfinished calls of that stage at one engine, as "map 8, reduce 2" in the benchmark notes. A stage that is
        not named has no bound.

    Raises
    ------
    ValueError
        When a bound is not positive; the message names the stage.

    Notes
    -----
    A call with fewer calls on its path to the end of the application goes first: it frees the application, and its
    memory, soonest. Ties go to the older application. Starves early stages while late ones keep coming.
    """

    def __init__(self, bounds: Mapping[str, int] | None = None) -> None:
        self._bounds = dict(bounds or {})
        for stage, bound in self._bounds.items():
            if not isinstance(bound, int) or bound < 1:
                raise ValueError(f"bounds: stage {stage!r}: {bound!r} must be a positive integer")

    @property
    def bounds(self) -> Mapping[str, int]:
        """Bound of each stage that has one."""
        return self._bounds

    def rank(self, call: CallView, now: float) -> tuple[int, float]:
        return call.critical_path_calls, call.app_arrived_at

    def hold_class(self, call: CallView) -> str:
        return call.stage

    def route(self, call: CallView, engines: Sequence[EngineView], now: float) -> EngineId | None:
        bound = self._bounds.get(call.stage)
        if bound is not None:
            engines = [engine for engine in engines if engine.num_unfinished_of(call.stage) < bound]
        return least_loaded(engines)
