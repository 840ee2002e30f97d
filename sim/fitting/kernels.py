"""Measured kernel times of A100 and H100, as seconds of a whole model's step.

Sources, both under `gpu_cost/`: Vidur's operator profiles (MIT; one layer, by tokens and tensor-parallel degree) and
AIConfigurator's tables of vLLM 0.14 kernels (Apache-2.0; attention, all-reduce and matrix products).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from sim.profile import ModelShape

#: A call's attention at `b` calls and 40 heads equals that of `5 b` calls and 8 heads, the most the table has.
TABLE_KV_HEADS = 8


def layer_seconds(table: Path, num_layers: int, tensor_parallel: int) -> pd.Series:
    """Everything but attention, embedding and communication in all layers, by tokens in the step.

    Parameters
    ----------
    table : Path
        Vidur's `*_mlp.csv.gz`. Its `add` is the residual addition, which a layer makes twice.
    num_layers, tensor_parallel : int

    Returns
    -------
    pandas.Series of float, seconds, by number of tokens
    """
    rows = pd.read_csv(table)
    rows = rows[rows.num_tensor_parallel_workers == tensor_parallel]
    operators = [name for name in rows.columns if name.endswith(".median") and ".emb." not in name]
    milliseconds = rows[operators].sum(axis=1) + rows["time_stats.add.median"]
    seconds: pd.Series = milliseconds.groupby(rows.num_tokens).median() * num_layers / 1e3
    return seconds.sort_index()


def output_head_seconds(folder: Path, gpu: str, model: ModelShape, tensor_parallel: int) -> float:
    """Product of the last hidden state with the output embedding, few sequences.

    Interpolated in the table's matrix products between the widths around the vocabulary; the work is to stream the
    weights, whatever the number of sequences.
    """
    rows = pd.read_parquet(folder / f"{gpu}_sxm_vllm-0.14.0_gemm_perf.parquet")
    rows = rows[(rows.gemm_dtype == "bfloat16") & (rows.m == 1) & (rows.k == model.hidden_size)].sort_values("n")
    return float(np.interp(model.vocab_size / tensor_parallel, rows.n, rows.latency)) / 1e3


def prefill_attention(folder: Path, gpu: str, model: ModelShape, tensor_parallel: int) -> pd.DataFrame:
    """Attention of one prompt in all layers: columns `num_tokens` and `seconds`.

    Prompts of 256 to 4096 tokens; below, the time is that of launching the kernel. A GPU's share of heads that is not
    in the table is scaled from the nearest number that is.
    """
    heads = model.num_heads // tensor_parallel
    rows = pd.read_parquet(folder / f"{gpu}_sxm_vllm-0.14.0_context_attention_perf.parquet")
    rows = rows[(rows.kv_cache_dtype == "bfloat16") & (rows.batch_size == 1) & rows.isl.between(256, 4096)]
    available = np.array(sorted(rows[rows.num_heads == rows.num_key_value_heads].num_heads.unique()))
    nearest = int(available[np.argmin(np.abs(available - heads))])
    rows = rows[(rows.num_heads == nearest) & (rows.num_key_value_heads == nearest)].sort_values("isl")
    seconds = rows.latency / 1e3 * model.num_layers * heads / nearest
    return pd.DataFrame({"num_tokens": rows.isl, "seconds": seconds}).reset_index(drop=True)


def decode_attention(folder: Path, gpu: str, model: ModelShape, tensor_parallel: int) -> pd.DataFrame:
    """Attention of decode steps in all layers: columns `num_decodes` (may be fractional), `context`, `seconds`.

    `context` is the tokens each call attends to.
    """
    heads = model.num_kv_heads // tensor_parallel
    rows = pd.read_parquet(folder / f"{gpu}_sxm_vllm-0.14.0_generation_attention_perf.parquet")
    full = (rows.num_heads == TABLE_KV_HEADS) & (rows.num_key_value_heads == TABLE_KV_HEADS)
    rows = rows[full & (rows.kv_cache_dtype == "bfloat16")]
    return pd.DataFrame(
        {
            "num_decodes": rows.batch_size * TABLE_KV_HEADS / heads,
            "context": rows.isl + rows.step,
            "seconds": rows.latency / 1e3 * model.num_layers,
        }
    ).reset_index(drop=True)


def all_reduce_seconds(folder: Path, gpu: str, model: ModelShape, tensor_parallel: int) -> pd.Series:
    """All-reduces of a step (two a layer), by tokens in the step: vLLM's custom kernel inside a CUDA graph.

    Returns
    -------
    pandas.Series of float, seconds, by number of tokens (fractional below one)
    """
    rows = pd.read_parquet(folder / f"{gpu}_sxm_vllm-0.14.0_custom_allreduce_perf.parquet")
    rows = rows[(rows.num_gpus == tensor_parallel) & (rows.backend == "vllm_graph")].sort_values("message_size")
    return pd.Series(rows.latency.to_numpy() / 1e3 * 2 * model.num_layers, rows.message_size / model.hidden_size)
