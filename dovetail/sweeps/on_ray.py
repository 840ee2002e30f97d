"""Cells on a Ray cluster: an existing one, or one that is started on this machine for the sweep.

Results come back to this process, which writes them; nodes need no common file system, but for workload files. They
need the project, and the module of a policy that is not of the project, in the same version: a node with other code
refuses.
"""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dovetail.sweeps.cell import Cell
from dovetail.sweeps.digest import code_digest
from dovetail.sweeps.run_cell import Outcome, lost, run_cell

#: `--ray` without an address.
LOCAL = "local"

#: Most cells that Ray is given at a time: enough for nodes that join, not so many that they fill its memory.
_MOST_SUBMITTED = 512

#: Time for a cluster's port to answer, seconds. Ray itself would try for minutes.
_PATIENCE = 10.0

#: A cluster of Ray 2.59 or newer that was started with a token refuses clients of Ray before 2.61 without this setting,
#: and the error that reaches the client does not say why.
_TOKEN = (
    "a cluster that asks for a token needs RAY_AUTH_MODE=token in the environment, and its token in "
    "~/.ray/auth_token or RAY_AUTH_TOKEN"
)


def on_ray(
    cells: Sequence[Cell], address: str, num_cpus: int | None, *, keep_records: bool
) -> Iterator[tuple[int, Outcome]]:
    """Run cells as Ray tasks of one core each.

    Parameters
    ----------
    cells : sequence of Cell
    address : str
        Of a cluster, as `ray.init` takes it, or `LOCAL`.
    num_cpus : int, optional
        Cores of a local cluster; all by default.
    keep_records : bool

    Yields
    ------
    (index, Outcome)
        In the order in which they end. `ran["node"]` is Ray's id of the node.
    """
    with _cluster(address, num_cpus) as ray:
        task = ray.remote(num_cpus=1, max_retries=1)(_run)
        common = ray.put((code_digest(), str(Path.cwd()), keep_records))
        waiting = list(range(len(cells)))[::-1]
        running: dict[Any, int] = {}
        while waiting or running:
            while waiting and len(running) < _MOST_SUBMITTED:
                index = waiting.pop()
                running[task.remote(cells[index], common)] = index
            for reference in ray.wait(list(running))[0]:
                yield running.pop(reference), _result(ray, reference)


def _run(cell: Cell, common: tuple[str, str, bool]) -> Outcome:
    """On a node."""
    import ray

    code, folder, keep_records = common
    if code_digest() != code:
        raise RuntimeError("this node has other code of dovetail than the one that started the sweep")
    if folder not in sys.path:
        sys.path.append(folder)  # where a policy of one's own is looked for
    outcome = run_cell(cell, keep_records)
    outcome.ran["node"] = ray.get_runtime_context().get_node_id()
    return outcome


def _result(ray: Any, reference: Any) -> Outcome:
    try:
        outcome: Outcome = ray.get(reference)
    except ray.exceptions.RayError as error:  # the node or its process was lost, twice
        cause = getattr(error, "cause", None)
        return lost(str(cause or error).strip().splitlines()[-1])
    return outcome


@contextmanager
def _cluster(address: str, num_cpus: int | None) -> Iterator[Any]:
    try:
        import ray
    except ImportError:
        raise ValueError("--ray needs Ray: pip install 'dovetail[ray]'") from None
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        ray.init(num_cpus=num_cpus, include_dashboard=False, **quiet)
    else:
        _connect(ray, address, quiet)
    try:
        yield ray
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str, quiet: dict[str, Any]) -> None:
    host, _, port = address.rpartition(":")
    try:
        if host and port.isdecimal():
            socket.create_connection((host.removeprefix("ray://").strip("[]"), int(port)), _PATIENCE).close()
        ray.init(address=address, **quiet)
    except (OSError, ValueError, RuntimeError, OverflowError) as error:
        # Ray's ConnectionError has no errno, the socket's has: there nothing answers, so no token is wanted.
        advice = f"; {_TOKEN}" if isinstance(error, ConnectionError) and error.errno is None else ""
        raise ValueError(
            f"--ray {address}: no cluster can be reached there: {str(error).rstrip('.')}{advice}"
        ) from None
