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
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    decode, prefill, sharing = figure.subplots(1, 3)
    cost = profile.step_cost(async_scheduling=True)
    _draw_decodes(decode, profile, cost)
    _draw_prefills(prefill, profile, cost)
    _draw_sharing(sharing, profile, cost)
    figure.suptitle(f"{profile.name}: {profile.measurement.gpu}, {profile.model.name}; dotted beyond what was measured")
    figure.savefig(path, dpi=120)


def _draw_decodes(panel: Axes, profile: Profile, cost: StepCost) -> None:
    batches = np.unique(np.geomspace(1, 2 * profile.domain.max_decodes, 60).astype(int))
    for context in (128, 512, 2048):
        seconds = np.array([cost.step(int(batch), int(batch) * context, ()) for batch in batches])
        inside = (batches <= profile.domain.max_decodes) & (batches * context <= profile.domain.max_context_tokens)
        _line(panel, batches, seconds, inside, f"{context} tokens of context a call")
    panel.set(xscale="log", yscale="log", xlabel="decoding calls", ylabel="step (ms)", title="decode")
    panel.legend(fontsize=8)


def _draw_prefills(panel: Axes, profile: Profile, cost: StepCost) -> None:
    tokens = np.unique(np.geomspace(8, 2 * profile.domain.max_tokens_per_step, 60).astype(int))
    for computed in (0, 2048):
        seconds = np.array([cost.step(0, 0, [(int(new), computed)]) for new in tokens])
        _line(
            panel, tokens, seconds, tokens <= profile.domain.max_tokens_per_step, f"{computed} tokens computed before"
        )
    panel.set(xscale="log", yscale="log", xlabel="new tokens", title="prefill of one chunk")
    panel.legend(fontsize=8)


def _draw_sharing(panel: Axes, profile: Profile, cost: StepCost) -> None:
    from sim.step_cost import Sharing

    calls = np.arange(2, min(256, 2 * profile.domain.max_decodes) + 1)
    for shared in (512, 2048):
        seconds = [
            cost.step(n, n * shared, (), Sharing((n - 1) * shared, shared)) / cost.step(n, n * shared, ())
            for n in calls.tolist()
        ]
        inside = calls * shared <= profile.domain.max_context_tokens
        _line(panel, calls, np.array(seconds) / 1e3, inside, f"prefix of {shared} tokens")
    panel.set(
        xscale="log", ylim=(0, 1.05), xlabel="calls that share", title="step with a shared prefix / without sharing"
    )
    panel.legend(fontsize=8)


def _line(panel: Axes, counts: np.ndarray, seconds: np.ndarray, inside: np.ndarray, label: str) -> None:
    """Milliseconds over counts, dotted where they are not `inside` what was measured."""
    (line,) = panel.plot(counts[inside], 1e3 * seconds[inside], label=label)
    outside = ~inside
    outside[:-1] |= outside[1:]  # joins the two parts
    panel.plot(counts[outside], 1e3 * seconds[outside], ":", color=line.get_color())
