"""`dovetail measure` as a process: faults, signals, and what it writes, on vLLM's engines and the virtual device."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="module", autouse=True)
def _vllm() -> None:
    try:
        require_vllm()
    except ValueError as error:
        pytest.skip(str(error))


class Run:
    """One command, in a session of its own as in a terminal."""

    def __init__(self, folder: Path, num_calls: int, *options: str, rate: float = 40.0, output: int = 40) -> None:
        arrivals = np.arange(num_calls) / rate
        save_workload(single_calls(fixed_lengths(64, output, num_calls), arrivals), folder / "work.json")
        words = ("measure", "work.json", "--device", "virtual", "--out", "run", *options)
        command = [sys.executable, "-m", "dovetail", *words]
        self._folder = folder
        self.process = subprocess.Popen(
            command, cwd=folder, env=os.environ | {"TMPDIR": str(folder)}, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.err = ""

    def engines(self, num_engines: int) -> list[Any]:
        """The engines' processes, once every engine has run its first steps."""
        import psutil

        give_up_at = time.monotonic() + 120.0  # some 12 s on an idle machine
        while time.monotonic() < give_up_at and self.process.poll() is None:
            recorded = [file for file in self._folder.rglob("engine-*/*") if "log" not in file.name]
            if len({file.parent for file in recorded if file.stat().st_size > 0}) == num_engines:
                return psutil.Process(self.process.pid).children(recursive=True)
            time.sleep(0.05)
        raise TimeoutError(self.process.communicate())

    def end(self) -> int:
        """Wait for its end; the exit status."""
        _, self.err = self.process.communicate(timeout=120.0)
        return self.process.returncode

    @property
    def records(self) -> RunRecords:
        return read_run(self._folder / "run")


def test_engines_end_by_themselves_when_the_command_is_killed(tmp_path: Path) -> None:
    import psutil

    run = Run(tmp_path, 4, "--engines", "2", output=3000)
    engines = run.engines(2)
    run.process.kill()
    assert run.end() == -signal.SIGKILL
    assert psutil.wait_procs(engines, timeout=20.0)[1] == []


def test_killing_an_engine_in_the_middle_of_a_run_loses_no_call(tmp_path: Path) -> None:
    run = Run(tmp_path, 200, "--engines", "3")
    engines = run.engines(3)
    time.sleep(1.0)
    engines[1].kill()
    assert run.end() == 0, run.err
    assert "lost: its process died" in run.err
    records = run.records
    assert (records.calls["status"] == "ok").sum() == 200
    fault = records.manifest["faults"][0]
    assert (fault["kind"], records.manifest["complete"]) == ("engine lost", True)
    assert fault["num_moved"] > 0
    assert (records.calls["finished_at"] < fault["at"]).any()


def test_a_call_that_had_begun_fails_with_its_engine_where_that_is_asked_for(tmp_path: Path) -> None:
    run = Run(tmp_path, 20, "--on-engine-failure", "fail", rate=10.0, output=500)
    engines = run.engines(1)
    time.sleep(1.0)
    engines[0].kill()
    assert run.end() == 1
    assert "20 of 20 calls not done" in run.err
    assert run.records.manifest["complete"] is False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_readable_records_and_no_process(number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C goes to all processes of the terminal, SIGTERM to the one that it is sent to."""
    run = Run(tmp_path, 400, "--engines", "2")
    engines = run.engines(2)
    time.sleep(1.5)
    if number is signal.SIGINT:
        os.killpg(run.process.pid, number)
    else:
        run.process.send_signal(number)
    assert run.end() == 130, run.err
    assert not any(engine.is_running() for engine in engines)
    records = run.records
    assert (records.manifest["complete"], records.manifest["error"]) == (False, "interrupted")
    counts = records.calls["status"].value_counts()
    assert counts["ok"] > 0
    assert counts["ok"] + counts["interrupted"] == 400
    assert len(records.steps) > 0


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of 5,000 calls that come at once."""
    run = Run(tmp_path_factory.mktemp("busy"), 5000, "--engines", "2", "--window", "500", rate=1e6, output=4)
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
