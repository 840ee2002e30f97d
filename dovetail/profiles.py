"""`dovetail profiles`: what the shipped step costs were measured on."""

from __future__ import annotations

import click


@click.command()
def profiles() -> None:
    """List the step-cost profiles."""
    from rich.table import Table

    from dovetail.output import console
    from sim.profile import list_profiles, load_profile

    shown = Table(box=None)
    for title in ("profile", "GPU", "model", "TP", "engine", "KV blocks"):
        shown.add_column(title)
    for name in list_profiles():
        profile = load_profile(name)
        measured, blocks = profile.measurement, profile.engine_defaults.num_blocks
        engine = f"{measured.engine} {measured.engine_version}"
        shown.add_row(name, measured.gpu, profile.model.name, str(profile.tensor_parallel), engine, str(blocks))
    console().print(shown)
