"""A picture of a calibration: how far the profile is from every sample."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from sim.profile import Profile

#: Kinds of points, in the order of their colours.
_KINDS = ("decode", "prefill", "sharing", "idle", "client")

#: Largest error in the picture, percent; the caption counts what lies beyond.
_LARGEST = 15.0


def draw_residuals(frame: pd.DataFrame, profile: Profile, path: Path) -> None:
    """Relative error against measured duration, held-out samples as rings, one panel for each scheduling.

    Parameters
    ----------
    frame : pandas.DataFrame
        Of `dovetail.calibration_report.sample_frame`.
    profile : Profile
        What was fitted to these samples.
    path : Path
        PNG to write.
    """
    from matplotlib import rc_context

    from analysis.plots import style

    shown = frame[~frame.is_first]
    with rc_context(style.SETTINGS):
        figure = style.new_figure(10, 4.6)
        panels = figure.subplots(1, 2, sharey=True)
        for panel, is_async in zip(panels, (True, False), strict=True):
            _draw_samples(panel, shown[shown.asynchronous == is_async])
            name = "asynchronous" if is_async else "synchronous"
            panel.set_title(f"{name} scheduling", loc="left", fontweight="bold")
        panels[0].set_ylabel("profile / measured - 1 (%)")
        entries = {
            label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        style.add_legend(figure, list(entries.values()), list(entries), handlelength=1.0)
        style.add_caption(figure, _caption(profile, shown))
        figure.savefig(path, dpi=120)


def _draw_samples(panel: Axes, samples: pd.DataFrame) -> None:
    """Fitted samples as dots, held-out ones as rings."""
    from analysis.plots import style

    for (kind, held_out), rows in samples.groupby(["kind", "held_out"]):
        shade = style.colour(_KINDS.index(str(kind)))
        label = f"{kind}, held out" if held_out else str(kind)
        faces = {"facecolors": "none", "edgecolors": shade} if held_out else {"color": shade, "alpha": 0.6}
        panel.scatter(1e3 * rows.seconds, 100 * rows.error, s=14, label=label, linewidths=0.8, **faces)
    panel.axhline(0, color="black", linewidth=0.8)
    panel.set(xscale="log", xlabel="measured, steps or windows of steps (ms)", ylim=(-_LARGEST, _LARGEST))
    style.plain_log_ticks(panel.xaxis, within_decades=True)


def _caption(profile: Profile, samples: pd.DataFrame) -> str:
    measured = profile.measurement
    num_beyond = int((100 * samples.error.abs() > _LARGEST).sum())
    return (
        f"Profile {profile.name}: {profile.model.name}, {profile.model.dtype}, on {measured.gpu} "
        f"x{profile.tensor_parallel}, {measured.engine} {measured.engine_version}, {measured.date}. Rings were never "
        f"fitted. {num_beyond} of {len(samples)} samples lie beyond {_LARGEST:.0f}%."
    )
