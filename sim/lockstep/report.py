"""A difference as text: the case, the steps before it, and the step itself side by side."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sim.lockstep.compare import Difference
from sim.lockstep.sides import OutputView, StepView
from traces.wording import counted


def describe(difference: Difference) -> str:
    """Some lines of text."""
    lines = [difference.case.describe(), ""]
    lines += [f"step {step}, both: {_short(view)}" for step, view in difference.history]
    lines += ["", f"first difference, step {difference.step}:"]
    lines += side_by_side(difference.reference, difference.native)
    return "\n".join(lines)


def side_by_side(reference: StepView | OutputView | str, native: StepView | OutputView | str) -> list[str]:
    """A table of two views, differing rows marked."""
    left, right = _rows(reference), _rows(native)
    names = list(dict.fromkeys([*left, *right]))
    widths = [max(len(name) for name in [*names, "vLLM"]), max(len(left.get(name, "")) for name in [*names, "vLLM"])]
    widths[1] = max(widths[1], len("vLLM"))
    table = [("  ", "", "vLLM", "native")]
    table += [
        ("  " if left.get(name) == right.get(name) else "! ", name, left.get(name, ""), right.get(name, ""))
        for name in names
    ]
    return [f"{mark}{name:{widths[0]}}  {mine:{widths[1]}}  {other}".rstrip() for mark, name, mine, other in table]


def _rows(view: StepView | OutputView | str) -> dict[str, str]:
    if isinstance(view, str):
        return {"raised": view}
    rows: dict[str, str] = {}
    for field in fields(view):
        value: Any = getattr(view, field.name)
        if field.name == "scheduled":
            for request, (num_new, num_computed) in sorted(value.items()):
                rows[f"request {request}"] = f"{counted(num_new, 'token')} after {num_computed}"
        else:
            rows[field.name.replace("_", " ")] = str(value)
    return rows


def _short(view: StepView) -> str:
    scheduled = " ".join(f"{request}:{new}@{computed}" for request, (new, computed) in view.scheduled.items())
    preempted = f"; preempted {view.preempted}" if view.preempted else ""
    return f"{scheduled or 'nothing'}{preempted}; {view.num_free_blocks} free; waiting {view.waiting}"
