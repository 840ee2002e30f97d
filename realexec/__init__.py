"""Real engines behind the same coordinator: vLLM in this process, over HTTP, or on a virtual device without a GPU."""
