"""Makes a case that shows a difference smaller while it still shows one.

Tries, in rounds until none helps: leave out applications, calls and parts of prompts; switch features off; make every
number smaller. Any difference counts, not only the one that was found first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from sim.lockstep.cases import Case
from traces.workload import Application, Call, Segment, text

#: What switches a feature off, or makes a limit one that never binds.
_PLAIN: dict[str, Any] = {
    "watermark": 0.0,
    "scheduling_policy": "fcfs",
    "long_prefill_token_threshold": 0,
    "scheduler_reserve_full_isl": False,
    "enable_prefix_caching": False,
    "enable_chunked_prefill": True,
    "async_scheduling": False,
    "max_num_seqs": 256,
    "max_num_batched_tokens": 8192,
}

_Less = Callable[[int, int], int]  # a smaller value than the first that is no less than the second

#: A change to whatever case it is given; one that no longer applies gives the case back.
Edit = Callable[[Case], Case]

_NUMBERS = ("num_blocks", "max_model_len", "max_num_batched_tokens", "max_num_seqs", "block_size")


def shrink(case: Case, differs: Callable[[Case], bool], seconds: float = 60.0) -> Case:
    """A smaller case for which `differs` is true, as it is for `case`.

    Parameters
    ----------
    case : Case
    differs : callable
        Whether a valid case shows a difference.
    seconds : float
        Stop looking after this time.
    """
    deadline = time.monotonic() + seconds
    before = None
    while case is not before and time.monotonic() < deadline:
        before = case
        for edits in (_fewer_applications, _fewer_calls, _plainer, _fewer_parts, _fewer_deps, _smaller_numbers):
            for edit in edits(case):
                smaller = edit(case)
                if smaller != case and smaller.is_valid() and differs(smaller):
                    case = smaller
                if time.monotonic() > deadline:
                    return case
    return case


def _fewer_applications(case: Case) -> Iterator[Edit]:
    """Without one half of them, the other, the quarters, ..., each alone."""
    ids = [application.id for application in case.workload.applications]
    size = len(ids) // 2
    while size:
        for start in reversed(range(0, len(ids), size)):
            yield partial(_without_applications, ids=set(ids[start : start + size]))
        size //= 2


def _fewer_calls(case: Case) -> Iterator[Edit]:
    for application in case.workload.applications:
        for call in reversed(application.calls):
            yield partial(_on_call, where=(application.id, call.id), change=_left_out)


def _plainer(case: Case) -> Iterator[Edit]:
    yield partial(replace, plans_empty_steps=True)
    yield partial(replace, skip_share=0.0)
    for name, value in _PLAIN.items():
        yield partial(_with_setting, name=name, value=value)


def _fewer_parts(case: Case) -> Iterator[Edit]:
    for application in case.workload.applications:
        for call in application.calls:
            where = (application.id, call.id)
            for place in reversed(range(len(call.prompt))):
                yield partial(_on_call, where=where, change=partial(_without_part, place=place))
            yield partial(_on_call, where=where, change=partial(msgspec.structs.replace, priority=0))


def _fewer_deps(case: Case) -> Iterator[Edit]:
    """Calls that need not wait for others: text of the same length in place of their outputs."""
    for application in case.workload.applications:
        outputs = {call.id: call.output_tokens for call in application.calls}
        for call in application.calls:
            where = (application.id, call.id)
            yield partial(_on_call, where=where, change=_without_needless_deps)
            yield partial(_on_call, where=where, change=partial(_without_deps, outputs=outputs))


def _smaller_numbers(case: Case) -> Iterator[Edit]:
    """Every number at its least, then half way to it, then one less."""
    for less in (_least, _half, _one_less):
        for name in _NUMBERS:
            yield partial(_with_less, name=name, less=less)
        for name, tokens in sorted(_texts(case)):
            yield partial(_with_text, name=name, old=tokens, tokens=less(tokens, 1))
        for application in case.workload.applications:
            yield partial(_with_earlier, app_id=application.id, less=less)
            for call in application.calls:
                yield partial(_on_call, where=(application.id, call.id), change=partial(_shorter, less=less))
                yield partial(_on_call, where=(application.id, call.id), change=partial(_sooner, less=less))


def _least(value: int, least: int) -> int:
    return least


def _half(value: int, least: int) -> int:
    return (value + least) // 2


def _one_less(value: int, least: int) -> int:
    return max(value - 1, least)


def _left_out(call: Call) -> None:
    """No call."""


def _without_needless_deps(call: Call) -> Call:
    needed = {part.output_of for part in call.prompt}
    return msgspec.structs.replace(call, deps=tuple(dep for dep in call.deps if dep in needed))


def _without_deps(call: Call, outputs: dict[str, int]) -> Call:
    prompt = [part if part.output_of is None else text(part.output_of, outputs[part.output_of]) for part in call.prompt]
    return msgspec.structs.replace(call, deps=(), prompt=tuple(prompt))


def _without_part(call: Call, place: int) -> Call:
    return msgspec.structs.replace(call, prompt=call.prompt[:place] + call.prompt[place + 1 :])


def _shorter(call: Call, less: _Less) -> Call:
    return msgspec.structs.replace(call, output_tokens=less(call.output_tokens, 1))


def _sooner(call: Call, less: _Less) -> Call:
    return msgspec.structs.replace(call, delay=float(less(int(call.delay), 0)))


def _without_applications(case: Case, ids: set[str]) -> Case:
    return _with(case, tuple(each for each in case.workload.applications if each.id not in ids))


def _with_earlier(case: Case, app_id: str, less: _Less) -> Case:
    return _with(
        case,
        tuple(
            msgspec.structs.replace(each, arrival=float(less(int(each.arrival), 0))) if each.id == app_id else each
            for each in case.workload.applications
        ),
    )


def _on_call(case: Case, where: tuple[str, str], change: Callable[[Call], Call | None]) -> Case:
    """The case with one call changed, or left out where `change` gives None."""
    applications = []
    for application in case.workload.applications:
        if application.id == where[0]:
            changed = [change(call) if call.id == where[1] else call for call in application.calls]
            application = msgspec.structs.replace(
                application, calls=tuple(call for call in changed if call is not None)
            )
        applications.append(application)
    return _with(case, tuple(application for application in applications if application.calls))


def _texts(case: Case) -> set[tuple[str, int]]:
    return {
        (part.segment, part.tokens)
        for application in case.workload.applications
        for call in application.calls
        for part in call.prompt
        if part.segment is not None and part.tokens is not None
    }


def _with_text(case: Case, name: str, old: int, tokens: int) -> Case:
    """The case with one text shorter everywhere, so that what was shared stays shared."""

    def shorter(part: Segment) -> Segment:
        return Segment(name, tokens) if (part.segment, part.tokens) == (name, old) else part

    applications = []
    for application in case.workload.applications:
        calls = [
            msgspec.structs.replace(call, prompt=tuple(shorter(part) for part in call.prompt))
            for call in application.calls
        ]
        applications.append(msgspec.structs.replace(application, calls=tuple(calls)))
    return _with(case, tuple(applications))


def _with(case: Case, applications: tuple[Application, ...]) -> Case:
    return replace(case, workload=msgspec.structs.replace(case.workload, applications=applications))


def _with_less(case: Case, name: str, less: _Less) -> Case:
    value = getattr(case.settings, name)
    return case if value == _PLAIN.get(name) else _with_setting(case, name, less(value, 1))


def _with_setting(case: Case, name: str, value: Any) -> Case:
    """The case with another limit, unless the limits then contradict each other."""
    try:
        return replace(case, settings=replace(case.settings, **{name: value}))
    except ValueError:
        return case
