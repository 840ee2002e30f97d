"""Forms that a calibrated step cost may take, each a linear model in non-negative coefficients."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.fitting.linear import rises
from sim.fitting.output import curve_table, rounded
from sim.fitting.samples import Sample
from sim.profile import CurveTable, Terms

#: What a fit finds beside the terms of a step: the launch of an idle engine's first step, which nothing hides.
IDLE_START = "idle_start"

#: Limits that are tried for the shared tokens in a GPU's cache. 50 MB hold 2441 of a layer of Llama 13B in 16 bits.
_RESIDENT = (128, 256, 512, 1024, 1536, 2048, 3072, 4096)


@dataclass(frozen=True, slots=True)
class StepForm:
    """Which terms a step cost has, and where its curves bend.

    Parameters
    ----------
    dense, decode_batch : tuple of int
        Knots of the rising curves of `sim.step_cost.StepTerms`.
    decode_context : tuple of int
        Batch sizes between which the cost of a context token is interpolated.
    repeated_context : tuple of int
        Numbers of sharing calls between which the cost of reading a token again is; empty: no cheaper than the first.
    num_resident_tokens : int
    capture_sizes : tuple of int
    per_prefill : bool
        Whether each chunk has a fixed cost.
    """

    dense: tuple[int, ...]
    decode_batch: tuple[int, ...]
    decode_context: tuple[int, ...] = (1,)
    repeated_context: tuple[int, ...] = ()
    num_resident_tokens: int = 0
    capture_sizes: tuple[int, ...] = ()
    per_prefill: bool = False

    @property
    def names(self) -> list[str]:
        """Coefficients, as `sim.uncertainty.coefficients` names them, and `IDLE_START`."""
        return [
            *_numbered("dense", self.dense),
            *_numbered("decode_batch", self.decode_batch)[1:],  # one call is the dense curve's business
            *_numbered("decode_context", self.decode_context),
            *_numbered("repeated_context", self.repeated_context),
            "seconds_per_attention_pair",
            *(("seconds_per_prefill",) if self.per_prefill else ()),
            "synchronous_seconds_per_step",
            "synchronous_seconds_per_decode",
            IDLE_START,
        ]

    def matrix(self, samples: Sequence[Sample]) -> np.ndarray:
        """Design matrix without the attention of prefills, which `Attention` fills in.

        Returns
        -------
        (num_samples, num_coefficients) float
        """
        return np.array([self._row(sample) for sample in samples])

    def _row(self, sample: Sample) -> list[float]:
        cheap = self._num_cheap_tokens(sample)
        num_sharing = 1 + sample.num_repeated_tokens / max(sample.num_distinct_tokens, 1)
        return [
            1.0,
            *rises(self._padded(sample.num_tokens), self.dense),
            *rises(sample.num_decodes, self.decode_batch),
            *_hats(sample.num_decodes, self.decode_context, sample.num_context_tokens - cheap),
            *_hats(num_sharing, self.repeated_context, cheap),
            0.0,
            *((float(len(sample.prefills)),) if self.per_prefill else ()),
            0.0 if sample.asynchronous else 1.0,
            0.0 if sample.asynchronous else float(sample.num_decodes),
            1.0 if sample.is_first else 0.0,
        ]

    def _num_cheap_tokens(self, sample: Sample) -> float:
        """Repeated reads that find their token in the GPU's cache."""
        if not self.repeated_context:
            return 0.0
        cheap = float(sample.num_repeated_tokens)
        if 0 < self.num_resident_tokens < sample.num_distinct_tokens:
            cheap *= self.num_resident_tokens / sample.num_distinct_tokens
        return cheap

    def _padded(self, num_tokens: int) -> int:
        index = bisect_left(self.capture_sizes, num_tokens)
        return self.capture_sizes[index] if index < len(self.capture_sizes) else num_tokens

    def terms(self, values: Mapping[str, float]) -> Terms:
        """Terms of a profile with fitted coefficients."""

        def curve(name: str, knots: tuple[int, ...], *, rising: bool) -> CurveTable:
            seconds = [values.get(f"{name}[{index}]", 0.0) for index in range(len(knots))]
            return curve_table(knots, np.cumsum(seconds) if rising else seconds)

        return Terms(
            dense=curve("dense", self.dense, rising=True),
            decode_batch=curve("decode_batch", self.decode_batch, rising=True),
            decode_context=curve("decode_context", self.decode_context, rising=False),
            all_reduce=curve_table((1,), (0.0,)),
            seconds_per_attention_pair=rounded(values["seconds_per_attention_pair"]),
            seconds_per_prefill_token=0.0,
            seconds_per_prefill=rounded(values.get("seconds_per_prefill", 0.0)),
            seconds_per_step=0.0,
            synchronous_seconds_per_step=rounded(values["synchronous_seconds_per_step"]),
            synchronous_seconds_per_decode=rounded(values["synchronous_seconds_per_decode"]),
            repeated_context=(
                curve("repeated_context", self.repeated_context, rising=False) if self.repeated_context else None
            ),
            num_resident_tokens=self.num_resident_tokens,
            capture_sizes=self.capture_sizes,
        )


class Attention:
    """Attention of the prefill chunks of samples: bound by arithmetic or by reading the cache (`sim.step_cost`).

    Parameters
    ----------
    samples : sequence of Sample
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        chunks = [(row, *chunk) for row, sample in enumerate(samples) for chunk in sample.prefills]
        self._rows, new, computed = np.array(chunks, dtype=np.int64).reshape(-1, 3).T
        self._pairs = new * computed + new * (new + 1) / 2
        self._read = computed + new

    def fill(self, matrix: np.ndarray, form: StepForm, values: Mapping[str, float]) -> np.ndarray:
        """A copy of `matrix` with the columns of pairs and of context filled in.

        Which chunks are bound by what follows from `values`, an earlier fit; without one, all by arithmetic.
        """
        pair, reading = "seconds_per_attention_pair", f"decode_context[{len(form.decode_context) - 1}]"
        is_compute = values.get(pair, 1.0) * self._pairs >= values.get(reading, 0.0) * self._read
        filled = matrix.copy()
        np.add.at(filled[:, form.names.index(pair)], self._rows[is_compute], self._pairs[is_compute])
        np.add.at(filled[:, form.names.index(reading)], self._rows[~is_compute], self._read[~is_compute])
        return filled


def base_form(samples: Sequence[Sample]) -> StepForm:
    """The simplest form: weights streamed or tokens computed, a fixed cost of decoding, one cost of context."""
    most_tokens = max(sample.num_tokens for sample in samples)
    most_decodes = max(sample.num_decodes for sample in samples)
    return StepForm(
        dense=_up_to((1, 128, 256, 512, 1024, 2048, 4096, 8192, 16384), most_tokens),
        decode_batch=_up_to((1, 16, 64, 128, 256, 512, 1024), most_decodes),
    )


def refinements(
    samples: Sequence[Sample], capture_sizes: tuple[int, ...]
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """What may be added to a form, in the order in which it is tried: a name, and alternative changes of fields."""
    most_tokens = max(sample.num_tokens for sample in samples)
    most_decodes = max(sample.num_decodes for sample in samples)

    def knots(name: str, *counts: int, most: int = most_decodes) -> list[dict[str, Any]]:
        return [{name: _up_to(counts, most)}]

    yield "cost of context by batch", knots("decode_context", 1, 8, 64)
    yield "cost of context by batch, finer", knots("decode_context", 1, 2, 4, 8, 16, 32, 64)
    if any(sample.num_repeated_tokens for sample in samples):
        yield "one cost of repeated reads", [{"repeated_context": (2,)}]
        yield "repeated reads by sharing calls", knots("repeated_context", 2, 8, 32, 128)
        yield "repeated reads by sharing calls, finer", knots("repeated_context", 2, 4, 8, 16, 32, 64, 128, 256)
        yield "limit of the GPU's cache", [{"num_resident_tokens": limit} for limit in _RESIDENT]
    if capture_sizes:
        yield "padding to CUDA-graph sizes", [{"capture_sizes": capture_sizes}]
    yield "fixed cost of a chunk", [{"per_prefill": True}]
    yield "finer curve of the batch", knots("decode_batch", 1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512)
    dense = (1, 16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192)
    yield "finer curve of the tokens", knots("dense", *dense, most=most_tokens)


def _up_to(knots: tuple[int, ...], most: int) -> tuple[int, ...]:
    """Knots that measurements support: up to the first one at or above the largest count."""
    below = tuple(knot for knot in knots if knot < most)
    return (*below, knots[len(below)]) if len(below) < len(knots) and below else below or knots[:1]


def _numbered(name: str, knots: Sequence[int]) -> list[str]:
    return [f"{name}[{index}]" for index in range(len(knots))]


def _hats(count: float, knots: Sequence[int], amount: float) -> list[float]:
    """`amount` divided between the two knots around `count`, as a piecewise-linear curve weighs them."""
    if not knots:
        return []
    weights = np.interp(count, knots, np.arange(len(knots)))
    left = min(int(weights), max(len(knots) - 2, 0))
    row = [0.0] * len(knots)
    row[left] = amount * (1 - (weights - left))
    if len(knots) > 1:
        row[left + 1] = amount * (weights - left)
    return row
