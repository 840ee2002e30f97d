"""The closed form's building blocks: what one round of equal calls costs an engine, and the rounds of a level.

A round is a set of calls that an engine starts together: it prefills all their prompts, then decodes all of them until
their last token. A level (the calls of the applications at one depth of their graphs) takes as many rounds as its calls
need places. Leaves out: decoding while others still prefill, calls that start before a whole round is done, KV
blocks running short, and engines that get unequal shares. The simulator has all of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from traces.wording import counted


class StepCost(Protocol):
    """Duration of engine steps, in seconds; affine in the context of a fixed set of decoding calls."""

    def step(self, num_decodes: int, num_context_tokens: int, prefills: Sequence[tuple[int, int]]) -> float:
        """One step: calls that decode, tokens they attend to in sum, prefill chunks as (new, computed before)."""

    def decode_run(self, num_decodes: int, num_context_tokens: int) -> tuple[float, float]:
        """A pure decode step, and what each further step over the same calls takes longer."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the closed form knows of a cluster.

    Parameters
    ----------
    num_engines : int
    num_resident : int
        Most calls resident on one engine: the smallest of `max_num_seqs`, the coordinator's window and what the KV
        blocks hold.
    stage_bounds : dict of stage to int, optional
        Upper bounds on resident calls per engine while a stage runs, instead of `num_resident`.
    network_latency : float, seconds
    orchestration : "client" or "service"
        Whether the latency is paid before every call, or once for a service that has the whole graph.
    max_num_batched_tokens : int
        Most tokens computed in one step.
    enable_prefix_caching : bool
        Whether a call finds the leading tokens that earlier levels computed; on several engines this takes a router
        that sends it to the right one.
    block_size : int
        Tokens in a KV block; only whole blocks are found.
    """

    num_engines: int
    num_resident: int
    stage_bounds: Mapping[str, int] = field(default_factory=dict)
    network_latency: float = 0.0
    orchestration: Literal["client", "service"] = "client"
    max_num_batched_tokens: int = 2048
    enable_prefix_caching: bool = False
    block_size: int = 16

    def __post_init__(self) -> None:
        for name in ("num_engines", "num_resident", "max_num_batched_tokens", "block_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be positive")
        for stage, bound in self.stage_bounds.items():
            if bound < 1:
                raise ValueError(f"stage_bounds[{stage!r}]={bound} must be positive")
        if self.network_latency < 0:
            raise ValueError(f"network_latency={self.network_latency} must not be negative")
        if self.orchestration not in ("client", "service"):
            raise ValueError(f"orchestration={self.orchestration!r} must be 'client' or 'service'")

    def resident(self, stages: Sequence[str]) -> int:
        """Most calls resident on one engine while calls of these stages run: the smallest of their bounds."""
        return min(self.stage_bounds.get(stage, self.num_resident) for stage in stages)


@dataclass(frozen=True, slots=True)
class CallShape:
    """Lengths of the calls of a level, in tokens.

    Parameters
    ----------
    num_prompt_tokens, num_cached_tokens, num_output_tokens : int
    """

    num_prompt_tokens: int
    num_cached_tokens: int
    num_output_tokens: int


@dataclass(frozen=True, slots=True)
class Round:
    """`count` equal rounds on the engine with the most calls.

    Parameters
    ----------
    count : int
    num_calls : int
        Calls of one round on this engine.
    prefill : float, seconds
        All prompts of one round.
    num_decode_steps : int
        Output tokens but one: the first comes out of the prefill.
    first_step : float, seconds
        The first decode step.
    step_growth : float, seconds
        What each further decode step takes longer, because the context grows.
    """

    count: int
    num_calls: int
    prefill: float
    num_decode_steps: int
    first_step: float
    step_growth: float

    @property
    def growth(self) -> float:
        """Seconds by which one round's decode steps exceed as many first steps: an arithmetic series."""
        return self.step_growth * self.num_decode_steps * (self.num_decode_steps - 1) / 2

    @property
    def decode(self) -> float:
        """Seconds of one round's decode steps."""
        return self.num_decode_steps * self.first_step + self.growth

    @property
    def seconds(self) -> float:
        """Seconds of all `count` rounds."""
        return self.count * (self.prefill + self.decode)

    def formula(self) -> str:
        """The round written out: `4 rounds of 2 x (prefill 0.210 s + 49 steps x 30.00 ms)`; the step is the mean."""
        rounds = f"{counted(self.count, 'round')} of {self.num_calls}"
        step = self.decode / self.num_decode_steps if self.num_decode_steps else 0.0
        steps = counted(self.num_decode_steps, "step")
        return f"{rounds} x (prefill {self.prefill:.3f} s + {steps} x {step * 1e3:.2f} ms)"


def prefill_time(cost: StepCost, prompts: Sequence[tuple[int, int]], max_num_batched_tokens: int) -> float:
    """Seconds to prefill prompts on an engine that does nothing else.

    Parameters
    ----------
    cost : StepCost
    prompts : sequence of (num_new_tokens, num_computed_tokens)
    max_num_batched_tokens : int

    Notes
    -----
    Chunked prefill as in vLLM V1: prompts in order, each step filled up to the limit.
    """
    seconds, room = 0.0, max_num_batched_tokens
    chunks: list[tuple[int, int]] = []
    for num_new, num_computed in prompts:
        while num_new:
            taken = min(num_new, room)
            chunks.append((taken, num_computed))
            num_new, num_computed, room = num_new - taken, num_computed + taken, room - taken
            if not room:
                seconds += cost.step(0, 0, chunks)
                chunks, room = [], max_num_batched_tokens
    return seconds + (cost.step(0, 0, chunks) if chunks else 0.0)


def rounds_of(num_calls: int, resident: int, shape: CallShape, cost: StepCost, deployment: Deployment) -> list[Round]:
    """Rounds that `num_calls` equal calls take: full ones, then one for the rest.

    Parameters
    ----------
    num_calls : int
        Calls of the level over all engines.
    resident : int
        Most of them on one engine at a time.
    shape : CallShape
    cost : StepCost
    deployment : Deployment
    """
    num_full, num_rest = divmod(num_calls, deployment.num_engines * resident)
    largest_rest = -(-num_rest // deployment.num_engines)  # the busiest engine's share, rounded up
    if largest_rest == resident:
        num_full, largest_rest = num_full + 1, 0
    sizes = [(num_full, resident), (1, largest_rest)]
    return [_round(count, size, shape, cost, deployment) for count, size in sizes if count and size]


def _round(count: int, size: int, shape: CallShape, cost: StepCost, deployment: Deployment) -> Round:
    num_new = shape.num_prompt_tokens - shape.num_cached_tokens
    prompts = [(num_new, shape.num_cached_tokens)] * size
    # The first decode step attends to the prompt and to the token that the prefill brought.
    first_step, step_growth = cost.decode_run(size, size * (shape.num_prompt_tokens + 1))
    return Round(
        count=count,
        num_calls=size,
        prefill=prefill_time(cost, prompts, deployment.max_num_batched_tokens),
        num_decode_steps=shape.num_output_tokens - 1,
        first_step=first_step,
        step_growth=step_growth,
    )
