"""Where the steps of a run leave what a profile was measured on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from sim.profile import Domain
    from traces.records import RunRecords


def beyond_domain(domain: Domain, records: RunRecords) -> pd.DataFrame:
    """One row a limit: the measured limit, the largest value of the run, and the share of the time (of calls) beyond.

    Parameters
    ----------
    domain : Domain
    records : RunRecords
        Runs of equal decode steps, one row each, count as a whole by their last step.
    """
    steps, calls = records.steps, records.calls
    last_context = steps["num_context_tokens"] + (steps["count"] - 1) * steps["num_decodes"]
    values = {
        "tokens in a step": (steps["num_decodes"] + steps["num_prefill_tokens"], domain.max_tokens_per_step),
        "decoding calls in a step": (steps["num_decodes"], domain.max_decodes),
        "context tokens in a step": (last_context, domain.max_context_tokens),
    }
    seconds = steps["finished_at"] - steps["started_at"]
    rows = [
        _row(name, limit, int(counts.max()) if len(counts) else 0, seconds[counts > limit].sum() / seconds.sum())
        for name, (counts, limit) in values.items()
    ]
    lengths = calls["num_prompt_tokens"] + calls["num_output_tokens"]
    limit = domain.max_context_tokens_per_call
    rows.append(_row("tokens of a call", limit, int(lengths.max()), float((lengths > limit).mean())))
    return pd.DataFrame(rows)


def _row(name: str, limit: int, largest: int, share: float) -> dict[str, object]:
    return {
        "what": name,
        "measured up to": limit,
        "largest": largest,
        "beyond (%)": round(100 * share, 2),
    }
