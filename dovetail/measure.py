"""`dovetail measure`: a workload on real engines."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dovetail.backends import backend_options, check_kind, check_modelled_fit, kind_of, make_backends, require_installed
from dovetail.options import gateway_options, limit_options, policy_options, run_directory_options, workload_argument
from dovetail.setting import composed, gateway, load_policies
from traces.wording import counted

if TYPE_CHECKING:
    from policies.gateway import Gateway
    from policies.load import LoadedPolicy
    from realexec.attempts import FaultHandling
    from realexec.run import RealCluster
    from traces.records import RunRecords
    from traces.workload import Workload

_SECONDS = click.FloatRange(0.0, min_open=True)


@click.command()
@workload_argument
@policy_options
@backend_options
@gateway_options
@click.option(
    "--on-engine-failure",
    type=click.Choice(["retry", "fail"]),
    default="retry",
    show_default=True,
    help="What becomes of calls that had begun to answer when their engine was lost; others always move.",
)
@click.option("--call-timeout", type=_SECONDS, help="Longest time of a call at an engine, seconds.")
@click.option("--run-timeout", type=_SECONDS, help="Longest time of the run, seconds.")
@click.option(
    "--stall-timeout",
    type=_SECONDS,
    default=60.0,
    show_default=True,
    help="An engine with calls and no progress for so long is lost, seconds.",
)
@limit_options
@run_directory_options
def measure(workload: Path, out: Path, **options: Any) -> None:
    """Run WORKLOAD on real engines and write a run directory, the same as a simulation's.

    Engines are vLLM in this process, on GPUs or on the virtual device, or servers given by --endpoint. Prompts are
    token ids made from the names of segments, output lengths are exact. An engine that is lost gives its calls to the
    others. Limits left out are vLLM's own, or those of the measured engine on the virtual device; an endpoint's are
    asked of it, and those of which it does not tell are stated here.

    Whatever ends the run, what was measured by then is written, marked incomplete if a call is missing. Exit status:
    0 every call is done, 1 a call failed, 2 nothing could be run, 130 interrupted by Ctrl-C or SIGTERM.
    """
    from dovetail.output import staged, uninterrupted
    from dovetail.results import complete_manifest, print_summary
    from realexec.run import RealCluster
    from traces.files import load_workload
    from traces.records import write_run

    check_kind(kind_of(options))
    entry, handling, policies = gateway(options), _handling(options), load_policies(options)
    loaded = load_workload(workload)
    policy = composed(policies, loaded, source=str(workload))
    check_modelled_fit(options, loaded, source=str(workload))
    with staged(out, overwrite=options["overwrite"]) as directory, engine_folder() as folder:
        require_installed(options)
        cluster = RealCluster(make_backends(options, policies, folder), handling)
        records = _run(loaded, policy, cluster, entry)
        with uninterrupted():
            complete_manifest(records, policy, options["seed"])
            records.manifest.update(_engine_of(records, options))
            write_run(directory, records, csv=options["csv"])
    for warning in records.manifest["warnings"]:
        print(f"dovetail: warning: {warning}", file=sys.stderr)
    print_summary(records, as_json=options["as_json"])
    _finish(records, out, folder)


def _handling(options: dict[str, Any]) -> FaultHandling:
    from realexec.attempts import FaultHandling

    return FaultHandling(
        on_engine_failure=options["on_engine_failure"],
        call_time_limit=options["call_timeout"],
        run_time_limit=options["run_timeout"],
        stall_timeout=options["stall_timeout"],
    )


@contextmanager
def engine_folder() -> Iterator[Path]:
    """A folder for the engines' logs and records, which vanishes where nothing was written or nothing went wrong."""
    folder = Path(tempfile.mkdtemp(prefix="dovetail-measure-"))
    try:
        yield folder
    except BaseException:
        if not any(folder.rglob("*.log")):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _run(workload: Workload, policy: LoadedPolicy, cluster: RealCluster, entry: Gateway) -> RunRecords:
    """Records of the run, watched where there is a terminal."""
    from dovetail.live import live_view
    from realexec.run import measure as run
    from realexec.session import run as run_session
    from traces.workload import num_calls

    try:
        with live_view(num_calls(workload), len(cluster.backends)) as begin:
            return run_session(run(workload, policy.policy, cluster, entry, begin))
    except KeyboardInterrupt:  # one that comes later ends the run in order, with records
        print("dovetail: interrupted before all engines were up; nothing is written", file=sys.stderr)
        raise


def _engine_of(records: RunRecords, options: dict[str, Any]) -> dict[str, Any]:
    """What ran the calls, under the names of a simulation's manifest."""
    versions = records.manifest["engine_versions"]
    first = versions[0] if isinstance(versions, list) else versions
    return {
        "engine": f"vllm {first.get('vllm', 'of an unknown version')}",
        "profile": options["profile"] if options["device"] == "virtual" else None,
    }


def _finish(records: RunRecords, out: Path, folder: Path) -> None:
    """Say what went wrong and exit by it; the engines' logs stay where something did."""
    from realexec.driver import INTERRUPTED

    manifest = records.manifest
    if manifest["complete"] and not manifest["faults"]:
        shutil.rmtree(folder, ignore_errors=True)
        return
    print(f"dovetail: {problems(records)}; records are in {out}, logs in {folder}", file=sys.stderr)
    if manifest["error"] == INTERRUPTED:
        sys.exit(130)
    sys.exit(0 if manifest["complete"] else 1)


def problems(records: RunRecords) -> str:
    """What went wrong in a run, in one line: lost engines, failed calls and the commonest reason, what stopped it."""
    manifest = records.manifest
    lost = [fault for fault in manifest["faults"] if fault["kind"] == "engine lost"]
    parts = [_lost(fault) for fault in lost]
    statuses = records.calls["status"]
    failed = statuses[statuses != "ok"]
    if len(failed):
        parts.append(f"{len(failed):,} of {counted(len(statuses), 'call')} not done ({failed.value_counts().index[0]})")
    if manifest["error"] and not any(manifest["error"] in part for part in parts):
        parts.append(f"run stopped: {manifest['error']}")
    return " ".join("; ".join(parts).split())


def _lost(fault: dict[str, Any]) -> str:
    name = f"engine {fault['engine']}"
    return f"{name} lost: {fault['reason'].removeprefix(f'{name}: ')}"
