"""Settings shared by all tests."""

from hypothesis import settings

# A loaded machine is not a failing test: no example has a deadline.
settings.register_profile("dovetail", deadline=None)
settings.load_profile("dovetail")
