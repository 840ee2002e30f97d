"""The measured kernels that a profile is put together from, and which of them are held out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sim.fitting import kernels
from sim.profile import ModelShape

BATCH_KNOTS = (1, 2, 4, 8, 16, 32, 64, 128)
CONTEXTS = (128, 4096)  # tokens a call attends to, between which decode attention is fitted


@dataclass(frozen=True, slots=True)
class Build:
    """One profile to build.

    Parameters
    ----------
    name : str
    gpu : str
        As AIConfigurator's files name it.
    model : ModelShape
    tensor_parallel : int
    layers : str
        Vidur's operator table, without its ending.
    """

    name: str
    gpu: str
    model: ModelShape
    tensor_parallel: int
    layers: str


@dataclass(frozen=True, slots=True)
class KernelTables:
    """Seconds of kernels, all layers together.

    Parameters
    ----------
    dense : pandas.Series, by tokens in the step
        Layers without attention, and the output head.
    decode : pandas.DataFrame
        Attention of decode steps: rows `BATCH_KNOTS`, columns the context of each call; NaN beyond the table.
    prefill : pandas.DataFrame
        Attention of one prompt: `num_tokens`, `seconds`.
    all_reduce : pandas.Series or None, by tokens in the step
        None on one GPU.
    """

    dense: pd.Series
    decode: pd.DataFrame
    prefill: pd.DataFrame
    all_reduce: pd.Series | None

    @property
    def held_out_contexts(self) -> list[int]:
        """Every second context length, from the second longest down."""
        return sorted(self.decode.columns, reverse=True)[1::2]

    @property
    def held_out_prompts(self) -> list[int]:
        """Every second prompt length, from the second shortest up."""
        return sorted(self.prefill.num_tokens.unique())[1::2]

    def seconds(self, num_tokens: int) -> float:
        """Everything but attention in a step of so many tokens, interpolated in the tables."""
        reduced = 0.0 if self.all_reduce is None else _at(self.all_reduce, num_tokens)
        return _at(self.dense, num_tokens) + reduced


def read(build: Build, gpu_cost: Path) -> KernelTables:
    """The tables of one build.

    Parameters
    ----------
    build : Build
    gpu_cost : Path
        Folder of that name in the data collection.
    """
    where = (gpu_cost / "aiconfigurator", build.gpu, build.model, build.tensor_parallel)
    layers = kernels.layer_seconds(
        gpu_cost / "vidur" / f"{build.layers}.csv.gz", build.model.num_layers, build.tensor_parallel
    )
    return KernelTables(
        dense=layers + kernels.output_head_seconds(*where),
        decode=_at_knots(kernels.decode_attention(*where)),
        prefill=kernels.prefill_attention(*where),
        all_reduce=kernels.all_reduce_seconds(*where) if build.tensor_parallel > 1 else None,
    )


def _at_knots(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows[rows.context.between(*CONTEXTS)]
    table = rows.pivot_table(index="num_decodes", columns="context", values="seconds").sort_index()
    at_knots = {
        context: np.interp(BATCH_KNOTS, column.dropna().index, column.dropna(), right=np.nan)
        for context, column in table.items()
    }
    return pd.DataFrame(at_knots, index=BATCH_KNOTS)


def _at(seconds: pd.Series, count: int) -> float:
    return float(np.interp(count, seconds.index.to_numpy(float), seconds.to_numpy()))
