"""The files that `dovetail policies new` writes."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template

_POLICY = Template('''"""$title: say here in one line what is scheduled how, and where the idea is from."""

from __future__ import annotations

from collections.abc import Sequence

from policies.interface import CallView, EngineId, EngineView, Policy, least_loaded


class $class_name(Policy):
    """Shortest prompt first, to the least loaded engine that has fewer than `most_per_engine` calls.

    Parameters
    ----------
    most_per_engine : int
        On the command line: `--policy-arg most_per_engine=4`.

    Notes
    -----
    `CallView` and `EngineView` in `policies/interface.py` list what a policy may look at. It keeps no clock and draws
    nothing at random that it was not given a seed for, so that equal runs take equal decisions.
    """

    def __init__(self, most_per_engine: int = 8) -> None:
        if most_per_engine < 1:
            raise ValueError(f"most_per_engine={most_per_engine} must be positive")
        self._most_per_engine = most_per_engine

    def rank(self, call: CallView, now: float) -> int:
        """Order of the calls that wait, lower first; ties go to the earliest submitted."""
        return call.num_prompt_tokens

    def route(self, call: CallView, engines: Sequence[EngineView], now: float) -> EngineId | None:
        """Engine for the call; None holds it until something changes. An engine id is not always an index."""
        return least_loaded([engine for engine in engines if engine.num_unfinished < self._most_per_engine])
''')

_TEST = Template('''"""What $class_name decides, and that it keeps what every policy must."""

import pytest
from policies.coordinator import Coordinator
from policies.engines import EngineState
from policies.gateway import Gateway
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.arrivals import all_at_once
from traces.generators.mapreduce import map_reduce
from traces.workload import Application, Call, Workload, text

from $module import $class_name


def sent(policy, prompts, num_engines=1):
    """(application, engine) of the calls sent out at once, of applications of one call with these prompt lengths."""
    calls = {name: Call("c", (text(name, tokens),), 5) for name, tokens in prompts.items()}
    workload = Workload("w", tuple(Application(name, 0.0, (call,)) for name, call in calls.items()))
    engines = [EngineState(i, num_blocks=100, block_size=16, max_num_seqs=8) for i in range(num_engines)]
    coordinator = Coordinator(workload, policy, engines)
    actions = [coordinator.application_arrived(app, 0.0) for app in coordinator.applications]
    return [(call.app_id, call.engine_id) for each in actions for call in each.dispatches]


def test_calls_go_to_the_least_loaded_engine_up_to_the_bound():
    policy = $class_name(most_per_engine=1)
    assert sent(policy, {"a": 10, "b": 10, "c": 10}, num_engines=2) == [("a", 0), ("b", 1)]


def run(window=0):
    profile = load_profile("h100-llama-13b")
    cluster = SimulatedCluster(profile, 2, settings_of(profile))
    workload = map_reduce(6, all_at_once(8))
    return simulate(workload, $class_name(), cluster, Gateway(window=window))


@pytest.mark.parametrize("window", [0, 2])
def test_every_call_finishes(window):
    assert (run(window).calls.status == "ok").all()


def test_the_shortest_prompts_go_first():
    """The reduce calls (320 tokens) pass the maps (1,020 tokens) that wait."""
    calls = run(window=2).calls
    waits = (calls.dispatched_at - calls.submitted_at).groupby(calls.stage).max()
    assert waits["reduce"] < waits["map"]


def test_equal_runs_take_equal_decisions():
    assert run(window=2).decisions.equals(run(window=2).decisions)
''')


def write_policy(name: str, folder: Path) -> tuple[Path, Path]:
    """Write a policy that is ready to edit, and its test.

    Parameters
    ----------
    name : str
        Such as `my-policy`: the file is `my_policy.py`, the class `MyPolicy`.
    folder : Path
        Made when it is not there.

    Returns
    -------
    tuple of Path
        The policy and its test.

    Raises
    ------
    ValueError
        When the name is not of that form or taken by a policy or a module, or one of the files exists.
    """
    module = name.replace("-", "_")
    _check_name(name, module)
    texts = {folder / f"{module}.py": _POLICY, folder / f"test_{module}.py": _TEST}
    for path in texts:
        if path.exists():
            raise ValueError(f"{path} exists already")
    folder.mkdir(parents=True, exist_ok=True)
    words = module.split("_")
    fields = {
        "module": module,
        "class_name": "".join(word.capitalize() for word in words),
        "title": " ".join(words).capitalize(),
    }
    for path, template in texts.items():
        path.write_text(template.substitute(fields))
    policy, test = texts
    return policy, test


def _check_name(name: str, module: str) -> None:
    from importlib.util import find_spec

    from policies.load import policy_names

    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", name):
        raise ValueError(f"name={name!r} must be lower-case words with hyphens between, such as my-policy")
    if module.replace("_", "-") in policy_names():
        raise ValueError(f"name={name!r} is taken: `dovetail policies show {name}` says by what")
    if find_spec(module) is not None:
        raise ValueError(f"name={name!r} is taken: there is a Python module {module!r} already")
