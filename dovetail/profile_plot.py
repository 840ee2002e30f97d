"""A picture of a profile: what steps cost over batch, context, prefill and sharing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sim.profile import Profile
    from sim.step_cost import StepCost


def draw_profile(profile: Profile, path: Path) -> None:
    """Three panels: decode steps over the batch, prefill steps over new tokens, and what sharing a prefix saves."""
    from matplotlib import rc_context

    from analysis.plots import style

    with rc_context(style.SETTINGS):
        figure = style.new_figure(12, 4)
        decode, prefill, sharing = figure.subplots(1, 3)
        cost = profile.step_cost(async_scheduling=True)
        _draw_decodes(decode, profile, cost)
        _draw_prefills(prefill, profile, cost)
        _draw_sharing(sharing, profile, cost)
        style.add_caption(figure, _caption(profile))
        figure.savefig(path, dpi=150)


def _caption(profile: Profile) -> str:
    measured = profile.measurement
    return (
        f"Profile {profile.name}: {profile.model.name}, {profile.model.dtype}, on {measured.gpu}, "
        f"{measured.engine} {measured.engine_version}. Dotted: beyond what was measured."
    )


def _draw_decodes(panel: Axes, profile: Profile, cost: StepCost) -> None:
    batches = np.unique(np.geomspace(1, 2 * profile.domain.max_decodes, 60).astype(int))
    for context in (128, 512, 2048):
        seconds = np.array([cost.step(int(batch), int(batch) * context, ()) for batch in batches])
        inside = (batches <= profile.domain.max_decodes) & (batches * context <= profile.domain.max_context_tokens)
        _line(panel, batches, seconds, inside, f"{context} tokens of context a call")
    panel.set(xlabel="decoding calls", ylabel="step time (ms)")
    _finish(panel, "decode", log_y=True)


def _draw_prefills(panel: Axes, profile: Profile, cost: StepCost) -> None:
    tokens = np.unique(np.geomspace(8, 2 * profile.domain.max_tokens_per_step, 60).astype(int))
    for computed in (0, 2048):
        seconds = np.array([cost.step(0, 0, [(int(new), computed)]) for new in tokens])
        _line(
            panel, tokens, seconds, tokens <= profile.domain.max_tokens_per_step, f"{computed} tokens computed before"
        )
    panel.set(xlabel="new tokens", ylabel="step time (ms)")
    _finish(panel, "prefill of one chunk", log_y=True)


def _draw_sharing(panel: Axes, profile: Profile, cost: StepCost) -> None:
    from sim.step_cost import Sharing

    calls = np.arange(2, min(256, 2 * profile.domain.max_decodes) + 1)
    for shared in (512, 2048):
        seconds = [
            cost.step(n, n * shared, (), Sharing((n - 1) * shared, shared, shared * n * (n - 1) / 2))
            / cost.step(n, n * shared, ())
            for n in calls.tolist()
        ]
        inside = calls * shared <= profile.domain.max_context_tokens
        _line(panel, calls, np.array(seconds) / 1e3, inside, f"prefix of {shared} tokens")
    panel.set(ylim=(0, 1.05), xlabel="calls that share", ylabel="step time / step time without sharing")
    _finish(panel, "decode with a shared prefix", log_y=False)


def _finish(panel: Axes, title: str, *, log_y: bool) -> None:
    """Logarithmic axes with numbers instead of powers, title and legend."""
    from analysis.plots import style

    panel.set_xscale("log")
    if log_y:
        panel.set_yscale("log")
    for axis in [panel.xaxis, panel.yaxis][: 1 + log_y]:
        style.plain_log_ticks(axis, within_decades=axis is panel.yaxis)
    panel.set_title(title, loc="left", fontweight="bold")
    panel.legend(fontsize=8)


def _line(panel: Axes, counts: np.ndarray, seconds: np.ndarray, inside: np.ndarray, label: str) -> None:
    """Milliseconds over counts, dotted where they are not `inside` what was measured."""
    from analysis.plots import style

    shade = style.colour(len(panel.lines) // 2)  # two lines a call of this
    panel.plot(counts[inside], 1e3 * seconds[inside], color=shade, label=label)
    outside = ~inside
    outside[:-1] |= outside[1:]  # joins the two parts
    panel.plot(counts[outside], 1e3 * seconds[outside], ":", color=shade)
