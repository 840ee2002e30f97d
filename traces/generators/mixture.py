"""Several workloads as one, for instance chat in the foreground and map-reduce in the background."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from traces.validation import validate_workload
from traces.workload import Application, Call, Segment, Workload


def mix(workloads: Mapping[str, Workload], *, name: str = "mixture", shared: Collection[str] = ()) -> Workload:
    """One workload of all applications, in order of arrival.

    Parameters
    ----------
    workloads : mapping of label to Workload
        Labels go before application ids, stages and segment names (`chat/chat0`), so parts made by the same generator
        neither clash nor share text by accident, and metrics can tell them apart.
    name : str
    shared : collection of str
        Segment names that do mean the same text in every part and keep their names.

    Raises
    ------
    ValueError
        For a name in `shared` that no part has, or a mixture that is not valid.

    Examples
    --------
    >>> from traces.generators.chain import concurrent_chains
    >>> [app.id for app in mix({"a": concurrent_chains(1), "b": concurrent_chains(1)}).applications]
    ['a/chain0', 'b/chain0']
    """
    names = {
        part.segment
        for workload in workloads.values()
        for application in workload.applications
        for call in application.calls
        for part in call.prompt
    }
    for segment in shared:
        if segment not in names:
            raise ValueError(f"{name}: shared={segment!r} must be a segment of one of the parts, and none has it")
    applications = [
        _labelled(application, label, frozenset(shared))
        for label, workload in workloads.items()
        for application in workload.applications
    ]
    # Stable: ties stay in the order of the parts.
    mixture = Workload(name, tuple(sorted(applications, key=lambda application: application.arrival)))
    validate_workload(mixture, source=name)
    return mixture


def _labelled(application: Application, label: str, shared: frozenset[str]) -> Application:
    def part(segment: Segment) -> Segment:
        if segment.segment is None or segment.segment in shared:
            return segment
        return Segment(segment=f"{label}/{segment.segment}", tokens=segment.tokens)

    def call(old: Call) -> Call:
        prompt = tuple(part(segment) for segment in old.prompt)
        return msgspec.structs.replace(old, stage=f"{label}/{old.stage}", prompt=prompt)

    calls = tuple(call(old) for old in application.calls)
    return Application(f"{label}/{application.id}", application.arrival, calls)
