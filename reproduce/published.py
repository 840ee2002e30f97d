"""Loads the published tables in `reproduce/data`; its README names every source and licence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pandas as pd

from traces.importers.parrot_articles import read_article_chunks

DATA = Path(__file__).parent / "data"


def notes() -> pd.DataFrame:
    """Rows of the benchmark notes: benchmark, gpus, system, model, `mean_s` (mean of the listed runs), source."""
    table = pd.read_csv(DATA / "published_notes.csv", dtype={"runs": str})
    runs = table["runs"].map(lambda text: [float(value) for value in text.split()])
    return table.assign(mean_s=runs.map(lambda values: sum(values) / len(values)), runs=runs)


def figure(number: str) -> pd.DataFrame:
    """Example results of one figure of the Parrot paper, by its number: "11", "12a", "13", "14" or "16"."""
    (path,) = DATA.glob(f"measured_fig{number}_*.csv")
    return pd.read_csv(path)


def article_chunks() -> dict[tuple[str, int], tuple[int, ...]]:
    """Real tokens of each chunk by article and nominal chunk size."""
    return read_article_chunks(DATA / "arxiv_chunk_tokens.csv.gz")


def bingchat_lengths() -> list[tuple[int, int]]:
    """Prompt and output tokens of the requests of figure 14, in order."""
    table = pd.read_csv(DATA / "bingchat_fig14_sampled_lengths.csv")
    return list(zip(table["prompt_tokens"].tolist(), table["output_tokens"].tolist(), strict=True))


def assistants() -> list[dict[str, Any]]:
    """The four assistants of figure 16: lengths of prompt, query and output."""
    return cast("list[dict[str, Any]]", json.loads((DATA / "gpts_top4.json").read_text()))
