"""Names for results: a digest of everything that decides them, so that a finished cell is found again, or is not.

A cell is the same when its workload, options, seed and the files it names are the same, and the code is: that of the
simulator and that of its policy. A policy that was edited runs again; the results of the others are kept.
"""

from __future__ import annotations

import hashlib
import json
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from dovetail.sweeps.cell import Cell, parse_words
from policies.load import find_policy_class, policy_names

#: Packages and modules whose code every cell runs.
_CODE = ("traces", "policies", "sim", "analysis.statistics", "analysis.bounds", "analysis.metrics", "dovetail.sweeps")

#: Of these, what decides no result.
_NOT_CODE = (
    *(f"dovetail/sweeps/{name}.py" for name in ("local", "on_ray", "store", "report", "pictures")),
    *(f"analysis/statistics/{name}.py" for name in ("intervals", "sweep_tables")),
)


def cell_key(cell: Cell, code: str) -> str:
    """Name of a cell's result.

    Parameters
    ----------
    cell : Cell
    code : str
        `code_digest`.
    """
    described = asdict(cell)
    del described["coordinates"], described["source"]["folder"]  # names of things, not things
    options = parse_words(cell.words)
    files = [_file_digest(path) for path in _files(cell, options)]
    policies = [policy_digest(name) for name in (options["policy"], options["routing"]) if name is not None]
    text = json.dumps([described, files, policies, code], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _files(cell: Cell, options: dict[str, Any]) -> Iterator[Path]:
    """Files that the cell reads: workloads, and a profile that is given by path."""
    named = [Path(cell.source.folder, word) for _, line in cell.source.parts for word in line.split()]
    yield from (path for path in [*named, Path(options["profile"])] if path.is_file())


@cache
def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def code_digest() -> str:
    """Digest of the code that all cells run: everything but the files that define one policy each."""
    own_policies = {f"policies/{name.replace('-', '_')}.py" for name in policy_names()}
    digest = hashlib.sha256(sys.version.encode())
    for name, path in sorted(_code_files()):
        if name not in own_policies and name not in _NOT_CODE:
            digest.update(f"{name}\0{_file_digest(path)}\0".encode())
    return digest.hexdigest()


def _code_files() -> Iterator[tuple[str, Path]]:
    for name in _CODE:
        module = import_module(name)
        root = Path(str(module.__file__))
        if root.name != "__init__.py":
            yield f"{name.replace('.', '/')}.py", root
            continue
        for path in [*root.parent.rglob("*.py"), *root.parent.rglob("*.json")]:
            yield f"{name.replace('.', '/')}/{path.relative_to(root.parent)}", path


@cache
def policy_digest(name: str) -> str:
    """Digest of a policy's module and of the modules, not of Python or installed packages, that it uses."""
    seen: dict[str, ModuleType] = {}
    _collect(sys.modules[find_policy_class(name).__module__], seen)
    files = sorted((each, Path(str(module.__file__))) for each, module in seen.items())
    return hashlib.sha256(json.dumps([(each, _file_digest(path)) for each, path in files]).encode()).hexdigest()


def _collect(module: ModuleType, seen: dict[str, ModuleType]) -> None:
    """Add a module and those whose names it holds. An import inside a function is not seen."""
    if module.__name__ in seen or not _is_ours(module):
        return
    seen[module.__name__] = module
    for value in list(vars(module).values()):
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(name, str) and name in sys.modules:
            _collect(sys.modules[name], seen)


def _is_ours(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py"):
        return False
    if module.__name__.partition(".")[0] in ("policies", "traces"):
        return True
    return not any(Path(file).is_relative_to(sysconfig.get_path(each)) for each in ("stdlib", "purelib", "platlib"))
