"""A package imports only what stands below it; read from the import statements, so nothing is run."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: What each package may import of ours.
ALLOWED = {
    "traces": set(),
    "policies": {"traces"},
    "sim": {"policies", "traces"},
    "realexec": {"policies", "traces", "sim"},
    "analysis": {"traces"},
    "reproduce": {"traces", "policies", "sim", "analysis"},
    "dovetail": {"traces", "policies", "sim", "analysis", "reproduce", "realexec"},
}

#: Libraries, and the folders that may import them: vLLM and torch are the real backend's and the reference engine's.
OWNERS = {
    "simpy": {"sim"},
    "vllm": {"realexec", "sim/reference"},
    "torch": {"realexec", "sim/reference"},
    "click": {"dovetail"},
    "ray": {"dovetail/sweeps"},
}

FILES = [path for package in ALLOWED for path in sorted((ROOT / package).rglob("*.py"))]


def imported_packages(file: Path) -> set[str]:
    """Top-level names of everything a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_stands_below_its_package(file: Path) -> None:
    path = file.relative_to(ROOT)
    package = path.parts[0]
    imported = imported_packages(file)
    assert imported & set(ALLOWED) <= ALLOWED[package] | {package}
    for library, owners in OWNERS.items():
        is_owner = any(path.is_relative_to(owner) for owner in owners)
        assert library not in imported or is_owner, f"{library} belongs to {owners}"


def test_the_real_backend_does_without_the_reference_engine() -> None:
    using = [file for file in (ROOT / "realexec").rglob("*.py") if "sim.reference" in file.read_text()]
    assert using == []


def test_a_forbidden_import_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("import json\ndef late():\n    from sim.engine import Engine\n    return Engine\n")
    assert imported_packages(file) == {"json", "sim"}


def test_importing_the_simulator_needs_neither_vllm_nor_torch() -> None:
    """`None` in `sys.modules` makes an import fail, as on a machine without them. The reference engine is vLLM."""
    script = (
        "import sys, importlib, pkgutil\n"
        "for name in ('vllm', 'torch'): sys.modules[name] = None\n"
        "import sim\n"
        "for module in pkgutil.walk_packages(sim.__path__, 'sim.'):\n"
        "    if not module.name.startswith('sim.reference.'): importlib.import_module(module.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
