"""Forms that a calibrated step cost may take, each a linear model in non-negative coefficients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.fitting.launches import UNKNOWN_LAUNCHES, MeasuredLaunches, usual_launch
from sim.fitting.output import curve_table, rounded
from sim.fitting.samples import Sample
from sim.profile import CurveTable, Terms

#: What a fit finds beside the terms of a step: the launch of an idle engine's first step, which nothing hides.
IDLE_START = "idle_start"

#: From the end of a measured launch to the earliest end of its step.
AFTER_LAUNCH = "seconds_after_launch"

#: Limits that are tried for the tokens in a GPU's cache. 50 MB hold 2441 of a layer of Llama 13B in 16 bits.
_RESIDENT = (384, 512, 768, 1024, 1280, 1536, 2048, 3072, 4096, 6144, 8192)

#: Launches that are tried, in seconds.
_LAUNCH = tuple(milliseconds / 1000 for milliseconds in range(16, 51, 2))

#: What decoding calls are tried to add to a launch, in seconds each.
_PER_DECODE = tuple(microseconds / 1e6 for microseconds in range(10, 61, 10))

#: What a step with prefills may take more under synchronous scheduling, in the order in which it is added.
_SYNCHRONOUS = {
    "synchronous_seconds_per_mixed_step": "fixed cost of a step with prefills",
    "synchronous_seconds_per_mixed_decode": "cost of a call that decodes beside prefills",
    "synchronous_seconds_per_prefill": "cost of a chunk",
    "synchronous_seconds_per_prefill_token": "cost of a prefill token",
}

_TOKENS = (1, 64, 128, 256, 384, 512, 640, 768, 896, 1024, 1152, 1280, 1536, 1920, 2048, 3072, 4096, 8192)

#: A knot needs a measured step within this share of it.
_NEAR = 0.06

#: Calls up to which thread blocks come in few enough waves for every batch size to differ.
_EVERY_SIZE = tuple(range(1, 11))
_MORE_SIZES = (12, 13, 16, 19, 24, 29, 32, 41, 48, 57, 64)


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
        Batch sizes between which the cost of reading a token again is; empty: no cheaper than the first.
    num_resident_tokens, num_parallel_calls : int
        As in `sim.step_cost.hit_share`; the second is the card's and the model's, and not fitted.
    capture_sizes : tuple of int
    per_prefill, per_mixed_step : bool
        Whether each chunk, and each step with chunks, has a fixed cost.
    num_graph_tokens : int
        Steps of more tokens are launched kernel by kernel; 0: not told apart.
    launches : MeasuredLaunches
        Not fitted, but what follows them is.
    launch_seconds_per_decode : float
        What each decoding call adds to a launch, and to the time after it.
    launch_seconds : float
        Shortest time from the planning of a step with prefills beyond graphs to its end, where no launch was measured.
    synchronous : tuple of str
        Coefficients of steps with prefills under synchronous scheduling, beside the two that all steps have.
    """

    dense: tuple[int, ...]
    decode_batch: tuple[int, ...]
    decode_context: tuple[int, ...] = (1,)
    repeated_context: tuple[int, ...] = ()
    num_resident_tokens: int = 0
    num_parallel_calls: int = 0
    capture_sizes: tuple[int, ...] = ()
    per_prefill: bool = False
    per_mixed_step: bool = False
    num_graph_tokens: int = 0
    launches: MeasuredLaunches = UNKNOWN_LAUNCHES
    launch_seconds_per_decode: float = 0.0
    launch_seconds: float = 0.0
    synchronous: tuple[str, ...] = ()

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
            *(("seconds_per_mixed_step",) if self.per_mixed_step else ()),
            *((AFTER_LAUNCH,) if self.has_launches else ()),
            "synchronous_seconds_per_step",
            "synchronous_seconds_per_decode",
            *self.synchronous,
            IDLE_START,
        ]

    @property
    def has_launches(self) -> bool:
        """Whether launches were measured."""
        return bool(self.launches.beyond_graphs)

    def terms(self, values: Mapping[str, float]) -> Terms:
        """Terms of a profile with fitted coefficients."""

        def curve(name: str, knots: tuple[int, ...], *, rising: bool) -> CurveTable:
            seconds = [values.get(f"{name}[{index}]", 0.0) for index in range(len(knots))]
            return curve_table(knots, np.cumsum(seconds) if rising else seconds)

        per_decode = self.launch_seconds_per_decode
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
            num_parallel_calls=self.num_parallel_calls if self.num_resident_tokens else 0,
            capture_sizes=self.capture_sizes,
            seconds_per_mixed_step=rounded(values.get("seconds_per_mixed_step", 0.0)),
            num_graph_tokens=self.num_graph_tokens,
            launch_seconds=usual_launch(self.launches.beyond_graphs, per_decode) or self.launch_seconds,
            graph_launch_seconds=usual_launch(self.launches.within_graphs, per_decode),
            launch_seconds_per_decode=per_decode,
            seconds_after_launch=rounded(values.get(AFTER_LAUNCH, 0.0)),
            launch_holds_core=self.has_launches,
            **{name: rounded(values[name]) for name in self.synchronous},
        )


def base_form(
    samples: Sequence[Sample], num_parallel_calls: int = 0, launches: MeasuredLaunches = UNKNOWN_LAUNCHES
) -> StepForm:
    """The simplest form: weights streamed or tokens computed, a fixed cost of decoding, one cost of context."""
    most_tokens = max(load.num_tokens for sample in samples for load in sample.loads)
    most_decodes = max(load.num_decodes for sample in samples for load in sample.loads)
    return StepForm(
        dense=_up_to((1, 128, 256, 512, 1024, 2048, 4096, 8192, 16384), most_tokens),
        decode_batch=_up_to((1, 16, 64, 128, 256, 512, 1024), most_decodes),
        num_parallel_calls=num_parallel_calls,
        num_graph_tokens=launches.num_graph_tokens,
        launches=launches,
    )


def refinements(
    samples: Sequence[Sample], capture_sizes: tuple[int, ...], *, launches_known: bool
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """What may be added to a form, in the order in which it is tried: a name, and alternative changes of fields."""
    most_tokens = max(load.num_tokens for sample in samples for load in sample.loads)
    most_decodes = max(load.num_decodes for sample in samples for load in sample.loads)

    batches = [sample.loads[0] for sample in samples if not sample.has_prefills]
    sizes = {load.num_decodes for load in batches}
    sharing_sizes = {load.num_decodes for load in batches if load.sharing.num_repeated_tokens}

    def knots(name: str, *counts: int) -> list[dict[str, Any]]:
        return [{name: _up_to(counts, most_decodes)}]

    if sharing_sizes:
        yield "one cost of repeated reads", [{"repeated_context": (2,)}]
        yield "limit of the GPU's cache", [{"num_resident_tokens": limit} for limit in _RESIDENT]
    yield "cost of context by batch", knots("decode_context", 1, 8, 64)
    yield "cost of context by batch, finer", knots("decode_context", 1, 2, 4, 8, 16, 32, 64)
    for name, counts in (("every size up to 10", (13, 24)), ("all sizes up to 64", _MORE_SIZES)):
        measured = tuple(count for count in (*_EVERY_SIZE, *counts) if count in sizes)
        if len(measured) > 2:
            yield f"cost of context by batch, {name}", [{"decode_context": measured}]
    measured = tuple(count for count in (*_EVERY_SIZE, *_MORE_SIZES) if count in sharing_sizes)
    if len(measured) > 1:
        yield "repeated reads by batch", [{"repeated_context": measured}]
    if launches_known:
        yield "launches by batch, seconds a call", [{"launch_seconds_per_decode": each} for each in _PER_DECODE]
    yield "fixed cost of a step with prefills", [{"per_mixed_step": True}]
    yield "fixed cost of a chunk", [{"per_prefill": True}]
    yield "finer curve of the tokens", [{"dense": _supported(_up_to(_TOKENS, most_tokens), samples)}]
    yield "finer curve of the batch", knots("decode_batch", 1, 8, 16, 18, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
    if capture_sizes:
        yield "padding to CUDA-graph sizes", [{"capture_sizes": capture_sizes}]
    if capture_sizes and most_tokens > capture_sizes[-1] and not launches_known:
        changes = [{"launch_seconds": seconds, "num_graph_tokens": capture_sizes[-1]} for seconds in _LAUNCH]
        yield "launch of steps without a graph, seconds", changes


def synchronous_refinements() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """What synchronous scheduling may add to a form: as in `refinements`, each with those before it."""
    names = tuple(_SYNCHRONOUS)
    for num_terms, name in enumerate(names, start=1):
        yield f"synchronous scheduling: {_SYNCHRONOUS[name]}", [{"synchronous": names[:num_terms]}]


def _up_to(knots: tuple[int, ...], most: int) -> tuple[int, ...]:
    """Knots that measurements support: up to the first one at or above the largest count."""
    below = tuple(knot for knot in knots if knot < most)
    return (*below, knots[len(below)]) if len(below) < len(knots) and below else below or knots[:1]


def _supported(knots: tuple[int, ...], samples: Sequence[Sample]) -> tuple[int, ...]:
    """Knots near which steps were measured: between others a curve would bend anywhere. The ends always stay."""
    counts = {load.num_tokens for sample in samples for load in sample.loads}

    def is_near(knot: int) -> bool:
        return any(abs(count - knot) <= _NEAR * knot for count in counts)

    return tuple(knot for knot in knots if knot in (knots[0], knots[-1]) or is_near(knot))


def _numbered(name: str, knots: Sequence[int]) -> list[str]:
    return [f"{name}[{index}]" for index in range(len(knots))]
