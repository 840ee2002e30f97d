"""What a calibration runs: small loads that together produce every kind of step a scheduler makes.

A point is a few calls whose steps cover one corner: a decode batch that shrinks over a staircase of sizes, prefills
beside decoding calls, calls that share a cached prefix, calls into an idle engine. Points are run whole and in random
order; some, drawn at random, are never fitted (of windows beside decoding calls, parts of them).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from realexec.calibration.loads import Extent, decode_points, idle_points, prefill_points, sharing_points, staircase
from realexec.calibration.point import Limits, PlannedCall, Point

FULL = Extent()

#: With synchronous scheduling only the host time between steps differs.
SYNCHRONOUS = Extent(
    contexts=(128, 1024),
    backgrounds=((8, 512), (32, 256)),
    cached=(1024,),
    shared=((512, 64, 1),),
    mixed=(),
    num_idle=4,
    num_repeats=2,
)

#: Enough to see that the machinery works.
SMALL = Extent(
    contexts=(64, 600),
    staircases=((32, 16, 8, 4, 2, 1), (21, 11, 5, 3, 1)),
    num_hold_steps=8,
    backgrounds=((1, 64), (8, 512)),
    chunks=(16, 128, 256, 512, 1024, 1800, 3500),
    cached=(1024,),
    shared=((256, 32, 1), (512, 64, 1), (1024, 32, 1), (1024, 64, 2), (2048, 64, 1)),
    mixed=((1024, 256),),
    num_idle=3,
    num_repeats=1,
)

_SHARE_HELD_OUT = 0.2


def plan(limits: Limits, extent: Extent, *, seed: int = 0) -> list[Point]:
    """Points in the order to run them.

    Parameters
    ----------
    limits : Limits
    extent : Extent
    seed : int
        Of the order and of what is held out. The texts depend on the names of the points alone.
    """
    points = [
        *decode_points(limits, extent),
        *prefill_points(limits, extent),
        *sharing_points(limits, extent),
        *idle_points(limits, extent),
    ]
    rng = np.random.default_rng(seed)
    held_out = _draw_held_out(points, rng)
    order = rng.permutation(len(points))
    return [
        Point(point.name, point.kind, point.background, point.waves, point.name in held_out)
        for point in (points[index] for index in order)
    ]


def warm_up(limits: Limits) -> Point:
    """A load that is thrown away: first launches and allocations of most sizes happen in it."""
    num_tokens = min(limits.max_num_batched_tokens, limits.max_model_len) - 32
    batch = staircase("warm-up", (64, 33, 16, 7, 2), 100, 6, limits)
    long = tuple((PlannedCall(((f"warm-up long {index}", num_tokens),), 4),) for index in range(3))
    return Point("warm-up", "client", (), (batch, *long))


def _draw_held_out(points: Sequence[Point], rng: np.random.Generator) -> set[str]:
    """Names of a fifth of each kind that a fit uses; of windows with prefills `realexec.calibration.parts` draws."""
    held_out: set[str] = set()
    for kind in ("decode", "prefill", "sharing"):
        names = [point.name for point in points if point.kind == kind]
        if len(names) > 1:
            held_out |= set(rng.choice(names, max(1, round(_SHARE_HELD_OUT * len(names))), replace=False).tolist())
    return held_out
