"""vLLM's own API server, as a process on the virtual device."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from realexec.engine_options import EngineOptions, to_additional_config
from realexec.virtual import ENVIRONMENT_VARIABLE
from sim.vllm_version import require_vllm

_MODEL = Path(__file__).parents[3] / "realexec/models/llama-13b"
_FLAGS = (
    "--skip-tokenizer-init",
    "--load-format=dummy",
    "--served-model-name=llama-13b",
    "--scheduling-policy=priority",
    "--max-num-seqs=8",
    "--enable-prompt-tokens-details",
    "--scheduler-cls=realexec.scheduler.RecordingScheduler",
)
_MODULES = ("uvicorn", "fastapi", "aiohttp")


@dataclass
class VllmServer:
    """A server in a session of its own, which its engine's process shares."""

    url: str
    record_dir: Path
    process: subprocess.Popen[bytes]
    port: socket.socket  # bound, so that nobody else gets it before the server asks for it

    def kill(self) -> None:
        """End it and its engine at once, without a farewell."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.port.close()

    def wait_until_ready(self) -> None:
        give_up_at = time.monotonic() + 600.0  # some 20 s on an idle machine
        while time.monotonic() < give_up_at and self.process.poll() is None:
            try:
                urlopen(self.url + "/health").close()
            except (URLError, ConnectionError):
                time.sleep(0.1)
            else:
                return
        raise TimeoutError(f"{self.url} did not come up: {(self.record_dir / 'server.log').read_text()[-2000:]}")


def _start(folder: Path, *flags: str) -> VllmServer:
    """A server that is starting; its log and its scheduler's records are in `folder`."""
    free = socket.socket()
    free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as vLLM's server does, which may then bind it, too
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
    config = json.dumps(to_additional_config(EngineOptions(record_folder=str(folder))))
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host=127.0.0.1", f"--port={port}"]
    command += [f"--model={_MODEL}", *_FLAGS, f"--additional-config={config}", *flags]
    environment = os.environ | {ENVIRONMENT_VARIABLE: "h100-llama-13b"}
    folder.mkdir()
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    return VllmServer(f"http://127.0.0.1:{port}", folder, process, free)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[VllmServer]]:
    """Two servers, started side by side; the second wants the key "sesame"."""
    try:
        require_vllm()
    except ValueError as error:
        pytest.skip(str(error))
    for module in _MODULES:
        pytest.importorskip(module, reason=f"vLLM's API server needs {module}")
    folder = tmp_path_factory.mktemp("servers")
    started = [_start(folder / "0"), _start(folder / "1", "--api-key=sesame")]
    try:
        for server in started:
            server.wait_until_ready()
        yield started
    finally:
        for server in started:
            server.kill()
