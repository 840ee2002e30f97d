"""`dovetail profiles`: what the shipped step costs were measured on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table


@click.command()
def profiles() -> None:
    """List the step-cost profiles."""
    from dovetail.output import console

    console().print(profile_table())


def profile_table() -> Table:
    """Every shipped profile on a row; names stay whole on any terminal, since they are to be typed."""
    from rich.table import Table

    from sim.profile import list_profiles, load_profile

    shown = Table(box=None)
    shown.add_column("profile", no_wrap=True)
    for title in ("GPU", "model", "TP", "engine", "KV blocks"):
        shown.add_column(title, overflow="fold")
    for name in list_profiles():
        profile = load_profile(name)
        measured, blocks = profile.measurement, profile.engine_defaults.num_blocks
        engine = f"{measured.engine} {measured.engine_version}"
        shown.add_row(name, measured.gpu, profile.model.name, str(profile.tensor_parallel), engine, str(blocks))
    return shown
