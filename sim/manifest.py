"""What a simulated run's manifest says beside the records: where costs were extrapolated."""

from __future__ import annotations

import pandas as pd

from sim.profile import Profile


def domain_warnings(profile: Profile, steps: pd.DataFrame) -> list[str]:
    """One line for each way in which a step of a run lay outside what the profile's measurements cover.

    Parameters
    ----------
    profile : Profile
    steps : pandas.DataFrame
        Columns `traces.records.STEP_COLUMNS`.
    """
    if steps.empty:
        return []
    context = steps["num_context_tokens"] + steps["num_decodes"] * (steps["count"] - 1)
    num_decodes = int(steps["num_decodes"].max())
    num_tokens = int((steps["num_decodes"] + steps["num_prefill_tokens"]).max())
    return profile.domain_warnings(num_decodes, int(context.max()), num_tokens - num_decodes)
