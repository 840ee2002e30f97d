"""What makes a workload valid beyond its shape, and the one line that says what is wrong with one that is not.

Every message reads `SOURCE: application 'A', call 'C': field=value must ...`, which is enough to find and
mend the fault. The file format itself stands in `traces.workload`; errors of the JSON syntax and of its types are put
into the same words by `traces.decoding`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter

from traces.workload import Application, Call, Segment, Workload

#: Largest accepted count. Counts are summed in 64-bit integers; two billion tokens is far beyond any model's context.
MAX_COUNT = 2**31 - 1

#: Largest accepted time, seconds: 31 years. Doubles near it are 0.12 microseconds apart, and ten times as far 1.9; what
#: a step takes would then be lost in rounding.
MAX_SECONDS = 1e9

_COUNT = f"must be a positive integer of at most {MAX_COUNT}"
_SECONDS = "must be a finite number of seconds, at least 0 and at most 1e9 (later instants lose microseconds)"

#: The rule each field obeys, worded to follow `field=value`.
RULES = {
    "name": "must be a non-empty string",
    "applications": "must be a list of at least one application",
    "id": "must be a non-empty string",
    "arrival": _SECONDS,
    "calls": "must be a list of at least one call",
    "prompt": "must be a list of at least one segment",
    "output_tokens": _COUNT,
    "stage": "must be a non-empty string",
    "deps": "must be a list of ids of other calls of this application, each named once",
    "delay": _SECONDS,
    "predicted_output_tokens": _COUNT,
    "deadline": "must be a positive finite number of seconds after the application's arrival, at most 1e9",
    "priority": "must be an integer",
    "segment": "must be a non-empty string",
    "tokens": _COUNT,
    "output_of": "must be the id of a call that this one depends on",
}


def validate_workload(workload: Workload, *, source: str, max_model_len: int | None = None) -> None:
    """Refuse a workload that cannot be run, naming the first fault.

    Parameters
    ----------
    workload : Workload
    source : str
        File name, or what made the workload; opens the message.
    max_model_len : int, optional, tokens
        The model's context; when given, no call's prompt plus output may exceed it.

    Raises
    ------
    ValueError
        One line naming source, application, call, field, value and rule.

    Notes
    -----
    An `output_of` may name any call that has finished before this one is ready: a direct dependency or one further up
    (a chat's third turn, which depends on the second, also carries the first answer).
    """
    _require_text(source, "name", workload.name)
    if not workload.applications:
        raise ValueError(f"{source}: applications=[] {RULES['applications']}")
    seen: set[str] = set()
    for number, application in enumerate(workload.applications, start=1):
        if not application.id:
            raise ValueError(f"{source}: application number {number}: id='' {RULES['id']}")
        where = f"{source}: application {application.id!r}"
        if application.id in seen:
            raise ValueError(f"{where}: id={application.id!r} must be unique in the workload")
        seen.add(application.id)
        _validate_application(application, where, max_model_len)


def require_stages(stages: Iterable[str], workload: Workload, *, source: str) -> None:
    """Refuse names, as those of bounds, that are no stage of a workload: such a bound would silently do nothing.

    Raises
    ------
    ValueError
        One line naming source, the unknown stage and the stages there are.
    """
    known = sorted({call.stage for application in workload.applications for call in application.calls})
    for stage in stages:
        if stage not in known:
            raise ValueError(f"{source}: stage {shown(stage)} of bounds must be one of {', '.join(known)}")


def shown(value: object) -> str:
    """`value` as it appears in a message: its Python form, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _validate_application(application: Application, where: str, max_model_len: int | None) -> None:
    _require_seconds(where, "arrival", application.arrival)
    if not application.calls:
        raise ValueError(f"{where}: calls=[] {RULES['calls']}")
    outputs: dict[str, int] = {}
    for call in application.calls:
        _require_text(where, "id", call.id)
        if call.id in outputs:
            raise ValueError(f"{where}, call {call.id!r}: id={call.id!r} must be unique in the application")
        _validate_scalars(call, where)
        outputs[call.id] = call.output_tokens
    for call in application.calls:
        _validate_deps(call, outputs, where)
    before = _Before(application.calls, where)
    for call in application.calls:
        _validate_prompt(call, before, where)
        if max_model_len is not None:
            _require_fit(call, outputs, where, max_model_len)


def _validate_scalars(call: Call, where: str) -> None:
    """Fields of a call that can be judged alone."""
    _require_count(call, "output_tokens", call.output_tokens, where)
    _require_text(where, "stage", call.stage, call)
    if call.delay != 0.0:
        _require_seconds(f"{where}, call {call.id!r}", "delay", call.delay)
    if call.predicted_output_tokens is not None:
        _require_count(call, "predicted_output_tokens", call.predicted_output_tokens, where)
    if call.deadline is not None and not (_is_number(call.deadline) and 0 < call.deadline <= MAX_SECONDS):
        raise ValueError(f"{where}, call {call.id!r}: deadline={shown(call.deadline)} {RULES['deadline']}")
    if type(call.priority) is not int:
        raise ValueError(f"{where}, call {call.id!r}: priority={shown(call.priority)} {RULES['priority']}")


def _validate_deps(call: Call, outputs: dict[str, int], where: str) -> None:
    for dep in call.deps:
        if dep not in outputs:
            raise ValueError(
                f"{where}, call {call.id!r}: deps={shown(list(call.deps))} must name calls of this application,"
                f" and {dep!r} is none"
            )
    if len(set(call.deps)) < len(call.deps):
        raise ValueError(f"{where}, call {call.id!r}: deps={shown(list(call.deps))} must name each call once")


def _validate_prompt(call: Call, before: _Before, where: str) -> None:
    if not call.prompt:
        raise ValueError(f"{where}, call {call.id!r}: prompt=[] {RULES['prompt']}")
    deps = set(call.deps)  # a reduce quotes every map
    for index, part in enumerate(call.prompt):
        if part.output_of is not None and part.segment is None and part.tokens is None:
            if part.output_of not in deps and not before.is_before(part.output_of, call.id):
                raise ValueError(
                    f"{where}, call {call.id!r}: prompt[{index}].output_of={part.output_of!r} {RULES['output_of']}"
                )
        elif fault := _text_fault(part):
            raise ValueError(f"{where}, call {call.id!r}: prompt[{index}]{fault}")


def _text_fault(part: Segment) -> str | None:
    """What is wrong with a segment that is not plainly an `output_of`, or None."""
    if part.segment is None or part.tokens is None or part.output_of is not None:
        given = {name: value for name in part.__struct_fields__ if (value := getattr(part, name)) is not None}
        return f"={shown(given)} must hold either segment and tokens, or output_of alone"
    if not part.segment:
        return f".segment={part.segment!r} {RULES['segment']}"
    if type(part.tokens) is not int or not 0 < part.tokens <= MAX_COUNT:
        return f".tokens={shown(part.tokens)} {RULES['tokens']}"
    return None


def _require_fit(call: Call, outputs: dict[str, int], where: str, max_model_len: int) -> None:
    num_prompt_tokens = sum(part.tokens or outputs[part.output_of or ""] for part in call.prompt)
    if num_prompt_tokens + call.output_tokens > max_model_len:
        raise ValueError(
            f"{where}, call {call.id!r}: prompt of {num_prompt_tokens} tokens plus output_tokens={call.output_tokens}"
            f" must not exceed max_model_len={max_model_len}"
        )


def _require_text(where: str, field: str, value: object, call: Call | None = None) -> None:
    if type(value) is not str or not value:
        place = where if call is None else f"{where}, call {call.id!r}"
        raise ValueError(f"{place}: {field}={shown(value)} {RULES[field]}")


def _require_count(call: Call, field: str, value: object, where: str) -> None:
    if type(value) is not int or not 0 < value <= MAX_COUNT:
        raise ValueError(f"{where}, call {call.id!r}: {field}={shown(value)} {RULES[field]}")


def _require_seconds(where: str, field: str, value: float) -> None:
    if not (_is_number(value) and 0 <= value <= MAX_SECONDS):
        raise ValueError(f"{where}: {field}={shown(value)} {RULES[field]}")


def _is_number(value: object) -> bool:
    return type(value) in (float, int)  # comparing with both bounds then refuses NaN and infinity


class _Before:
    """Which calls have finished before which others are ready; refuses a cycle when made.

    The ancestors of a call are the set bits of one integer, filled in on the first question: most applications name
    only direct dependencies and never ask.
    """

    def __init__(self, calls: Sequence[Call], where: str) -> None:
        self._deps = {call.id: call.deps for call in calls}
        try:
            self._order = tuple(TopologicalSorter(self._deps).static_order()) if any(self._deps.values()) else ()
        except CycleError as error:
            cycle = error.args[1][::-1]  # graphlib lists what comes first, first; here: what needs, then what is needed
            raise ValueError(
                f"{where}, call {cycle[0]!r}: deps={shown(list(self._deps[cycle[0]]))} must not form a cycle"
                f" ({' needs '.join(map(repr, cycle[:8]))}{' needs ...' if len(cycle) > 8 else ''})"
            ) from None
        self._bits: dict[str, int] = {}
        self._ancestors: dict[str, int] = {}

    def is_before(self, earlier: str, later: str) -> bool:
        """Whether `later` depends on `earlier`, directly or through other calls."""
        if not self._bits:
            self._bits = {call_id: 1 << index for index, call_id in enumerate(self._order)}
            for call_id in self._order:
                self._ancestors[call_id] = 0
                for dep in self._deps[call_id]:
                    self._ancestors[call_id] |= self._ancestors[dep] | self._bits[dep]
        return bool(self._ancestors.get(later, 0) & self._bits.get(earlier, 0))
