"""A calibration of several sessions: what the earlier ones left out, and their points joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from realexec.calibration.loads import Extent
from realexec.calibration.plan import plan
from realexec.calibration.point import Limits, Point
from realexec.calibration.raw import RawMeasurement, joined

#: Between the last instant of one session and the first of the next, seconds; any gap will do.
_GAP = 1.0

_INSTANTS = {
    "points": ("started_at", "finished_at"),
    "calls": ("dispatched_at", "first_token_at", "finished_at", "scheduled_at"),
    "steps": ("started_at", "finished_at"),
}

#: What decides how long a step takes. KV blocks vary by a few from start to start, drivers from host to host.
_FIELDS = ("device", "tensor_parallel_size", "block_size", "max_num_seqs", "max_model_len")
_PACKAGES = ("vllm", "torch", "cuda")

#: Each calibration has engines with asynchronous and with synchronous scheduling.
_OF_SCHEDULING = ("async_scheduling", "scheduler_cls")


def missing_points(
    limits: Limits, extent: Extent, seed: int, earlier: RawMeasurement | None, *, async_scheduling: bool
) -> list[Point]:
    """Points of the plan that `earlier` does not hold, in the plan's order.

    Raises
    ------
    ValueError
        When `earlier` holds points of another plan.
    """
    points = plan(limits, extent, seed=seed)
    if earlier is None:
        return points
    rows = earlier.points[earlier.points.asynchronous == async_scheduling]
    held = set(zip(rows.point, rows.held_out, strict=True))
    if others := sorted(held - {(point.name, point.held_out) for point in points}):
        raise ValueError(
            f"point {others[0][0]!r} with held_out={others[0][1]} is not in this plan: --small or the version of "
            "dovetail is not that of the earlier points, so these cannot be continued"
        )
    return [point for point in points if (point.name, point.held_out) not in held]


def check_same_engine(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> None:
    """Refuse an engine of another kind.

    Parameters
    ----------
    earlier, later : mapping
        As `RawMeasurement.engine`.

    Raises
    ------
    ValueError
        Naming the first field that differs, and both values.
    """
    first, second = dict(_kind(earlier)), dict(_kind(later))
    for name in {**first, **second}:
        if first.get(name) != second.get(name):
            raise ValueError(
                f"{name}={second.get(name)!r} of this engine must be {first.get(name)!r}, as for the earlier points"
            )


def _kind(engine: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    settings = {name: value for name, value in engine["settings"].items() if name not in _OF_SCHEDULING}
    yield from sorted(settings.items())
    yield from ((name, engine.get(name)) for name in _FIELDS)
    yield from ((f"version of {name}", engine["versions"].get(name)) for name in _PACKAGES)


def extended(earlier: RawMeasurement, later: RawMeasurement) -> RawMeasurement:
    """The points of two sessions as one measurement.

    Clocks of two sessions need not agree, so all instants of the later one are moved behind those of the earlier one.

    Parameters
    ----------
    earlier : RawMeasurement
        Its engine stays; `sessions` lists the date and GPU seconds of each session, `seconds` is their sum.
    later : RawMeasurement
        Its `date` and `num_skipped_points` count for both.

    Raises
    ------
    ValueError
        When the engines are of two kinds, or a point was measured in both sessions.
    """
    check_same_engine(earlier.engine, later.engine)
    key = ["point", "asynchronous"]
    if len(twice := earlier.points.merge(later.points, on=key)):
        raise ValueError(f"point {twice.point[0]!r} was measured in both sessions; only one of them can be kept")
    delay = _instants(earlier).max() + _GAP - _instants(later).min()
    tables = [{name: getattr(earlier, name) for name in _INSTANTS}]
    tables += [{name: _moved(getattr(later, name), columns, delay) for name, columns in _INSTANTS.items()}]
    return joined(_engine(earlier.engine, later.engine), tables)


def _instants(raw: RawMeasurement) -> pd.Series:
    """Every instant that came; -1 stands for one that did not."""
    instants = pd.concat([getattr(raw, name)[column] for name, columns in _INSTANTS.items() for column in columns])
    return instants[instants != -1]


def _moved(frame: pd.DataFrame, columns: tuple[str, ...], delay: float) -> pd.DataFrame:
    instants = frame[list(columns)]
    return frame.assign(**instants.where(instants == -1, instants + delay))


def _engine(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    sessions = [*sessions_of(earlier), *sessions_of(later)]
    return {
        **earlier,
        "seconds": sum(session["seconds"] for session in sessions),
        "date": max(session["date"] for session in sessions),
        "num_skipped_points": later.get("num_skipped_points", 0),
        "sessions": sessions,
    }


def sessions_of(engine: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Date and GPU seconds of every session of a measurement."""
    return engine.get("sessions") or [{"date": engine["date"], "seconds": engine["seconds"]}]
