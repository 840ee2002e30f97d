"""Measuring a step-cost profile: what to run on an engine, running it, and what each of its steps was."""
