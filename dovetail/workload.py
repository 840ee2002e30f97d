"""`dovetail workload`: make, convert and look at workload files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from dovetail.generate import generate, out_options
from dovetail.importing import import_
from dovetail.options import workload_argument


@click.group()
def workload() -> None:
    """Generate, import, mix, export and describe workloads."""


workload.add_command(generate)
workload.add_command(import_)


@workload.command()
@workload_argument
@click.option("--plot", type=click.Path(path_type=Path), metavar="PNG", help="Draw it, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def describe(workload: Path, plot: Path | None, as_json: bool) -> None:
    """Describe WORKLOAD: counts, rates, lengths, graph shapes, share of tokens in shared prefixes."""
    from dovetail.output import print_nested
    from traces.describe import describe as described
    from traces.files import load_workload

    loaded = load_workload(workload)
    if plot is not None and plot.suffix != ".png":
        raise ValueError(f"--plot {plot} must end in .png")
    figures = described(loaded)
    if as_json:
        print(json.dumps(figures, indent=2))
    else:
        print_nested(figures)
    if plot is not None:
        from analysis.plots import style
        from analysis.plots.workload import describe_workload

        style.save(describe_workload(loaded, caption=str(workload)), plot.with_suffix(""), formats=("png",))
        print(f"wrote {plot}")


@workload.command()
@click.argument("parts", nargs=-1, required=True, metavar="LABEL=WORKLOAD...")
@click.option("--shared", multiple=True, metavar="SEGMENT", help="Text that is the same in every part.")
@out_options
def mix(parts: tuple[str, ...], shared: tuple[str, ...], **options: Any) -> None:
    """Mix several workloads into one, by order of arrival; the labels go before ids and stages."""
    from dovetail.output import save
    from traces.files import load_workload
    from traces.generators.mixture import mix as mixed

    files: dict[str, str] = {}
    for part in parts:
        label, _, file = part.partition("=")
        if not (label and file) or label in files:
            raise ValueError(f"part {part!r} must be LABEL=WORKLOAD, with a label of its own")
        files[label] = file
    save(mixed({label: load_workload(file) for label, file in files.items()}, shared=shared), options)


@workload.command()
@workload_argument
@click.option("--block-size", type=click.IntRange(1), default=512, show_default=True, help="Tokens of one hash id.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help=".jsonl or .jsonl.gz.")
@click.option("--overwrite", is_flag=True, help="Replace the file that is there.")
def export(workload: Path, block_size: int, **options: Any) -> None:
    """Export WORKLOAD to Dynamo's agentic trace format, JSONL.

    The format has no place for stages, deadlines, predictions and priorities, nor for which earlier output a prompt
    quotes (output_of); they are lost.
    """
    from dovetail.output import whole_file
    from traces.files import load_workload
    from traces.importers.dynamo_export import export_dynamo

    if not options["out"].name.endswith((".jsonl", ".jsonl.gz")):
        raise ValueError(f"--out {options['out']} must end in .jsonl or .jsonl.gz")
    loaded = load_workload(workload)
    with whole_file(options["out"], overwrite=options["overwrite"]) as file:
        export_dynamo(loaded, file, block_size=block_size)
    print(f"wrote {options['out']}")
