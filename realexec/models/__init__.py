"""Built-in model shapes, as Hugging Face folders with a `config.json` and no weights or tokenizer.

The shapes are those of the published models: Llama 7B and 13B (Touvron et al., 2023, arXiv:2302.13971, table 2, with
the context of Llama 2), Llama 3 8B (Grattafiori et al., 2024, arXiv:2407.21783, table 3). `tiny` is for tests.
"""

from __future__ import annotations

import json
from pathlib import Path

from sim.profile import ModelShape

_FOLDER = Path(__file__).parent


def list_models() -> list[str]:
    """Names of the built-in shapes, sorted."""
    return sorted(path.parent.name for path in _FOLDER.glob("*/config.json"))


def resolve_model(name: str) -> str:
    """What vLLM takes as `model`: the folder of a built-in shape, or the name or folder as it is."""
    return str(_FOLDER / name) if name in list_models() else name


def model_shape(name: str, dtype: str) -> ModelShape:
    """Shape of a built-in model, or of a folder with a `config.json`.

    Raises
    ------
    ValueError
        When there is no such folder, or its model is not of Llama's kind.
    """
    folder = Path(resolve_model(name))
    try:
        config = json.loads((folder / "config.json").read_text())
        heads, hidden = config["num_attention_heads"], config["hidden_size"]
        return ModelShape(
            name=folder.name.replace("llama-", "Llama-").replace("b", "B") if name in list_models() else folder.name,
            dtype=dtype,
            num_layers=config["num_hidden_layers"],
            hidden_size=hidden,
            intermediate_size=config["intermediate_size"],
            num_heads=heads,
            num_kv_heads=config.get("num_key_value_heads", heads),
            head_dim=config.get("head_dim") or hidden // heads,
            vocab_size=config["vocab_size"],
        )
    except FileNotFoundError:
        raise ValueError(f"model={name!r} is no built-in shape ({', '.join(list_models())}) and no folder") from None
    except KeyError as error:
        raise ValueError(f"{folder}/config.json has no {error}: not a model of Llama's kind") from None
