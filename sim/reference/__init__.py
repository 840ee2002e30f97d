"""vLLM's own scheduler and KV cache manager under virtual time: the oracle of the native engine, and a fallback for it.

Only this package imports vLLM, and nothing imports this package until it is asked for. docs/lockstep.md says how to
install vLLM without a GPU.
"""
