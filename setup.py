"""Build hook: `DOVETAIL_COMPILE=1 pip install --no-build-isolation .` compiles the simulator's inner loop with mypyc.

mypyc comes with mypy, which must then be installed beside setuptools, and needs a C compiler. The modules stay plain
Python: an ordinary install runs the same source uncompiled and writes the same records, about four times slower.
"""

import os

from setuptools import setup

COMPILED = [
    "policies/calls.py",
    "policies/coordinator.py",
    "policies/decisions.py",
    "policies/dispatcher.py",
    "policies/engines.py",
    "sim/alarm.py",
    "sim/clock.py",
    "sim/cluster.py",
    "sim/decode_set.py",
    "sim/engine.py",
    "sim/frontend.py",
    "sim/kv_cache.py",
    "sim/records.py",
    "sim/request.py",
    "sim/scheduler.py",
    "sim/step_cost.py",
    "sim/sustained.py",
    "sim/timeline.py",
    "traces/prefix.py",
]


def compiled_extensions():
    """Extension modules to build; none unless asked for."""
    if os.environ.get("DOVETAIL_COMPILE") != "1":
        return []
    from mypyc.build import mypycify

    return mypycify(["--ignore-missing-imports", "--follow-imports=silent", *COMPILED])


setup(ext_modules=compiled_extensions())
