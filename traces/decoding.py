"""JSON bytes to workload types, with decoding errors put into the words of `traces.validation`.

msgspec reports where a value is of the wrong type as a path of indices, `$.applications[0].calls[1].output_tokens`. A
reader of a file of ten thousand applications needs their ids instead, so on an error (only then) the text is decoded
a second time without types, and the path is walked to find ids and the offending value.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from traces.validation import RULES, shown, validate_workload
from traces.workload import Application, Call, Segment, Workload

_PATH_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_MISSING = re.compile(r"missing required field `([^`]+)`")


def decode_workload(data: bytes, source: str) -> Workload:
    """Workload from one JSON object.

    Raises
    ------
    ValueError
        One line naming source, application, call, field, value and rule, or the byte at which the JSON breaks.
    """
    try:
        return msgspec.json.decode(data, type=Workload)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise _fault(_untyped(data, source), error, source) from None


def decode_application(line: bytes, source: str) -> Application:
    """Application from one line of a `.jsonl` file; errors as `decode_workload`, `source` naming the line."""
    try:
        return msgspec.json.decode(line, type=Application)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        # As if the line stood in a workload of its own, so that one walker explains both.
        raise _fault({"name": "line", "applications": [_untyped(line, source)]}, error, source) from None


def _untyped(data: bytes, source: str) -> Any:
    """The same JSON as plain Python. The standard library's reader takes NaN and 1e999, so that they can be named."""
    try:
        return json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source}: not valid JSON: {error}") from None


def _fault(document: Any, error: Exception, source: str) -> ValueError:
    """What is wrong with `document`, which msgspec would not read as a workload."""
    try:
        validate_workload(msgspec.convert(document, Workload), source=source)
    except msgspec.ValidationError as typed:
        return ValueError(_explain(str(typed), document, source))
    except UnicodeError as broken:  # a lone surrogate, which only the standard library's reader takes
        return ValueError(f"{source}: not valid JSON: {broken}")
    except ValueError as invalid:
        return invalid
    return ValueError(f"{source}: not valid JSON: {error}")


def _explain(message: str, document: Any, source: str) -> str:
    """Rewrite msgspec's `message` about `document` with ids, field, value and rule."""
    fault, _, path = message.partition(" - at `$")
    steps = [int(index) if index else name for name, index in _PATH_STEP.findall(path.rstrip("`"))]
    values = [document]
    for step in steps:
        values.append(values[-1][step])
    where = source + _ids(steps, values)
    if missing := _MISSING.search(fault):
        return f"{where}: {_field(steps, missing[1])} is missing; it {_rule(missing[1])}"
    if "unknown field" in fault:
        # Not the name in msgspec's message, which may hold any character, but the first key that has no place here.
        name = next(key for key in values[-1] if key not in _fields(steps))
        field = _field(steps, name if name.isidentifier() else repr(name))
        return f"{where}: {field}={shown(values[-1][name])} must be one of {_known(steps)}"
    if isinstance(values[-1], list | dict) or not steps or isinstance(steps[-1], int):
        return f"{where}: {_whole(steps, values[-1])}"
    return f"{where}: {_field(steps)}={shown(values[-1])} {_rule(str(steps[-1]))}"


def _ids(steps: list[str | int], values: list[Any]) -> str:
    """`: application 'A', call 'C'` for a path that passes through them; the position where there is no id."""
    words = []
    for kind, depth in (("application", 2), ("call", 4)):
        if len(steps) >= depth and isinstance(steps[depth - 1], int):
            value = values[depth]
            name = value.get("id") if isinstance(value, dict) else None
            words.append(f"{kind} {name!r}" if isinstance(name, str) else f"{kind} number {int(steps[depth - 1]) + 1}")
    return ": " + ", ".join(words) if words else ""


def _field(steps: list[str | int], *more: str) -> str:
    """Field inside the innermost application or call, as `prompt[1].tokens`."""
    inner = [*steps, *more]
    while len(inner) > 2 and inner[0] in ("applications", "calls") and isinstance(inner[1], int):
        inner = inner[2:]
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in inner)
    return text.removeprefix(".")


def _rule(field: str) -> str:
    return RULES.get(field, "must have the type that the format gives it")


def _whole(steps: list[str | int], value: Any) -> str:
    """Fault of a value that should have been another kind of JSON value altogether."""
    if not steps:
        return f"top level is {_kind(value)} and must be an object with the fields {_known(steps)}"
    last = steps[-1]
    if isinstance(last, str):
        return f"{_field(steps)}={shown(value)} {_rule(last)}"
    parent = str(steps[-2])
    if parent == "deps":
        return f"{_field(steps)}={shown(value)} must be the id of a call"
    return f"{parent}[{last}]={shown(value)} must be an object with the fields {_known(steps)}"


def _known(steps: list[str | int]) -> str:
    return ", ".join(_fields(steps))


def _fields(steps: list[str | int]) -> tuple[str, ...]:
    """Fields of the object that `steps` leads to."""
    types: dict[str, type[msgspec.Struct]] = {"applications": Application, "calls": Call, "prompt": Segment}
    return (types[str(steps[-2])] if steps else Workload).__struct_fields__


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "a string", type(None): "null"}.get(type(value), shown(value))
