"""The native scheduler and vLLM's own, fed the same calls and compared at every step."""
