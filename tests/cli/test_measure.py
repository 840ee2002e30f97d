"""`dovetail measure` as a process: faults, signals, and what it writes, on vLLM's engines and the virtual device."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from policies.fifo import Fifo
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from sim.vllm_version import require_vllm
from traces.files import save_workload
from traces.generators.lengths import fixed_lengths
from traces.generators.single import single_calls
from traces.records import RunRecords, read_run
from traces.workload import Application, Call, Workload, text

#: Seconds after which a test that waits for a process gives up, not a time that anything should take.
_LIMIT = 300.0


@pytest.fixture(scope="module", autouse=True)
def _vllm() -> None:
    try:
        require_vllm()
    except ValueError as error:
        pytest.skip(str(error))


def calls_at_once(num_calls: int, output: int) -> Workload:
    """One application, so that its calls come in one instant on a slow machine, too."""
    calls = tuple(Call(f"c{n}", (text(f"prompt {n}", 64),), output) for n in range(num_calls))
    return Workload("calls at once", (Application("a", 0.0, calls),))


def pairs(num_apps: int, output: int) -> Workload:
    """A short call, and then one of `output` tokens, which take some 12 ms each."""
    short, long = (Call(name, (text(name, 64),), num) for name, num in (("short", 4), ("long", output)))
    calls = (short, msgspec.structs.replace(long, deps=("short",)))
    return Workload("pairs", tuple(Application(str(n), 0.0, calls) for n in range(num_apps)))


class Run:
    """One command, in a session of its own as in a terminal."""

    def __init__(self, folder: Path, workload: Workload, *options: str) -> None:
        save_workload(workload, folder / "work.json")
        words = ("measure", "work.json", "--device", "virtual", "--out", "run", *options)
        command = [sys.executable, "-m", "dovetail", *words]
        self._folder = folder
        self.process = subprocess.Popen(
            command, cwd=folder, env=os.environ | {"TMPDIR": str(folder)}, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.err = ""

    def engines(self, num_engines: int) -> list[Any]:
        """The engines' processes, once each has begun a call of an odd number: of pairs, the second of one.

        Its first has then ended, and it itself will not have ended soon.
        """
        import psutil

        give_up_at = time.monotonic() + _LIMIT  # some 12 s on an idle machine
        while time.monotonic() < give_up_at and self.process.poll() is None:
            begun = [re.search(r"call-\d*[13579]-", file.read_text()) for file in self._folder.rglob("requests.jsonl")]
            if sum(map(bool, begun)) == num_engines:
                children = psutil.Process(self.process.pid).children(recursive=True)
                return [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]
            time.sleep(0.05)
        raise TimeoutError(self.process.communicate())

    def end(self) -> int:
        """Wait for its end; the exit status."""
        _, self.err = self.process.communicate(timeout=_LIMIT)
        return self.process.returncode

    @property
    def records(self) -> RunRecords:
        return read_run(self._folder / "run")


def running(processes: list[Any]) -> list[Any]:
    """Those that have not ended; a zombie has."""
    import psutil

    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def test_engines_end_by_themselves_when_the_command_is_killed(tmp_path: Path) -> None:
    run = Run(tmp_path, pairs(4, 3000), "--engines", "2")
    engines = run.engines(2)
    run.process.kill()
    assert run.end() == -signal.SIGKILL
    give_up_at = time.monotonic() + _LIMIT
    while running(engines):
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def test_killing_an_engine_in_the_middle_of_a_run_loses_no_call(tmp_path: Path) -> None:
    run = Run(tmp_path, pairs(6, 600), "--engines", "3")
    engines = run.engines(3)
    engines[1].kill()
    assert run.end() == 0, run.err
    assert "lost: its process died" in run.err
    records = run.records
    assert (records.calls["status"] == "ok").sum() == 12
    [fault] = records.manifest["faults"]
    assert (fault["kind"], records.manifest["complete"]) == ("engine lost", True)
    assert fault["num_moved"] > 0
    assert (records.calls["finished_at"] < fault["at"]).any()


def test_calls_fail_with_the_last_engine(tmp_path: Path) -> None:
    run = Run(tmp_path, calls_at_once(20, 4000), "--on-engine-failure", "fail")
    run.engines(1)[0].kill()
    assert run.end() == 1
    assert "20 of 20 calls not done" in run.err
    assert run.records.manifest["complete"] is False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_readable_records_and_no_process(number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C goes to all processes of the terminal, SIGTERM to the one that it is sent to."""
    run = Run(tmp_path, pairs(8, 3000), "--engines", "2")
    engines = run.engines(2)
    if number is signal.SIGINT:
        os.killpg(run.process.pid, number)
    else:
        run.process.send_signal(number)
    assert run.end() == 130, run.err
    assert running(engines) == []
    records = run.records
    assert (records.manifest["complete"], records.manifest["error"]) == (False, "interrupted")
    counts = records.calls["status"].value_counts()
    assert counts["ok"] > 0
    assert counts["ok"] + counts["interrupted"] == 16
    assert len(records.steps) > 0


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of 5,000 calls that come at once."""
    run = Run(tmp_path_factory.mktemp("busy"), calls_at_once(5000, 4), "--engines", "2", "--window", "500")
    assert run.end() == 0, run.err
    return run


def test_five_thousand_calls_with_a_thousand_in_flight_finish(busy: Run) -> None:
    calls = busy.records.calls
    assert (calls["status"] == "ok").all()
    changes = np.concatenate([-np.ones(5000), np.ones(5000)])  # a call takes the place of one that ends at its instant
    instants = np.concatenate([calls["finished_at"], calls["dispatched_at"]])
    assert np.cumsum(changes[np.argsort(instants, kind="stable")]).max() == 1000


def test_the_manifest_says_what_a_simulations_does_and_more(busy: Run) -> None:
    profile = load_profile("h100-llama-13b")
    cluster = SimulatedCluster(profile, 1, settings_of(profile))
    simulated = simulate(single_calls(fixed_lengths(64, 4, 2), np.zeros(2)), Fifo(), cluster)
    manifest = busy.records.manifest
    own = {"scheduler", "step_by_step", "profile_of"}  # of the simulated engine and its step costs
    assert set(simulated.manifest) - own <= set(manifest)
    assert set(simulated.manifest["engine_settings"]) <= set(manifest["engine_settings"])
    assert manifest["seeds"] == {"network": 0, "policy": 0}
    assert (manifest["profile"], manifest["engine"]) == ("h100-llama-13b", f"vllm {require_vllm()}")
