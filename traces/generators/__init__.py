"""Workload generators: one idea a file. Randomness is an argument, arrival instants are arrays (`traces.arrivals`)."""
