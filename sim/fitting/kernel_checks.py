"""Whole steps beside a profile made of kernel tables: put together from kernels, and measured elsewhere."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sim.fitting.kernel_tables import Build, KernelTables
from sim.fitting.output import residual
from sim.profile import Residual
from sim.step_cost import StepCost


def assembled_steps(cost: StepCost, tables: KernelTables) -> list[Residual]:
    """Steps whose attention was held out, beside the sum of their measured kernels.

    The tokens of most of these steps took part in the fit of the dense curve: its own held-out counts say how it holds.

    Parameters
    ----------
    cost : StepCost
        Asynchronous: kernels alone.
    tables : KernelTables
    """
    decodes = [
        (cost.step(batch, batch * context, ()), tables.seconds(batch) + attention)
        for context in tables.held_out_contexts
        for batch, attention in tables.decode[context].dropna().items()
    ]
    rows = tables.prefill[tables.prefill.num_tokens.isin(tables.held_out_prompts)]
    prefills = [
        (cost.step(0, 0, ((tokens, 0),)), tables.seconds(tokens) + attention)
        for tokens, attention in zip(rows.num_tokens, rows.seconds, strict=True)
    ]
    return [
        residual(label, *zip(*pairs, strict=True), fitted=False)
        for label, pairs in (
            ("whole decode steps, attention held out of every second context length", decodes),
            ("whole prefill steps, attention held out of every second prompt length", prefills),
        )
    ]


def muxserve_steps(cost: StepCost, build: Build, data: Path) -> list[Residual]:
    """Predictions of measured whole steps that took no part: those of MuxServe's synchronous engine on one A100.

    Parameters
    ----------
    cost : StepCost
        Synchronous.
    build : Build
    data : Path
        The data collection.
    """
    path = data / "gpu_cost" / "muxserve_a100_llama_step_ms.csv"
    if build.gpu != "a100" or build.tensor_parallel > 1 or not path.exists():
        return []
    rows = pd.read_csv(path)
    rows = rows[(rows.model == build.model.name.lower()) & (rows.num_gpus == 1) & (rows.sm_percent == 100)]
    decodes = rows[(rows.decode_ms > 0) & (rows.batch_size <= 128)]
    prefills = rows[(rows.prefill_ms > 0) & (rows.batch_size * rows.seq_len <= 4096)]
    return [
        residual(
            "whole decode steps of MuxServe, batch 1 to 128",
            [cost.step(b, b * s, ()) for b, s in zip(decodes.batch_size, decodes.seq_len, strict=True)],
            decodes.decode_ms / 1e3,
            fitted=False,
        ),
        residual(
            "whole prefill steps of MuxServe, up to 4096 tokens",
            [cost.step(0, 0, [(s, 0)] * b) for b, s in zip(prefills.batch_size, prefills.seq_len, strict=True)],
            prefills.prefill_ms / 1e3,
            fitted=False,
        ),
    ]
