"""Statistics of repeated runs: what may be averaged, with which interval, and what differs beyond chance."""
