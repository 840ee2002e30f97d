"""`dovetail profiles` and `dovetail profile`: what step costs were measured on, what they cover, how they fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dovetail.options import limit_options, workload_argument

if TYPE_CHECKING:
    from rich.table import Table

    from sim.profile import Profile


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def profiles(as_json: bool) -> None:
    """List the step-cost profiles."""
    from dovetail.output import console

    if as_json:
        print(json.dumps(profile_rows(), indent=2))
    else:
        console().print(profile_table())


@click.group()
def profile() -> None:
    """What a profile covers, how it fits, and whether a workload stays within it."""


@profile.command()
@click.argument("name", metavar="PROFILE")
@click.option(
    "--picture", type=click.Path(path_type=Path), help="Draw steps over batch, context and prefill: PNG, SVG."
)
@click.option("--json", "as_json", is_flag=True, help="Print the profile and its standard errors as JSON.")
def show(name: str, picture: Path | None, as_json: bool) -> None:
    """Show what PROFILE, a name or a file, was measured on and how well it fits."""
    from dovetail.calibration_report import forms_table, residuals_table
    from dovetail.output import console
    from dovetail.profile_plot import draw_profile
    from sim.profile import load_profile

    shown = load_profile(name)
    if picture is not None:
        draw_profile(shown, picture)
    if as_json:
        print(json.dumps(_profile_json(shown), indent=2))
        return
    out = console()
    for line in _facts(shown):
        out.print(line, markup=False)
    out.print(_terms_table(shown))
    if shown.forms:
        out.print(forms_table(shown))
    if shown.residuals:
        out.print(residuals_table(shown))
    else:
        out.print("Errors of the profile: none are recorded")
    if picture is not None:
        out.print(f"wrote {picture}")


@profile.command()
@workload_argument
@click.option("--profile", "name", default="h100-llama-13b", show_default=True, help="A name or a file.")
@click.option("--engines", "num_engines", type=click.IntRange(1), default=1, show_default=True)
@limit_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def check(workload: Path, name: str, num_engines: int, as_json: bool, **options: Any) -> None:
    """Check whether the steps of WORKLOAD stay within what a profile was measured on.

    Simulates it first come, first served, and says which share of the time is spent in steps beyond each limit, and
    which share of the calls is longer than any measured. Exit status 1 when any is.
    """
    import sys

    from analysis.comparison.compare import json_rows
    from dovetail.output import console
    from dovetail.profile_check import beyond_domain
    from dovetail.setting import engine_settings
    from policies.fifo import Fifo
    from sim.profile import load_profile
    from sim.run import SimulatedCluster, simulate
    from traces.files import load_workload

    checked = load_profile(name)
    cluster = SimulatedCluster(checked, num_engines, engine_settings(checked, options))
    frame = beyond_domain(checked.domain, simulate(load_workload(workload), Fifo(), cluster))
    if as_json:
        print(json.dumps({"profile": checked.name, "limits": json_rows(frame)}, indent=2))
    else:
        table = _frame_table(frame)
        table.title = f"{workload.name} within {checked.name}"
        console().print(table)
    sys.exit(1 if (frame["beyond (%)"] > 0).any() else 0)


@profile.command()
@click.argument("name", metavar="PROFILE")
@click.option("--from", "measured", required=True, help="Card that PROFILE was measured on, as h100-80gb.")
@click.option("--to", "target", required=True, help="Card to predict.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Profile to write, a new .json file.")
def scale(name: str, measured: str, target: str, out: Path) -> None:
    """Predict PROFILE on a card that was not measured, from datasheets.

    Streaming goes with memory bandwidth, computing with tensor FLOP/s. H100 predicts an A100 so within 5 to 6 percent
    in the median, 10 percent at worst but for prefills of 128 to 256 tokens, which err by up to a third.
    """
    import msgspec

    from dovetail.output import whole_file
    from sim.fitting.datasheet import CARDS, scaled
    from sim.profile import check_profile, load_profile

    for card in (measured, target):
        if card not in CARDS:
            raise ValueError(f"card {card!r} is none of {', '.join(CARDS)}")
    predicted = msgspec.structs.replace(scaled(load_profile(name), CARDS[measured], CARDS[target]), name=out.stem)
    check_profile(predicted, out.stem)
    with whole_file(out, overwrite=None) as file:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(predicted), indent=1) + b"\n")
    print(f"wrote {out}: {predicted.measurement.method}")


def _profile_json(shown: Profile) -> dict[str, Any]:
    """The profile's file, and standard errors of its coefficients as shares of them, where these are known."""
    import msgspec

    from sim.uncertainty import coefficients, standard_errors

    values, errors = coefficients(shown.terms), standard_errors(shown)
    relative = {name: errors[name] / value for name, value in values.items() if value and name in errors}
    return {**msgspec.to_builtins(shown), "relative_standard_errors": relative}


def _facts(shown: Profile) -> list[str]:
    """Where the profile comes from and what it covers, one line each."""
    from msgspec.structs import asdict

    measured, domain, engine = shown.measurement, shown.domain, shown.engine_defaults
    overheads = [f"{name} {1e3 * value:.3g} ms" for name, value in asdict(shown.overheads).items() if value]
    chosen = [f"{name} {value:g}" for name in _CHOSEN if (value := getattr(shown.terms, name))]
    return [
        f"{shown.name}: {shown.model.name}, {shown.model.dtype}, on {measured.gpu} x{shown.tensor_parallel}",
        f"{measured.engine} {measured.engine_version}, measured {measured.date}",
        *(f"source: {source}" for source in measured.sources),
        f"method: {measured.method}",
        f"covers steps of up to {domain.max_tokens_per_step:,} tokens and {domain.max_decodes:,} decoding calls, "
        f"{domain.max_context_tokens:,} context tokens in a step, {domain.max_context_tokens_per_call:,} in a call",
        f"engine: {engine.num_blocks:,} blocks of {engine.block_size} tokens, {engine.max_num_seqs} sequences, "
        f"{engine.max_num_batched_tokens:,} tokens a step, {engine.max_model_len:,} a call",
        f"outside the steps: {', '.join(overheads) or 'nothing'}",
        f"beside the terms: {', '.join(chosen) or 'nothing'}",
    ]


#: What a fit chooses without a standard error (`sim.step_cost.StepTerms`).
_CHOSEN = (
    "num_resident_tokens",
    "num_parallel_calls",
    "num_graph_tokens",
    "launch_seconds",
    "graph_launch_seconds",
    "launch_seconds_per_decode",
    "sustained_slowdown",
)


def _terms_table(shown: Profile) -> Table:
    """Coefficients of the step cost with their standard errors, where these are known."""
    from rich.table import Table

    from sim.uncertainty import RISING, coefficients, standard_errors

    table = Table("term", box=None, title="Terms", title_justify="left")
    for title in ("knot", "value", "standard error (%)"):
        table.add_column(title, justify="right")
    errors = standard_errors(shown)
    for name, value in coefficients(shown.terms).items():
        if value:
            curve, _, index = name.rstrip("]").partition("[")
            knot = str(getattr(shown.terms, curve).counts[int(index)]) if index else ""
            error = f"{100 * errors[name] / value:.2f}" if name in errors else ""
            rise = ", rise" if index not in ("", "0") and curve in RISING else ""
            table.add_row(f"{curve}{rise}", knot, f"{value * 1e6:,.6g} us", error)
    return table


def _frame_table(frame: Any) -> Table:
    from rich.table import Table

    table = Table(box=None, title_justify="left")
    for index, title in enumerate(frame.columns):
        table.add_column(str(title), justify="left" if index == 0 else "right")
    for row in frame.itertuples(index=False):
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row))
    return table


def profile_rows() -> list[dict[str, str | int]]:
    """One row a shipped profile: what it was measured on."""
    from sim.profile import list_profiles, load_profile

    rows: list[dict[str, str | int]] = []
    for name in list_profiles():
        profile = load_profile(name)
        measured = profile.measurement
        rows.append(
            {
                "profile": name,
                "GPU": measured.gpu,
                "model": profile.model.name,
                "TP": profile.tensor_parallel,
                "engine": f"{measured.engine} {measured.engine_version}",
                "KV blocks": profile.engine_defaults.num_blocks,
            }
        )
    return rows


def profile_table() -> Table:
    """Every shipped profile on a row; names stay whole on any terminal, since they are to be typed."""
    from rich.table import Table

    rows = profile_rows()
    shown = Table(box=None)
    for title in rows[0]:
        shown.add_column(title, no_wrap=title == "profile", overflow="fold")
    for row in rows:
        shown.add_row(*map(str, row.values()))
    return shown
