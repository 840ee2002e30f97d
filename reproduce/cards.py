"""Which step costs stand for which GPU and model; what was measured and what is carried over by a stated rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from sim.fitting.datasheet import A100_80GB, RTX_A6000, scaled
from sim.fitting.parrot_engines import with_engine
from sim.profile import Profile, load_profile


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU (or a tensor-parallel group) with a model on it.

    Parameters
    ----------
    gpu, model : str
    profile : callable of engine ("hf", "vllm-2023" or "parrot") to Profile
    remark : str
        How far the costs are from a measurement; empty when they are fitted to that card and model.
    """

    gpu: str
    model: str
    profile: Callable[[str], Profile]
    remark: str = ""


def _a6000_7b(engine: str) -> Profile:
    return scaled(load_profile(f"a100-llama-7b-{engine}"), A100_80GB, RTX_A6000)


def _h100_13b(engine: str) -> Profile:
    return _with_engine_of_a100(load_profile("h100-llama-13b"), engine)


def _a100_13b_tp4(engine: str) -> Profile:
    return _with_engine_of_a100(load_profile("a100-llama-13b-tp4"), engine)


def _with_engine_of_a100(kernels: Profile, engine: str) -> Profile:
    """Kernels of one card with what an older engine adds on an A100: host time a step and slower prefill."""
    fitted, under = load_profile(f"a100-llama-13b-{engine}"), load_profile("a100-llama-13b")
    factor = fitted.terms.seconds_per_attention_pair / under.terms.seconds_per_attention_pair
    limits = msgspec.structs.replace(
        fitted.engine_defaults,
        num_blocks=kernels.engine_defaults.num_blocks,
        kv_bytes_per_token=kernels.engine_defaults.kv_bytes_per_token,
    )
    terms = with_engine(kernels.terms, fitted.terms.seconds_per_step, factor)
    return msgspec.structs.replace(kernels, name=f"{kernels.name}-{engine}", terms=terms, engine_defaults=limits)


A100_7B = Card("A100-80GB", "7B", lambda engine: load_profile(f"a100-llama-7b-{engine}"))
A100_13B = Card("A100-80GB", "13B", lambda engine: load_profile(f"a100-llama-13b-{engine}"))
A6000_7B = Card("RTX A6000", "7B", _a6000_7b, "costs scaled from A100 by datasheet")
H100_13B = Card("H100-80GB", "13B", _h100_13b, "engine overheads of an A100 on H100 kernels")
A100_13B_TP4 = Card("4x A100-80GB, TP 4", "13B", _a100_13b_tp4, "engine overheads of one A100 on TP kernels")

#: Where the four-GPU rows of the notes can be simulated. Their card is not stated; the paper says A6000 for four GPUs.
FOUR_GPU_CARDS = (A6000_7B, A100_7B, A100_13B, H100_13B)

#: Cards that cannot stand for those rows, and why.
MISSING_CARDS = (
    "H100 with 7B: no 7B step costs were measured on an H100",
    "V100, A10 and L4: no step costs, and no datasheet rule was checked for them",
    "tensor parallel with 7B, or on A6000: all-reduce was measured on A100 and H100 with NVLink only",
)
