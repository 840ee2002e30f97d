"""Settings shared by all tests."""

import os

from hypothesis import settings

# A loaded machine is not a failing test: no example has a deadline.
settings.register_profile("dovetail", deadline=None)
settings.load_profile("dovetail")

# vLLM chooses its device once a process, when the first test imports it; the lockstep tests need none.
os.environ["DOVETAIL_VIRTUAL_DEVICE"] = "h100-llama-13b"
