"""A sweep on a Ray cluster gives the table of this machine's cores, and a node that joins takes its share."""

import subprocess
import sys
from collections.abc import Iterator
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


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A cluster of two node processes on this machine, of one core each."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # every node needs the project
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", CLUSTER], text=True, **pipes) as cluster:
        assert cluster.stdout is not None
        yield cluster.stdout.readline().strip()
        cluster.communicate(timeout=60)


def test_two_ray_nodes_share_the_cells_and_give_the_same_table(
    spec: Path, whole: Swept, address: str, tmp_path: Path
) -> None:
    ended = sweep_in(tmp_path, spec, "--ray", address)
    assert ended.status == 0, ended.err
    assert (ended.folder / "cells.parquet").read_bytes() == (whole.folder / "cells.parquet").read_bytes()
    shares = table_of(ended.folder, "ran").groupby("node").size()
    assert len(shares) == 2
    assert shares.min() >= 3  # of 24: how many depends on which node has its first process up


def test_a_cluster_that_is_not_there_is_an_error_of_one_line(spec: Path, tmp_path: Path) -> None:
    ended = sweep_in(tmp_path, spec, "--ray", "nowhere:1:2")
    assert ended.status == 2
    assert ended.err.splitlines()[-1].startswith("dovetail: --ray nowhere:1:2: no cluster can be reached there")
