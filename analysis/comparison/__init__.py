"""Two runs of one workload, call by call: how far they are apart, and where that comes from."""
