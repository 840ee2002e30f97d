"""Latency and throughput of a run, computed from its call records; the same functions measure every backend.

Definitions, all on the clock of the records, in seconds:

* TTFT = first token - submission; it includes the hold time = dispatch - submission, the coordinator's own queue.
* TPOT = (finish - first token) / (output tokens - 1); undefined for one token, and then left out (NaN), not 0.
* E2E latency = finish - submission, hence TTFT + TPOT * (output tokens - 1).
* JCT of an application = its last finish - its arrival, so think time, network and hold time count.
* Makespan = last finish - first arrival.

Calls whose `status` is not "ok" have no latency: they are counted, never averaged. Leaves out anything that a gateway
would see after its own clock, such as the way back of the answer.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

#: Columns of `call_metrics` in the order of tables.
CALL_METRICS = ("hold_time", "queue_time", "ttft", "tpot", "e2e")


def completed(calls: pd.DataFrame) -> pd.DataFrame:
    """Rows of the calls that finished; every metric below looks at these only."""
    return calls[calls["status"] == "ok"]


def num_failed(calls: pd.DataFrame) -> int:
    """Calls that did not finish."""
    return int((calls["status"] != "ok").sum())


def hold_time(calls: pd.DataFrame) -> pd.Series:
    """Wait in the coordinator, (num_calls,) float, seconds: dispatch - submission."""
    return calls["dispatched_at"] - calls["submitted_at"]


def queue_time(calls: pd.DataFrame) -> pd.Series:
    """Wait inside the engine before the first step, (num_calls,) float, seconds; vLLM's `queued_time`."""
    return calls["scheduled_at"] - calls["dispatched_at"]


def ttft(calls: pd.DataFrame) -> pd.Series:
    """Time to first token, (num_calls,) float, seconds: first token - submission, hold time included."""
    return calls["first_token_at"] - calls["submitted_at"]


def tpot(calls: pd.DataFrame) -> pd.Series:
    """Mean seconds per output token after the first, (num_calls,) float; NaN where there is only one."""
    num_gaps = calls["num_output_tokens"] - 1
    # 0, which vLLM's own statistic reports here, would drag the mean down on short outputs.
    return (calls["finished_at"] - calls["first_token_at"]) / num_gaps.where(num_gaps > 0)


def e2e(calls: pd.DataFrame) -> pd.Series:
    """End-to-end latency of each call, (num_calls,) float, seconds: finish - submission."""
    return calls["finished_at"] - calls["submitted_at"]


def call_metrics(calls: pd.DataFrame) -> pd.DataFrame:
    """Every metric of every completed call.

    Parameters
    ----------
    calls : pandas.DataFrame
        Columns `traces.records.CALL_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        Columns `app`, `call`, `stage` and `CALL_METRICS`, in seconds.
    """
    done = completed(calls)
    seconds: Mapping[str, pd.Series] = {
        "hold_time": hold_time(done),
        "queue_time": queue_time(done),
        "ttft": ttft(done),
        "tpot": tpot(done),
        "e2e": e2e(done),
    }
    return done[["app", "call", "stage"]].assign(**seconds)


def jct(calls: pd.DataFrame) -> pd.Series:
    """Job completion time of each application, seconds, indexed by application id.

    Notes
    -----
    An application with a failed call did not complete and is left out.
    """
    failed = calls.loc[calls["status"] != "ok", "app"].unique()
    whole = calls[~calls["app"].isin(failed)].groupby("app", sort=False)
    return (whole["finished_at"].max() - whole["app_arrived_at"].first()).rename("jct")


def makespan(calls: pd.DataFrame) -> float:
    """Last finish minus first arrival, seconds; NaN when no call finished."""
    return float(completed(calls)["finished_at"].max() - calls["app_arrived_at"].min())


def output_token_throughput(calls: pd.DataFrame) -> float:
    """Output tokens of completed calls per second of makespan."""
    return float(completed(calls)["num_output_tokens"].sum()) / makespan(calls)


def call_throughput(calls: pd.DataFrame) -> float:
    """Completed calls per second of makespan."""
    return len(completed(calls)) / makespan(calls)


def cache_hit_share(calls: pd.DataFrame) -> float:
    """Prompt tokens found in the prefix cache over all prompt tokens, of completed calls; NaN without prompts.

    Calls whose engine did not tell (-1) are left out.
    """
    done = completed(calls)
    done = done[done["num_cached_tokens"] >= 0]
    num_prompt_tokens = int(done["num_prompt_tokens"].sum())
    return float(done["num_cached_tokens"].sum()) / num_prompt_tokens if num_prompt_tokens else float("nan")


def num_preemptions(calls: pd.DataFrame) -> int:
    """Preemptions of all calls, failed ones included: the engine spent the time. Unknown ones (-1) do not count."""
    return int(calls["num_preemptions"].clip(lower=0).sum())
