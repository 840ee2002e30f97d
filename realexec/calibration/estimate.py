"""How long a plan takes on an engine, estimated with the profile of a similar one."""

from __future__ import annotations

from collections.abc import Sequence

from realexec.calibration.point import PlannedCall, Point, Wave
from sim.step_cost import StepCost

#: Between two waves: client, engine core and the pipeline's refill, from the measured H100 runs.
SECONDS_PER_WAVE = 0.03


def estimated_seconds(points: Sequence[Point], cost: StepCost, max_num_batched_tokens: int) -> float:
    """Duration of all points, in seconds; waves beside a background only delay it."""
    seconds = 0.0
    for point in points:
        seen: set[tuple[tuple[str, int], ...]] = set()
        for wave in (point.background, *point.waves):
            if wave:
                seconds += SECONDS_PER_WAVE + _wave_seconds(wave, cost, max_num_batched_tokens, seen)
    return seconds


def _wave_seconds(
    wave: Wave, cost: StepCost, max_num_batched_tokens: int, seen: set[tuple[tuple[str, int], ...]]
) -> float:
    """All prefills, one after the other, then all decoding."""
    num_new = sum(_num_uncached_tokens(call, seen) for call in wave)
    whole, rest = divmod(num_new, max_num_batched_tokens)
    prefill = whole * cost.step(0, 0, [(max_num_batched_tokens, 0)]) + (cost.step(0, 0, [(rest, 0)]) if rest else 0.0)
    decode, done = 0.0, 0
    calls = sorted(wave, key=lambda call: call.num_output_tokens)
    for index, call in enumerate(calls):
        steps = call.num_output_tokens - 1 - done
        if steps > 0:
            running = calls[index:]
            context = sum(each.num_prompt_tokens + done + steps // 2 for each in running)
            decode += steps * cost.step(len(running), context, ())
            done += steps
    return prefill + decode


def _num_uncached_tokens(call: PlannedCall, seen: set[tuple[tuple[str, int], ...]]) -> int:
    """Tokens of a prompt beyond the longest one that starts the same and was run before in the point."""
    best = 0
    for length in range(len(call.prompt), 0, -1):
        if call.prompt[:length] in seen:
            best = sum(tokens for _, tokens in call.prompt[:length])
            break
    seen.update(call.prompt[:length] for length in range(1, len(call.prompt) + 1))
    return call.num_prompt_tokens - best
