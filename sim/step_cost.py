"""How long an engine step takes: the seam between scheduling and time, and the model fitted to measured engines.

`StepCost` is what engines call. `ProfiledStepCost` is the one model behind every shipped profile; `sim.profile` builds
it from a JSON file. Left out: who shares which prefix with whom, and in which order calls stand in a batch. Totals
describe the sharing, as if the order were random.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

#: Counts for which the curves are tabulated at first; larger ones extend the tables.
TABLE_SIZE = 4096


class Sharing(NamedTuple):
    """What the decoding calls of a step read of the same KV blocks.

    Parameters
    ----------
    num_repeated_tokens : int
        Reads of a token beyond its first: over all blocks that several of the calls hold, (calls - 1) x tokens.
    num_distinct_tokens : int
        Tokens in those blocks, each counted once.
    num_pair_tokens : float
        Pairs of calls that hold the same token: over those blocks, calls (calls - 1) / 2 x tokens. Where the order of
        calls is known, what a random order would need for neighbours to share as much.
    """

    num_repeated_tokens: int
    num_distinct_tokens: int
    num_pair_tokens: float


#: Of calls that share nothing.
UNSHARED = Sharing(0, 0, 0)


class Launch(NamedTuple):
    """How the host launches a step with prefills: it begins when the step is planned.

    Parameters
    ----------
    seconds : float
        How long that takes. 0: it is hidden, or counted in the duration.
    after : float, seconds
        From the end of the launch to the earliest end of the step.
    holds_core : bool
        Whether the engine core launches, and notes and plans nothing meanwhile.
    """

    seconds: float
    after: float
    holds_core: bool


NO_LAUNCH = Launch(0.0, 0.0, False)


def hit_share(sharing: Sharing, num_decodes: int, num_resident_tokens: int, num_parallel_calls: int) -> float:
    """Share of repeated reads that are as cheap as those of calls behind a single prefix.

    Parameters
    ----------
    sharing : Sharing
    num_decodes : int
        Calls of the step.
    num_resident_tokens : int
        Shared tokens that the GPU's cache holds: up to so many all repeated reads hit, from twice as many on none
        because of that, in proportion between. 0: no limit, everything hits.
    num_parallel_calls : int
        Calls `W` whose attention runs at the same time. Of those, calls that hold the same token read it together.
        0: not known, as if each ran alone.

    Notes
    -----
    With `R` repeated reads of `D` tokens and `n` calls, the call next to one that reads a shared token reads it, too,
    with probability `s = 2 num_pair_tokens / ((R + D) (n - 1))`, as in a random order. `W` neighbours then read
    `g = (1 - (1 - s)^W) / s` different ones, and one where all share: the share of reads that are saved is `(W - g) /
    (W - 1)`.
    One prefix of 3584 tokens of Llama-13B, which no cache of these cards holds, is read again as cheaply as one of 256,
    four in random order are not (`sim/profiles/*.points`).
    """
    if not num_resident_tokens or num_decodes <= num_parallel_calls:
        return 1.0
    resident = min(1.0, max(0.0, 2 - sharing[1] / num_resident_tokens))
    if resident == 1.0 or num_parallel_calls < 2:
        return resident
    same = min(1.0, 2 * sharing[2] / ((sharing[0] + sharing[1]) * (num_decodes - 1)))
    width = num_parallel_calls
    return resident + (1 - resident) * (width - distinct_prefixes(same, width)) / (width - 1)


def distinct_prefixes(same: float, num_calls: int) -> float:
    """Different prefixes among `num_calls` calls, each pair of which has the same one with probability `same`."""
    return (1 - (1 - same) ** num_calls) / same if same > 0 else float(num_calls)


class StepCost(Protocol):
    """Duration of engine steps, in seconds.

    For a fixed set of decoding calls the duration must be affine in their total context: that is what lets an engine
    skip over equal steps in closed form. What they share does not change as long as the set does not.
    """

    def step(
        self,
        num_decodes: int,
        num_context_tokens: int,
        prefills: Sequence[tuple[int, int]],
        sharing: Sharing = UNSHARED,
    ) -> float:
        """Duration of one step.

        Parameters
        ----------
        num_decodes : int
            Calls that decode one token.
        num_context_tokens : int
            Tokens those calls attend to in this step, summed.
        prefills : sequence of (num_new_tokens, num_computed_tokens)
            Prefill chunks in the same step: tokens computed now, tokens computed before (or cached).
        sharing : Sharing
            What the decoding calls share.
        """

    def decode_run(self, num_decodes: int, num_context_tokens: int, sharing: Sharing = UNSHARED) -> tuple[float, float]:
        """Duration of a pure decode step, and what each further step over the same calls takes longer.

        The first value equals `step(num_decodes, num_context_tokens, (), sharing)`. The context grows by `num_decodes`
        a step.
        """

    def launch(self, num_decodes: int, num_tokens: int) -> Launch:
        """The launch of a step with prefills and so many tokens, those of its decoding calls among them."""

    def sustained_slowdown(self) -> float:
        """Share by which steps full of prefills take longer after many of them (`sim.sustained`)."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Piecewise-linear function of a count.

    Constant below the first knot; beyond the last knot the last slope continues. The default is zero everywhere.

    Parameters
    ----------
    counts : tuple of int
        Knots, strictly increasing and non-negative.
    seconds : tuple of float, seconds
        Values at the knots, non-negative.

    Raises
    ------
    ValueError
        When the knots break one of these rules.
    """

    counts: tuple[int, ...] = (0,)
    seconds: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        if not self.counts or len(self.counts) != len(self.seconds):
            raise ValueError(
                f"seconds has {len(self.seconds)} values, but counts has {len(self.counts)}; at least one each"
            )
        if self.counts[0] < 0 or any(b <= a for a, b in pairwise(self.counts)):
            raise ValueError(f"counts={list(self.counts)} must be non-negative and strictly increasing")
        if not all(math.isfinite(value) and value >= 0 for value in self.seconds):
            raise ValueError(f"seconds={list(self.seconds)} must be finite and non-negative")

    def __call__(self, count: float) -> float:
        """Value at `count`, in seconds."""
        if count <= self.counts[0] or len(self.counts) == 1:
            return self.seconds[0]
        right = min(bisect_left(self.counts, count), len(self.counts) - 1)
        x0, x1 = self.counts[right - 1], self.counts[right]
        y0, y1 = self.seconds[right - 1], self.seconds[right]
        return y0 + (y1 - y0) * (count - x0) / (x1 - x0)

    @property
    def is_monotone(self) -> bool:
        """Whether a larger count never costs less."""
        return all(b >= a for a, b in pairwise(self.seconds))


@dataclass(frozen=True, slots=True)
class StepTerms:
    """Fitted terms of a step's duration; they add up.

    Parameters
    ----------
    dense : Curve of the tokens in the step
        Everything that treats tokens alike (projections, feed-forward, norms, output head): the weights are streamed
        at few tokens, computed with at many.
    decode_batch : Curve of the decoding calls in the step
        What the calls that decode add beyond `dense`: their attention's fixed part, sampling, output handling.
    decode_context : Curve of the decoding calls in the step, seconds a token
        Reading one token's keys and values in all layers. Few calls do not fill a GPU's memory bandwidth, so a token
        costs more; its value beyond the last knot is that at the last knot.
    all_reduce : Curve of the tokens in the step
        Communication between tensor-parallel GPUs, all layers together.
    seconds_per_attention_pair : float
        One query against one key in all layers and heads, within prefill.
    seconds_per_prefill_token : float
        What a token of a prefill chunk costs beyond `dense`: the part of its attention that is linear in its length.
    seconds_per_prefill : float
        Fixed cost of each prefill chunk.
    seconds_per_step : float
        Host time the engine adds to every step that runs the model.
    repeated_context : Curve of the decoding calls in the step, seconds a token
        Reading a token's keys and values again in the same step, after another call has brought them into the GPU's
        cache; never more than `decode_context`, and beyond the last knot what it is there. None: as dear as the first
        time.
    num_resident_tokens : int
        Shared tokens that the GPU's cache holds (`hit_share`). 0: no limit.
    num_parallel_calls : int
        Calls whose attention runs at the same time (`hit_share`). 0: not known, as if each ran alone.
    capture_sizes : tuple of int
        Token counts of the CUDA graphs, ascending; a step with fewer tokens than the last of them runs as one of the
        next larger count. Empty: no padding shows.
    seconds_per_mixed_step : float
        Fixed cost of a step with prefills: its attention is in no CUDA graph.
    seconds_per_mixed_decode : float
        Cost of each call that decodes in a step with prefills, beyond what it costs in others.
    num_graph_tokens : int
        Tokens of the largest CUDA graph.
    launch_seconds : float
        How long the host launches a step with prefills and more than `num_graph_tokens` tokens, kernel by kernel. 0: it
        is hidden, or counted in the duration.
    graph_launch_seconds : float
        The same of one with no more tokens, of which graphs hold all but the attention.
    launch_seconds_per_decode : float
        What each decoding call of the step adds to either, and to the time after it.
    seconds_after_launch : float
        From the end of a launch to the earliest end of its step.
    launch_holds_core : bool
        Whether the engine core itself launches, not processes of its own.
    sustained_slowdown : float
        Share by which steps full of prefills take longer after many of them (`sim.sustained`).
    """

    dense: Curve
    decode_batch: Curve = Curve()
    decode_context: Curve = Curve()
    all_reduce: Curve = Curve()
    seconds_per_attention_pair: float = 0.0
    seconds_per_prefill_token: float = 0.0
    seconds_per_prefill: float = 0.0
    seconds_per_step: float = 0.0
    repeated_context: Curve | None = None
    num_resident_tokens: int = 0
    num_parallel_calls: int = 0
    capture_sizes: tuple[int, ...] = ()
    seconds_per_mixed_step: float = 0.0
    seconds_per_mixed_decode: float = 0.0
    num_graph_tokens: int = 0
    launch_seconds: float = 0.0
    graph_launch_seconds: float = 0.0
    launch_seconds_per_decode: float = 0.0
    seconds_after_launch: float = 0.0
    launch_holds_core: bool = False
    sustained_slowdown: float = 0.0


class ProfiledStepCost:
    """Step cost as the sum of the fitted terms of a profile.

    Parameters
    ----------
    terms : StepTerms

    Notes
    -----
    With `d` decoding calls that read `C` context tokens, and prefill chunks of `n_i` new on `c_i` computed tokens,
    `T = d + sum n_i`::

        seconds_per_step + dense(P) + all_reduce(P) + decode_batch(d) + decode_context(d) * C
        + sum_i [ seconds_per_prefill + seconds_per_prefill_token * n_i
                  + max(seconds_per_attention_pair * (n_i c_i + n_i (n_i + 1) / 2), reading * (c_i + n_i)) ]

    `P` is `T` padded to `capture_sizes`; a step with chunks also takes `seconds_per_mixed_step`
    and `d` times `seconds_per_mixed_decode`.

    The maximum is the roofline of a chunk's attention: bound by arithmetic for long chunks, by reading the cache for
    short ones on a long context, where `reading` is the last value of `decode_context`. A step without tokens costs
    nothing. Curves are tabulated, so that a step costs a few list look-ups.

    Calls that read `R` tokens again save of that::

        R * hit_share * (decode_context(d) - min(decode_context(d), repeated_context(d)))
    """

    __slots__ = (
        "_context",
        "_decode",
        "_decode_batch",
        "_reading",
        "_saved_per_token",
        "_size",
        "_whole_batch",
        "terms",
    )

    def __init__(self, terms: StepTerms) -> None:
        self.terms = terms
        self._reading = terms.decode_context.seconds[-1]
        self._tabulate(TABLE_SIZE)

    def step(
        self,
        num_decodes: int,
        num_context_tokens: int,
        prefills: Sequence[tuple[int, int]],
        sharing: Sharing = UNSHARED,
    ) -> float:
        """Duration of one step, in seconds; see `StepCost.step`."""
        if not prefills:
            return self.decode_run(num_decodes, num_context_tokens, sharing)[0]
        terms = self.terms
        per_pair, reading = terms.seconds_per_attention_pair, self._reading
        num_new = 0
        attention = 0.0
        for new, computed in prefills:
            num_new += new
            arithmetic = per_pair * (new * computed + new * (new + 1) / 2)
            streaming = reading * (computed + new)
            attention += arithmetic if arithmetic > streaming else streaming
        num_tokens = num_decodes + num_new
        if num_tokens >= self._size:
            self._tabulate(2 * num_tokens)
        return (
            terms.seconds_per_mixed_step
            + terms.seconds_per_mixed_decode * num_decodes
            + self._whole_batch[num_tokens]
            + self._decode_batch[num_decodes]
            + self._context[num_decodes] * num_context_tokens
            - (self._saved(num_decodes, sharing) if sharing[0] else 0.0)
            + terms.seconds_per_prefill * len(prefills)
            + terms.seconds_per_prefill_token * num_new
            + attention
        )

    def decode_run(self, num_decodes: int, num_context_tokens: int, sharing: Sharing = UNSHARED) -> tuple[float, float]:
        """Duration of a pure decode step and its growth a step, in seconds; see `StepCost.decode_run`."""
        if num_decodes >= self._size:
            self._tabulate(2 * num_decodes)
        per_token = self._context[num_decodes]
        seconds = self._decode[num_decodes] + per_token * num_context_tokens
        if sharing[0]:
            seconds -= self._saved(num_decodes, sharing)
        return seconds, per_token * num_decodes

    def launch(self, num_decodes: int, num_tokens: int) -> Launch:
        """The launch of a step with prefills; see `StepCost.launch`."""
        terms = self.terms
        seconds = terms.launch_seconds if num_tokens > terms.num_graph_tokens else terms.graph_launch_seconds
        if not seconds:
            return NO_LAUNCH
        more = terms.launch_seconds_per_decode * num_decodes
        return Launch(seconds + more, terms.seconds_after_launch + more, terms.launch_holds_core)

    def sustained_slowdown(self) -> float:
        """Share by which steps full of prefills take longer after many of them; see `StepCost.sustained_slowdown`."""
        return self.terms.sustained_slowdown

    def _saved(self, num_decodes: int, sharing: Sharing) -> float:
        """What a batch that shares tokens takes less than one that reads each of them anew, in seconds."""
        saved = self._saved_per_token[num_decodes]
        if not saved:
            return 0.0
        terms = self.terms
        return saved * sharing[0] * hit_share(sharing, num_decodes, terms.num_resident_tokens, terms.num_parallel_calls)

    def _tabulate(self, size: int) -> None:
        """Evaluate the curves at every count below `size`."""
        terms, counts = self.terms, range(1, size)
        per_step, dense, all_reduce = terms.seconds_per_step, terms.dense, terms.all_reduce
        last = terms.decode_context.counts[-1]
        self._size = size
        padded = padded_counts(terms.capture_sizes, size)
        self._whole_batch = [0.0, *(per_step + dense(padded[count]) + all_reduce(padded[count]) for count in counts)]
        self._decode_batch = [0.0, *(terms.decode_batch(count) for count in counts)]
        self._context = [0.0, *(terms.decode_context(min(count, last)) for count in counts)]
        self._saved_per_token = [0.0] * size
        if (repeated := terms.repeated_context) is not None:
            again = [0.0, *(repeated(min(count, repeated.counts[-1])) for count in counts)]
            self._saved_per_token = [max(0.0, each - other) for each, other in zip(self._context, again, strict=True)]
        self._decode = [whole + batch for whole, batch in zip(self._whole_batch, self._decode_batch, strict=True)]


def padded_counts(capture_sizes: Sequence[int], size: int) -> list[int]:
    """For every count below `size`, the tokens that a step of so many runs with: the next capture size, if any."""
    padded = []
    for low, high in pairwise((-1, *capture_sizes)):
        padded += [high] * (min(high, size - 1) - low)
    return [*padded[:size], *range(len(padded), size)]
