"""What a run's manifest says beside the records: workload, versions, start time, and where costs were extrapolated."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd

from sim.profile import Profile
from traces.files import workload_hash
from traces.workload import Workload, num_calls

#: Packages whose version can change a record or its bytes.
PACKAGES = ("dovetail", "msgspec", "numpy", "pandas", "pyarrow", "simpy")


def base_manifest(workload: Workload) -> dict[str, Any]:
    """Entries that do not depend on the backend. `started_at` is wall-clock time, in UTC."""
    return {
        "workload": {
            "name": workload.name,
            "hash": workload_hash(workload),
            "num_applications": len(workload.applications),
            "num_calls": num_calls(workload),
        },
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


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


def _version(package: str) -> str | None:
    """Installed version; None when run from a source tree that is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
