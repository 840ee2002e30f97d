"""Built-in model shapes, as Hugging Face folders with a `config.json` and no weights or tokenizer.

The shapes are those of the published models: Llama 7B and 13B (Touvron et al., 2023, arXiv:2302.13971, table 2, with
the context of Llama 2), Llama 3 8B (Grattafiori et al., 2024, arXiv:2407.21783, table 3). `tiny` is for tests.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent


def list_models() -> list[str]:
    """Names of the built-in shapes, sorted."""
    return sorted(path.parent.name for path in _FOLDER.glob("*/config.json"))


def resolve_model(name: str) -> str:
    """What vLLM takes as `model`: the folder of a built-in shape, or the name or folder as it is."""
    return str(_FOLDER / name) if name in list_models() else name
