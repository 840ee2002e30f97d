"""A device that is not there: vLLM runs as it is, and each step takes the time that a measured profile gives it.

vLLM finds this package by the entry point `vllm.platform_plugins` (pyproject.toml). Without `DOVETAIL_VIRTUAL_DEVICE`
in the environment it stays out of the way. With it, every vLLM of that process and its children runs on the virtual
device, `vllm serve` among them.
"""

from __future__ import annotations

import os

#: Names a step-cost profile (`sim.profile.load_profile`); its presence makes vLLM use the virtual device.
ENVIRONMENT_VARIABLE = "DOVETAIL_VIRTUAL_DEVICE"


def platform_plugin() -> str | None:
    """Qualified name of the platform, or None to leave vLLM alone; called by vLLM."""
    if os.environ.get(ENVIRONMENT_VARIABLE):
        return "realexec.virtual.platform.VirtualPlatform"
    return None
