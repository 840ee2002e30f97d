"""How long an engine step takes: the seam between scheduling and time, and the model fitted to measured engines.

`StepCost` is what engines call. `ProfiledStepCost` is the one model behind every shipped profile; `sim.profile` builds it
from a JSON file. Left out: calls that share a cached prefix read it more cheaply than calls that do not (a step is
described by its totals, which do not say who shares what), and the quantisation of batch sizes to CUDA graphs, which
does not show in the measurements.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

#: Token and sequence counts up to which a step cost is looked up rather than interpolated.
TABLE_SIZE = 4096


class StepCost(Protocol):
    """Duration of engine steps, in seconds.

    For a fixed set of decoding calls the duration must be affine in their total context: that is what lets an engine
    skip over equal steps in closed form.
    """

    def step(self, num_decodes: int, num_context_tokens: int, prefills: Sequence[tuple[int, int]]) -> float:
        """Duration of one step.

        Parameters
        ----------
        num_decodes : int
            Calls that decode one token.
        num_context_tokens : int
            Tokens those calls attend to in this step, summed.
        prefills : sequence of (num_new_tokens, num_computed_tokens)
            Prefill chunks in the same step: tokens computed now, tokens computed before (or cached).
        """

    def decode_run(self, num_decodes: int, num_context_tokens: int) -> tuple[float, float]:
        """Duration of a pure decode step, and what each further step over the same calls takes longer.

        The first value equals `step(num_decodes, num_context_tokens, ())`. The context grows by `num_decodes` a step.
        """


@dataclass(frozen=True, slots=True)
class Curve:
    """Non-decreasing piecewise-linear function of a count, in seconds.

    Constant below the first knot; beyond the last knot the last slope continues. The default is zero everywhere.

    Parameters
    ----------
    counts : tuple of int
        Knots, strictly increasing.
    seconds : tuple of float, seconds
        Values at the knots, non-negative and non-decreasing.

    Raises
    ------
    ValueError
        When the knots break one of these rules.
    """

    counts: tuple[int, ...] = (0,)
    seconds: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        if not self.counts or len(self.counts) != len(self.seconds):
            raise ValueError(f"seconds={len(self.seconds)} values must match counts={len(self.counts)} knots, at least one")
        if self.counts[0] < 0 or any(b <= a for a, b in pairwise(self.counts)):
            raise ValueError(f"counts={list(self.counts)} must be non-negative and strictly increasing")
        if not self.seconds[0] >= 0 or any(not b >= a for a, b in pairwise(self.seconds)):
            raise ValueError(f"seconds={list(self.seconds)} must be non-negative and non-decreasing")

    def __call__(self, count: int) -> float:
        """Value at `count`, in seconds."""
        if count <= self.counts[0] or len(self.counts) == 1:
            return self.seconds[0]
        right = min(bisect_left(self.counts, count), len(self.counts) - 1)
        x0, x1 = self.counts[right - 1], self.counts[right]
        y0, y1 = self.seconds[right - 1], self.seconds[right]
        return y0 + (y1 - y0) * (count - x0) / (x1 - x0)


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
    all_reduce : Curve of the tokens in the step
        Communication between tensor-parallel GPUs, all layers together.
    seconds_per_context_token : float
        Reading one token's keys and values in all layers.
    seconds_per_attention_pair : float
        One query against one key in all layers and heads, within prefill.
    seconds_per_prefill : float
        Fixed cost of each prefill chunk.
    seconds_per_step : float
        Host time the engine adds to every step that runs the model.
    """

    dense: Curve
    decode_batch: Curve = Curve()
    all_reduce: Curve = Curve()
    seconds_per_context_token: float = 0.0
    seconds_per_attention_pair: float = 0.0
    seconds_per_prefill: float = 0.0
    seconds_per_step: float = 0.0


class ProfiledStepCost:
    """Step cost as the sum of the fitted terms of a profile.

    Parameters
    ----------
    terms : StepTerms

    Notes
    -----
    With `d` decoding calls that read `C` context tokens, and prefill chunks of `n_i` new on `c_i` computed tokens,
    `T = d + sum n_i`::

        seconds_per_step + dense(T) + all_reduce(T) + decode_batch(d) + seconds_per_context_token * C
        + sum_i [ seconds_per_prefill + max(seconds_per_attention_pair * (n_i c_i + n_i (n_i + 1) / 2),
                                            seconds_per_context_token * (c_i + n_i)) ]

    The maximum is the roofline of a chunk's attention: bound by arithmetic for long chunks, by reading the cache for
    short ones on a long context. A step without tokens costs nothing. Curves are tabulated once, so that a step costs
    a few list look-ups.
    """

    __slots__ = ("_decode", "_decode_batch", "_per_context", "_per_pair", "_per_prefill", "_shared", "terms")

    def __init__(self, terms: StepTerms) -> None:
        self.terms = terms
        self._per_context = terms.seconds_per_context_token
        self._per_pair = terms.seconds_per_attention_pair
        self._per_prefill = terms.seconds_per_prefill
        self._shared = [self._shared_seconds(count) for count in range(TABLE_SIZE)]
        self._decode_batch = [terms.decode_batch(count) if count else 0.0 for count in range(TABLE_SIZE)]
        self._decode = [self._shared[count] + self._decode_batch[count] for count in range(TABLE_SIZE)]

    def step(self, num_decodes: int, num_context_tokens: int, prefills: Sequence[tuple[int, int]]) -> float:
        """Duration of one step, in seconds; see `StepCost.step`."""
        if not prefills:
            return self._decode_seconds(num_decodes) + self._per_context * num_context_tokens
        num_tokens = num_decodes
        seconds = self._per_context * num_context_tokens + self._per_prefill * len(prefills)
        for new, computed in prefills:
            num_tokens += new
            arithmetic = self._per_pair * (new * computed + new * (new + 1) / 2)
            reading = self._per_context * (computed + new)
            seconds += arithmetic if arithmetic > reading else reading
        try:
            return self._shared[num_tokens] + self._decode_batch[num_decodes] + seconds
        except IndexError:
            return self._shared_seconds(num_tokens) + self.terms.decode_batch(num_decodes) + seconds

    def decode_run(self, num_decodes: int, num_context_tokens: int) -> tuple[float, float]:
        """Duration of a pure decode step and its growth a step, in seconds; see `StepCost.decode_run`."""
        per_context = self._per_context
        try:
            return self._decode[num_decodes] + per_context * num_context_tokens, per_context * num_decodes
        except IndexError:
            seconds = self._decode_seconds(num_decodes)
            return seconds + per_context * num_context_tokens, per_context * num_decodes

    def _decode_seconds(self, num_decodes: int) -> float:
        """Part of a pure decode step that does not depend on the context."""
        try:
            return self._decode[num_decodes]
        except IndexError:
            return self._shared_seconds(num_decodes) + self.terms.decode_batch(num_decodes)

    def _shared_seconds(self, num_tokens: int) -> float:
        """Part of a step that depends on its token count alone."""
        if num_tokens == 0:
            return 0.0
        terms = self.terms
        return terms.seconds_per_step + terms.dense(num_tokens) + terms.all_reduce(num_tokens)
