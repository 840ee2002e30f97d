"""Scheduling policies and the coordinator that calls them. Imports only the data types of `traces`."""
