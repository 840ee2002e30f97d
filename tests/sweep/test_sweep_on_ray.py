"""A sweep on a Ray cluster gives the table of this machine's cores, and a node that joins takes its share."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.sweep.conftest import ROOT, Swept, sweep_in, table_of

pytest.importorskip("ray", reason="Ray is not installed: pip install 'dovetail[ray]'")

#: Starts a cluster of two nodes, prints its address and stays until its input ends.
CLUSTER = """
from ray.cluster_utils import Cluster
import sys
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1)
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@contextmanager
def cluster_of_two_nodes(**environment: str) -> Iterator[str]:
    """Address of a cluster of two node processes on this machine, of one core each."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    command = [sys.executable, "-c", CLUSTER]
    with subprocess.Popen(command, text=True, env={**os.environ, **environment}, **pipes) as cluster:
        assert cluster.stdout is not None
        yield cluster.stdout.readline().strip()
        cluster.communicate(timeout=60)


@pytest.fixture(autouse=True)
def _nodes_have_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_two_ray_nodes_share_the_cells_and_give_the_same_table(spec: Path, whole: Swept, tmp_path: Path) -> None:
    with cluster_of_two_nodes() as address:
        ended = sweep_in(tmp_path, spec, "--ray", address)
    assert ended.status == 0, ended.err
    assert (ended.folder / "cells.parquet").read_bytes() == (whole.folder / "cells.parquet").read_bytes()
    assert table_of(ended.folder, "ran")["node"].nunique() == 2  # how many each ran depends on which was up first


def test_a_cluster_that_is_not_there_is_an_error_of_one_line(spec: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    ended = sweep_in(tmp_path, spec, "--ray", address)
    assert ended.status == 2
    assert ended.err == f"dovetail: --ray {address}: no cluster can be reached there: [Errno 111] Connection refused\n"


def test_a_cluster_that_wants_a_token_is_an_error_that_says_how_to_give_it(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # of the client
    with cluster_of_two_nodes(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64) as address:
        ended = sweep_in(tmp_path, spec, "--ray", address)
    assert ended.status == 2
    assert "needs RAY_AUTH_MODE=token in the environment" in ended.err.splitlines()[-1]
