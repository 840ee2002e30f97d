"""Pair the calls of two runs one to one, by application and call id, and count those without a partner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from traces.wording import counted

#: Names in messages, of how many unmatched calls.
_NUM_NAMED = 3


#: Why a call is not compared, and how that is said.
REASONS = {
    "missing": "only in the simulated run",
    "extra": "only in the {second} run",
    "failed_simulated": "not finished in the simulated run",
    "failed_measured": "not finished in the {second} run",
}


@dataclass(frozen=True, slots=True)
class Matched:
    """Two runs, call by call.

    Parameters
    ----------
    simulated, measured : pandas.DataFrame
        Columns `traces.records.CALL_COLUMNS`; row `i` of both is the same call, which finished in both. `app_code`, an
        integer, is the same for the same application.
    unmatched : pandas.DataFrame
        `app`, `call` and `why`, one of `REASONS`, of every call that is not compared. A call that finished in neither
        run has two rows.
    num_of_other_length : int
        Pairs whose prompt or output token counts differ; they are compared all the same.
    """

    simulated: pd.DataFrame
    measured: pd.DataFrame
    unmatched: pd.DataFrame
    num_of_other_length: int

    def counts(self) -> dict[str, int]:
        """How many calls are compared, and how many are not, and why."""
        why = self.unmatched["why"].value_counts()
        left_out = {f"num_{reason}": int(why.get(reason, 0)) for reason in REASONS}
        return {"num_matched": len(self.simulated), **left_out, "num_of_other_length": self.num_of_other_length}

    def remarks(self, second: str = "measured") -> list[str]:
        """One line for each way in which the runs do not hold the same calls; none when they do.

        Parameters
        ----------
        second : str
            What the second run is called, see `analysis.comparison.manifests.second_label`.
        """
        lines = []
        for reason, own in self.unmatched.groupby("why", sort=False):
            named = ", ".join(f"{app}/{call}" for app, call in zip(own["app"], own["call"][:_NUM_NAMED], strict=False))
            why, more = REASONS[str(reason)].format(second=second), ", ..." if len(own) > _NUM_NAMED else ""
            lines.append(f"{counted(len(own), 'call')} {why}: {named}{more}")
        if self.num_of_other_length:
            lines.append(
                f"{counted(self.num_of_other_length, 'call')} with other prompt or output lengths in the two runs"
            )
        return lines


def match_calls(simulated: pd.DataFrame, measured: pd.DataFrame) -> Matched:
    """Pair the calls of two runs.

    Parameters
    ----------
    simulated, measured : pandas.DataFrame
        Columns `traces.records.CALL_COLUMNS`.

    Raises
    ------
    ValueError
        When a run holds a call twice, or the runs have no finished call in common.
    """
    keys = _shared_codes(simulated, measured)
    for name, frame, key in (("simulated", simulated, keys[0]), ("measured", measured, keys[1])):
        repeated = pd.Series(key).duplicated().to_numpy()
        if repeated.any():
            row = frame[repeated].iloc[0]
            raise ValueError(f"{name} run: call {row['app']}/{row['call']} has more than one row")
    _, left, right = np.intersect1d(keys[0], keys[1], assume_unique=True, return_indices=True)
    by_row = np.argsort(left)  # the order of the simulated run, not of the codes
    left, right = left[by_row], right[by_row]
    is_ok = [(frame["status"] == "ok").to_numpy()[rows] for frame, rows in ((simulated, left), (measured, right))]
    both = is_ok[0] & is_ok[1]
    if not both.any():
        raise ValueError("the two runs have no finished call in common; are they of one workload?")
    unmatched = {
        "missing": simulated[~_marked(len(simulated), left)],
        "extra": measured[~_marked(len(measured), right)],
        "failed_simulated": simulated.iloc[left[~is_ok[0]]],
        "failed_measured": measured.iloc[right[~is_ok[1]]],
    }
    pairs = (simulated.iloc[left[both]], measured.iloc[right[both]])
    lengths = [frame[["num_prompt_tokens", "num_output_tokens"]].to_numpy() for frame in pairs]
    apps = pd.factorize(pairs[0]["app"])[0]
    first, second = (frame.reset_index(drop=True).assign(app_code=apps) for frame in pairs)
    return Matched(
        first,
        second,
        unmatched=pd.concat([frame[["app", "call"]].assign(why=why) for why, frame in unmatched.items()]),
        num_of_other_length=int((lengths[0] != lengths[1]).any(axis=1).sum()),
    )


def _shared_codes(simulated: pd.DataFrame, measured: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """One integer a call, the same in both runs for the same application and call id."""
    apps, _ = pd.factorize(pd.concat([simulated["app"], measured["app"]], ignore_index=True))
    calls, names = pd.factorize(pd.concat([simulated["call"], measured["call"]], ignore_index=True))
    codes = apps.astype(np.int64) * len(names) + calls
    return codes[: len(simulated)], codes[len(simulated) :]


def _marked(num_rows: int, rows: np.ndarray) -> np.ndarray:
    mask = np.zeros(num_rows, dtype=bool)
    mask[rows] = True
    return mask
