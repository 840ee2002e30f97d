"""A profile carried to a card nobody measured, by datasheet ratios. A guess with a stated rule, so none is shipped.

The four-GPU figures of the benchmark notes do not name their GPU; the paper of the same project says RTX A6000 for its
four-GPU runs. This lets a comparison put those rows beside each plausible card.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from sim.profile import CurveTable, Profile


@dataclass(frozen=True, slots=True)
class Card:
    """Datasheet of a GPU.

    Parameters
    ----------
    name : str
    bandwidth : float, bytes per second
    flops : float, dense fp16 tensor operations per second
    memory : float, bytes
    """

    name: str
    bandwidth: float
    flops: float
    memory: float


#: NVIDIA A100 80GB SXM and RTX A6000 datasheets.
A100_80GB = Card("NVIDIA A100 80GB (SXM)", 2039e9, 312e12, 80e9)
RTX_A6000 = Card("NVIDIA RTX A6000 48GB", 768e9, 154.8e12, 48e9)


def scaled(profile: Profile, measured: Card, target: Card) -> Profile:
    """`profile`, measured on one card, as it might be on another; its residuals do not carry over.

    Streaming weights and keys and values goes with bandwidth; what prefill adds to that goes with arithmetic; host time
    and the fixed part of decode attention stay. KV blocks: 0.90 of the memory, less fp16 weights.
    """
    streaming, arithmetic = measured.bandwidth / target.bandwidth, measured.flops / target.flops
    terms, engine = profile.terms, profile.engine_defaults
    base = terms.dense.seconds[0]
    dense = tuple(base * streaming + (seconds - base) * arithmetic for seconds in terms.dense.seconds)
    block_bytes = engine.block_size * engine.kv_bytes_per_token
    lost_bytes = 0.9 * (measured.memory - target.memory) * profile.tensor_parallel
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
            dense=CurveTable(terms.dense.counts, dense),
            decode_context=CurveTable(
                terms.decode_context.counts, tuple(seconds * streaming for seconds in terms.decode_context.seconds)
            ),
            seconds_per_attention_pair=terms.seconds_per_attention_pair * arithmetic,
            seconds_per_prefill_token=terms.seconds_per_prefill_token * arithmetic,
        ),
        residuals=(),
        engine_defaults=msgspec.structs.replace(engine, num_blocks=engine.num_blocks - int(lost_bytes // block_bytes)),
    )
