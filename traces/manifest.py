"""What every backend's manifest says of a run: workload, versions and start time."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

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


def _version(package: str) -> str | None:
    """Installed version; None when run from a source tree that is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
