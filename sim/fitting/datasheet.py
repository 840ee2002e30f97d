"""A profile carried to a card nobody measured, by datasheet ratios. A guess with a stated rule, so none is shipped.

The four-GPU figures of the benchmark notes do not name their GPU; the paper of the same project says RTX A6000 for its
four-GPU runs. This lets a comparison put those rows beside each plausible card. What the rule is worth is printed by
`python -m sim.fitting.datasheet`: H100 carried to A100, beside the A100 profile that was built from kernels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np

from sim.fitting.output import curve_table, residual, rounded
from sim.profile import CurveTable, Profile, Residual, load_profile


@dataclass(frozen=True, slots=True)
class Card:
    """Datasheet of a GPU.

    Parameters
    ----------
    name : str
    bandwidth : float, bytes per second
    flops : float, dense fp16 tensor operations per second
    memory : float, bytes
    num_multiprocessors : int
    """

    name: str
    bandwidth: float
    flops: float
    memory: float
    num_multiprocessors: int

    def num_parallel_calls(self, num_kv_heads: int) -> int:
        """Calls whose attention runs at the same time when many decode.

        Parameters
        ----------
        num_kv_heads : int
            Heads of keys and values on this card.

        Notes
        -----
        FlashAttention gives each head of keys and values of each call to one thread block where many calls decode, and
        a multiprocessor runs one at a time. They are taken to start in the order of calls: so many blocks side by side
        belong to so many calls, the last one not whole.
        """
        return -(-self.num_multiprocessors // max(1, num_kv_heads))


#: NVIDIA's datasheets, without sparsity.
A100_80GB = Card("NVIDIA A100 80GB (SXM)", 2039e9, 312e12, 80e9, 108)
RTX_A6000 = Card("NVIDIA RTX A6000 48GB", 768e9, 154.8e12, 48e9, 84)
H100_80GB = Card("NVIDIA H100 80GB (SXM)", 3350e9, 989.4e12, 80e9, 132)
H200_141GB = Card("NVIDIA H200 141GB (SXM)", 4800e9, 989.4e12, 141e9, 132)

#: By the names that commands take.
CARDS = {"a100-80gb": A100_80GB, "rtx-a6000": RTX_A6000, "h100-80gb": H100_80GB, "h200-141gb": H200_141GB}

#: By what their drivers call them. An H100 for PCIe is another card, with fewer multiprocessors.
_DEVICES = {
    "NVIDIA A100-SXM4-80GB": A100_80GB,
    "NVIDIA RTX A6000": RTX_A6000,
    "NVIDIA H100 80GB HBM3": H100_80GB,
    "NVIDIA H200": H200_141GB,
}


def num_parallel_calls(device: str, num_kv_heads: int) -> int:
    """`Card.num_parallel_calls` of the card that a driver calls so; 0 where it is not known."""
    card = _DEVICES.get(device)
    return card.num_parallel_calls(num_kv_heads) if card else 0


def scaled(profile: Profile, measured: Card, target: Card) -> Profile:
    """`profile`, measured on one card, as it might be on another; its residuals do not carry over.

    Notes
    -----
    Reading keys and values goes with bandwidth, query-key pairs with arithmetic; host time, the fixed part of decode
    attention and the slowdown of sustained prefills stay. What treats tokens alike follows the roofline (Williams,
    Waterman and Patterson, CACM 52(4), 2009): streaming the weights takes the time of one token and goes with
    bandwidth, computing takes the slope between the last two knots and goes with arithmetic, the larger decides; how
    far the measured card is from that at each count is kept as a factor. KV blocks: 0.90 of the memory, less what the
    weights took on the measured card. The target's cache is taken as large as the measured one's.
    """
    streaming, arithmetic = measured.bandwidth / target.bandwidth, measured.flops / target.flops
    terms, engine = profile.terms, profile.engine_defaults
    block_bytes = engine.block_size * engine.kv_bytes_per_token
    lost_bytes = 0.9 * (measured.memory - target.memory) * profile.tensor_parallel
    repeated = terms.repeated_context
    parallel = target.num_parallel_calls(profile.model.num_kv_heads // profile.tensor_parallel)
    return msgspec.structs.replace(
        profile,
        name=f"{profile.name} scaled to {target.name}",
        measurement=msgspec.structs.replace(
            profile.measurement,
            gpu=target.name,
            method=f"Not measured: {profile.name} scaled by datasheet bandwidth and arithmetic from {measured.name}.",
        ),
        terms=msgspec.structs.replace(
            terms,
            dense=_roofline(terms.dense, streaming, arithmetic),
            decode_context=_times(terms.decode_context, streaming),
            repeated_context=None if repeated is None else _times(repeated, streaming),
            seconds_per_attention_pair=terms.seconds_per_attention_pair * arithmetic,
            seconds_per_prefill_token=terms.seconds_per_prefill_token * arithmetic,
            num_parallel_calls=parallel if terms.num_parallel_calls else 0,
        ),
        residuals=(),
        forms=(),
        uncertainty=None,
        engine_defaults=msgspec.structs.replace(engine, num_blocks=engine.num_blocks - int(lost_bytes // block_bytes)),
    )


def cross_check() -> Iterator[Residual]:
    """Steps of the A100 profile, built from kernels measured there, as H100 and datasheets predict them."""
    guess = scaled(load_profile("h100-llama-13b"), H100_80GB, A100_80GB).step_cost(async_scheduling=True)
    known = load_profile("a100-llama-13b").step_cost(async_scheduling=True)
    decodes = [(batch, batch * context, ()) for batch in (1, 4, 16, 64) for context in (128, 512, 2048)]
    prefills = [[(new, computed)] for new in (64, 512, 1024, 2048) for computed in (0, 1024)]
    knee = [[(new, computed)] for new in (128, 256) for computed in (0, 1024)]
    for label, steps in (
        ("decode steps, batch 1 to 64, context 128 to 2048", decodes),
        ("prefill steps of 64 and of 512 to 2048 tokens", [(0, 0, chunk) for chunk in prefills]),
        ("prefill steps of 128 and 256 tokens, where streaming meets arithmetic", [(0, 0, chunk) for chunk in knee]),
    ):
        predicted, measured = ([cost.step(*step) for step in steps] for cost in (guess, known))
        yield residual(label, predicted, measured, fitted=False)


def _roofline(dense: CurveTable, streaming: float, arithmetic: float) -> CurveTable:
    """The curve of the tokens on another card."""
    if streaming == arithmetic == 1.0 or len(dense.counts) < 2:
        return dense if streaming == 1.0 else _times(dense, streaming)
    counts, seconds = np.array(dense.counts), np.array(dense.seconds)
    slope = (seconds[-1] - seconds[-2]) / (counts[-1] - counts[-2])
    bound = np.maximum(seconds[0], slope * counts)
    moved = np.maximum(seconds[0] * streaming, slope * counts * arithmetic) * seconds / bound
    return curve_table(dense.counts, np.maximum.accumulate(moved))


def _times(table: CurveTable, factor: float) -> CurveTable:
    return CurveTable(table.counts, tuple(rounded(seconds * factor) for seconds in table.seconds))


if __name__ == "__main__":
    for row in cross_check():
        errors = f"median {row.median:.1%}  p95 {row.p95:.1%}  bias {row.bias:+.1%}"
        print(f"{row.num_points:3d} points  {errors}  {row.points}")
