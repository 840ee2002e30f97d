"""A discrete-event cluster of LLM engines on measured step costs. Imports traces and policies; owns SimPy."""
