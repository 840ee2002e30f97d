"""Metrics, closed-form prediction, tables and pictures of run records. Imports traces only, never a backend."""
