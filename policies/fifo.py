"""First in, first out by call: the base policy, unchanged."""

from policies.interface import Policy


class Fifo(Policy):
    """Calls in the order they were submitted, each to the least loaded engine."""
