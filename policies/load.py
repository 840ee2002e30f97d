"""From names on the command line to policy objects. There is no registry: a name is a file, or `module:Class`."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from policies.interface import Policy


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy with what it was made from, for the manifest.

    Parameters
    ----------
    policy : Policy
    name : str
        As given.
    parameters : dict of str to object
        Every constructor parameter, defaults included.
    """

    policy: Policy
    name: str
    parameters: dict[str, Any]


def load_policy(name: str, arguments: Sequence[str] = (), *, seed: int = 0) -> LoadedPolicy:
    """Make the policy of a name.

    Parameters
    ----------
    name : str
        `stage-priority` is the one policy class of `policies/stage_priority.py`; `module:Class` is any importable
        class, modules in the current directory included.
    arguments : sequence of str
        Constructor parameters as `key=value`, typed by the constructor's annotations; a mapping is written
        `bounds=map=8,reduce=2`, a sequence `weights=1,2,3`.
    seed : int
        Value of a constructor parameter called `seed` that `arguments` leaves out.

    Raises
    ------
    ValueError
        When there is no such policy, or an argument is unknown, missing or of the wrong type; one line.
    """
    policy_class = find_policy_class(name)
    parameters = inspect.signature(policy_class).parameters
    given = _split_arguments(name, arguments)
    for key in given:
        if key not in parameters:
            known = ", ".join(parameters) or "none"
            raise ValueError(f"policy {name!r}: parameter {key!r} is unknown; it takes: {known}")
    hints = get_type_hints(policy_class.__init__)
    values = {key: _typed(f"policy {name!r}: {key}", text, hints.get(key, str)) for key, text in given.items()}
    if "seed" in parameters:
        values.setdefault("seed", seed)
    missing = [key for key, each in parameters.items() if each.default is each.empty and key not in values]
    if missing:
        raise ValueError(f"policy {name!r}: parameter {missing[0]!r} has no default and must be given")
    try:
        policy = policy_class(**values)
    except ValueError as error:
        raise ValueError(f"policy {name!r}: {error}") from None
    defaults = {key: each.default for key, each in parameters.items() if key not in values}
    return LoadedPolicy(policy, name, {**defaults, **values})


def policy_names() -> list[str]:
    """Names of the policies in `policies/`, sorted: the files that define exactly one."""
    stems = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")
    return [stem.replace("_", "-") for stem in stems if len(_policy_classes(import_module(f"policies.{stem}"))) == 1]


def find_policy_class(name: str) -> type[Policy]:
    """Class behind a name.

    Raises
    ------
    ValueError
        When there is none; the message lists what there is.
    """
    module_name, colon, class_name = name.partition(":")
    if colon:
        return _class_at(module_name, class_name)
    if not re.fullmatch(r"[a-z0-9-]+", name) or name not in policy_names():
        raise ValueError(f"policy={name!r} is none of {', '.join(policy_names())}, and not a 'module:Class'")
    return _policy_classes(import_module(f"policies.{name.replace('-', '_')}"))[0]


def _class_at(module_name: str, class_name: str) -> type[Policy]:
    where = f"policy='{module_name}:{class_name}'"
    if module_name.endswith(".py"):
        raise ValueError(f"{where} must be 'module:Class': write {module_name.removesuffix('.py')!r}, without .py")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # last, so that a stray file there shadows nothing
    try:
        module = import_module(module_name)
    except (ImportError, ValueError, SyntaxError, TypeError) as error:
        raise ValueError(f"{where}: module {module_name!r} cannot be imported: {error}") from None
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Policy)):
        known = ", ".join(each.__name__ for each in _policy_classes(module)) or "none"
        raise ValueError(
            f"{where} must be a subclass of policies.interface.Policy; in {module_name!r} there is: {known}"
        )
    return found


def _policy_classes(module: ModuleType) -> list[type[Policy]]:
    """Policies that a module defines itself, without the base class."""
    classes = [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__]
    return [each for each in classes if issubclass(each, Policy) and each is not Policy]


def _split_arguments(name: str, arguments: Sequence[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not (key and equals):
            raise ValueError(f"policy {name!r}: argument {argument!r} must be key=value")
        if key in given:
            raise ValueError(f"policy {name!r}: parameter {key!r} is given twice")
        given[key] = value
    return given


def _typed(where: str, text: str, annotation: Any) -> Any:
    """Value of an argument by its annotation; "none" where that allows None."""
    if get_origin(annotation) in (Union, UnionType):
        if text.lower() == "none" and type(None) in get_args(annotation):
            return None
        return _typed(where, text, next(each for each in get_args(annotation) if each is not type(None)))
    origin = get_origin(annotation) or annotation
    raw: Any = text
    if isinstance(origin, type) and issubclass(origin, Mapping):
        raw = _split_mapping(where, text)
    elif isinstance(origin, type) and issubclass(origin, Sequence) and origin is not str:
        raw = text.split(",")
    try:
        return msgspec.convert(raw, annotation, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"{where}={text!r} must fit {inspect.formatannotation(annotation)}: {error}") from None


def _split_mapping(where: str, text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for item in text.split(","):
        key, equals, value = item.partition("=")
        if not (key and equals) or key in pairs:
            raise ValueError(f"{where}={text!r} must be key=value pairs, separated by commas, each key once")
        pairs[key] = value
    return pairs
