"""What Dovetail's own classes inside an engine process are told, in vLLM's `additional_config`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

_KEY = "dovetail"


class EngineOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of one engine.

    Parameters
    ----------
    engine_id : int
    profile : str
        Step-cost profile of a virtual device; empty for that of the environment.
    record_folder : str
        Where the scheduler records steps; empty for nowhere.
    policy : str
        "module:Class" of the policy that orders the waiting queue; empty for vLLM's own order.
    policy_parameters : dict
        Arguments of its constructor.
    """

    engine_id: int = 0
    profile: str = ""
    record_folder: str = ""
    policy: str = ""
    policy_parameters: dict[str, Any] = {}


def to_additional_config(options: EngineOptions) -> dict[str, Any]:
    """As vLLM takes it, through its `--additional-config` too."""
    return {_KEY: msgspec.to_builtins(options)}


def options_of(additional_config: Mapping[str, Any] | Any) -> EngineOptions:
    """Read back.

    Raises
    ------
    ValueError
        When a value has another type; the message names the field.
    """
    given = additional_config.get(_KEY, {}) if isinstance(additional_config, Mapping) else {}
    try:
        return msgspec.convert(given, EngineOptions)
    except msgspec.ValidationError as error:
        raise ValueError(f"additional_config[{_KEY!r}]: {error}") from None
