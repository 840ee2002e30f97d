"""The workload of a cell: its applications from the seed alone, its arrivals stretched to the wanted load or rate."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np

from analysis.bounds import call_work, critical_paths, work_time
from analysis.rounds import Deployment, StepCost
from dovetail.generate import generate
from dovetail.specs import parse_arrivals
from dovetail.sweeps.cell import Arrivals, Source
from traces.arrivals import gamma_arrivals, trace_arrivals
from traces.files import load_workload
from traces.generators.mixture import mix
from traces.workload import Application, Workload

#: Keeps arrivals that are drawn here apart from what a generator draws with the bare seed.
_ARRIVALS_STREAM = 2

_FILES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A workload and what is known of it without simulating.

    Parameters
    ----------
    workload : Workload
    alone : dict of application id to float, seconds
        Lower bound of each completion time.
    work : float, seconds
        Least engine time of all calls together.
    """

    workload: Workload
    alone: dict[str, float]
    work: float

    @property
    def critical_path_makespan(self) -> float:
        """Lower bound of the makespan, seconds: the latest end of what each application would take alone."""
        begin = min(application.arrival for application in self.workload.applications)
        return max(each.arrival + self.alone[each.id] for each in self.workload.applications) - begin

    def load(self, num_engines: int) -> float:
        """Share of the engines' time that the arrivals ask for at least; NaN when all arrive at once."""
        instants = [application.arrival for application in self.workload.applications]
        span = (max(instants) - min(instants)) * len(instants) / max(len(instants) - 1, 1)
        return self.work / num_engines / span if span > 0 else float("nan")


def check_source(source: Source, arrivals: Arrivals) -> None:
    """Refuse lines that no workload can be made from; files are only looked for.

    Raises
    ------
    ValueError
        One line.
    """
    if arrivals.kind == "process":
        parse_arrivals(str(arrivals.value), 1, np.random.default_rng(0))
    for _, line in source.parts:
        path = _file(line, source)
        if path is None:
            _generator(line, with_arrivals=arrivals.kind != "own")
        elif not path.is_file():
            raise ValueError(f"{path}: no such file")
        elif arrivals.kind == "process":
            raise ValueError(f"{line}: a file takes 'loads', 'rates' or its own arrivals, not {arrivals}")
    if len(source.parts) > 1 and arrivals.kind == "process":
        raise ValueError(f"a mixture takes 'loads', 'rates' or its parts' own arrivals, not {arrivals}")


def prepare(
    source: Source,
    arrivals: Arrivals,
    seed: int,
    describe: Callable[[Workload], tuple[StepCost, Deployment]],
) -> Prepared:
    """Make the workload of a cell.

    Parameters
    ----------
    source : Source
    arrivals : Arrivals
    seed : int
        The same seed is the same applications, at every load and for every policy.
    describe : callable
        The cluster as the closed form knows it, for a workload.

    Notes
    -----
    A load of 1 means that the cheapest steps that carry all tokens (`analysis.bounds.work_time`) fill all the time of
    all engines. No schedule reaches that, so engines are saturated below 1.
    """
    workload = _applications(source, arrivals, seed)
    cost, deployment = describe(workload)
    calls = call_work(workload, deployment)
    alone = critical_paths(workload, calls, cost, deployment)
    work = work_time([each for own in calls for each in own.values()], cost, deployment)
    if arrivals.kind in ("load", "rate"):
        per_second = float(arrivals.value)
        if arrivals.kind == "load":
            per_second *= deployment.num_engines * len(workload.applications) / work
        workload = _arriving(workload, [each.arrival / per_second for each in workload.applications])
    if source.deadline is not None:
        workload = _with_deadlines(workload, {app: source.deadline * each for app, each in alone.items()})
    return Prepared(workload, alone, work)


def deadlines_of(workload: Workload) -> dict[str, float]:
    """Latest deadline of each application that has one, seconds after its arrival."""
    deadlines = {
        application.id: [call.deadline for call in application.calls if call.deadline is not None]
        for application in workload.applications
    }
    return {app: max(own) for app, own in deadlines.items() if own}


def _applications(source: Source, arrivals: Arrivals, seed: int) -> Workload:
    """The workload; with loads and rates it arrives at one application a second on average."""
    process = {"own": None, "process": str(arrivals.value)}.get(arrivals.kind, f"gamma:1:{arrivals.cv!r}")
    parts = {label: _part(line, source, seed, process) for label, line in source.parts}
    workload = mix(parts) if len(parts) > 1 else next(iter(parts.values()))
    made_here = len(parts) > 1 or _file(source.parts[0][1], source) is not None
    if not made_here or arrivals.kind == "own":
        return workload
    rng = np.random.default_rng((seed, _ARRIVALS_STREAM))
    count = len(workload.applications)
    if len(parts) > 1:  # mixed anew: parts of unequal size would end at different times
        order = rng.permutation(count)
        workload = Workload(workload.name, tuple(workload.applications[index] for index in order))
    return _arriving(workload, trace_arrivals(gamma_arrivals(1.0, arrivals.cv, count, rng)).tolist())


def _part(line: str, source: Source, seed: int, process: str | None) -> Workload:
    path = _file(line, source)
    if path is not None:
        return load_workload(path)
    given = {} if process is None else {"arrivals": process}
    with _generator(line, with_arrivals=process is not None) as context:
        make: Any = context.command.callback
        made: Workload = make(**{**context.params, **given, "seed": seed})
    return made


def _file(line: str, source: Source) -> Path | None:
    """The file that a line names, or None for a generator."""
    return Path(source.folder, line) if line.endswith(_FILES) else None


def _generator(line: str, *, with_arrivals: bool) -> click.Context:
    """A generator with its options, without those that the sweep decides."""
    kind, *words = shlex.split(line) or [""]
    command = generate.commands.get(kind)
    if command is None:
        known = ", ".join(sorted(generate.commands))
        raise ValueError(f"{line!r} must be a workload file ({', '.join(_FILES)}) or begin with one of {known}")
    decided = {"out", "overwrite", "seed"} | ({"arrivals"} if with_arrivals else set())
    make: Any = command.callback
    bare = click.Command(
        kind, params=[each for each in command.params if each.name not in decided], callback=make.__wrapped__
    )
    try:
        return bare.make_context(kind, words)
    except click.UsageError as error:
        raise ValueError(f"{line!r}: {error.format_message()}") from None


def _arriving(workload: Workload, instants: list[float]) -> Workload:
    applications = zip(workload.applications, instants, strict=True)
    moved = tuple(msgspec.structs.replace(application, arrival=at) for application, at in applications)
    return Workload(workload.name, tuple(sorted(moved, key=lambda application: application.arrival)))


def _with_deadlines(workload: Workload, deadlines: dict[str, float]) -> Workload:
    """Every call gets the deadline of its application."""

    def due(application: Application) -> Application:
        at = deadlines[application.id]
        calls = tuple(msgspec.structs.replace(call, deadline=at) for call in application.calls)
        return msgspec.structs.replace(application, calls=calls)

    return Workload(workload.name, tuple(due(each) for each in workload.applications))
