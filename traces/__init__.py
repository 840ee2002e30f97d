"""Workloads and run records: the data that every other package exchanges. Imports nothing of ours."""
