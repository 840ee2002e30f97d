"""What an endpoint tells of its engine, and what it does not: asked once, before a run.

vLLM 0.24 tells its model and longest context at `/v1/models`, its version at `/version`, its KV blocks at `/metrics`
(`vllm:cache_config_info`), and everything at `/server_info` where it was started with `VLLM_SERVER_DEV_MODE=1`.
"""

from __future__ import annotations

import json
from ast import literal_eval
from collections.abc import Mapping
from typing import Any

from realexec.completions import error_message
from realexec.endpoint import Endpoint
from realexec.interface import EngineFailure, EngineInfo

#: Limits a user may state of a server that does not tell them.
LIMITS = ("num_blocks", "block_size", "max_num_seqs", "max_model_len")

#: Taken where neither server nor user says: vLLM 0.24's block size on GPUs, and its limit on cards below 70 GiB (on
#: larger ones, but the A100, it is 1024).
ASSUMED = {"block_size": 16, "max_num_seqs": 256}

#: Labels of `vllm:cache_config_info` that the manifest gets.
_CACHE_FIELDS = ("enable_prefix_caching", "gpu_memory_utilization", "cache_dtype")

#: Fields of vLLM's scheduler configuration that the manifest gets, where the server tells them.
_SCHEDULER_FIELDS = (
    "max_num_batched_tokens",
    "enable_chunked_prefill",
    "async_scheduling",
    "long_prefill_token_threshold",
    "scheduler_reserve_full_isl",
)


async def check_health(endpoint: Endpoint) -> None:
    """Ask whether the engine behind a server is up.

    Raises
    ------
    EngineFailure
        When it is not, or the server cannot be reached.
    """
    status, _ = await endpoint.ask("/health")
    if status >= 500:
        raise EngineFailure(f"{endpoint.url}: HTTP {status} at /health: its engine is dead or still loading")


async def find_model(endpoint: Endpoint, wanted: str | None) -> dict[str, Any]:
    """The model's entry at `/v1/models`: the one of that name, or the only one.

    Raises
    ------
    EngineFailure
        When the server is not healthy, has no such list, or not that model.
    """
    await check_health(endpoint)
    status, body = await endpoint.ask("/v1/models")
    models = _json(body).get("data") if status == 200 else None
    if not models:
        raise EngineFailure(f"{endpoint.url}: HTTP {status} at /v1/models: not an OpenAI-compatible server")
    names = [str(each["id"]) for each in models]
    if wanted is not None and wanted not in names:
        raise EngineFailure(f"{endpoint.url}: model={wanted!r} is not served here; it has {', '.join(names)}")
    found: dict[str, Any] = models[0 if wanted is None else names.index(wanted)]
    return found


async def describe(
    endpoint: Endpoint, model: Mapping[str, Any], stated: Mapping[str, int], *, tells_cached_tokens: bool
) -> EngineInfo:
    """Collect what the server tells, what the user states and what is left to assume.

    Parameters
    ----------
    endpoint : Endpoint
    model : mapping
        From `find_model`.
    stated : mapping of str to int
        Limits by the names in `LIMITS`.
    tells_cached_tokens : bool
        Whether it was started with `--enable-prompt-tokens-details`.

    Raises
    ------
    EngineFailure
        When a limit is not told, not stated and has no default, or when server and user contradict.
    """
    cache = await _cache_config(endpoint)
    info = await _server_info(endpoint)
    scheduler = _part(info, "vllm_config", "scheduler_config")
    read = _numbers({"max_num_seqs": scheduler.get("max_num_seqs")}, "/server_info")
    read |= _numbers({"num_blocks": cache.get("num_gpu_blocks"), "block_size": cache.get("block_size")}, "/metrics")
    read |= _numbers({"max_model_len": model.get("max_model_len")}, "/v1/models")
    limits = {name: _limit(endpoint.url, name, read, stated) for name in LIMITS}
    settings = {
        "endpoint": endpoint.url,
        "model": str(model.get("root", model["id"])),
        **{name: _plain(cache.get(name)) for name in _CACHE_FIELDS},
        **{name: scheduler.get(name) for name in _SCHEDULER_FIELDS},
        "scheduling_policy": scheduler.get("policy", "not told"),
        "tensor_parallel_size": _part(info, "vllm_config", "parallel_config").get("tensor_parallel_size"),
        "tells_cached_tokens": tells_cached_tokens,
        "sources": {name: source for name, (_, source) in limits.items()},
    }
    return EngineInfo(
        **{name: value for name, (value, _) in limits.items()},
        settings={name: value for name, value in settings.items() if value is not None},
        device=_device(info, endpoint.url),
        versions={"vllm": await _version(endpoint)},
    )


def read_gauges(metrics: bytes) -> tuple[int, int]:
    """Running and waiting requests from the text at `/metrics`, over all engines behind it; -1 where it has none."""
    return _gauge(metrics, b"vllm:num_requests_running"), _gauge(metrics, b"vllm:num_requests_waiting")


def signs_of_life(metrics: bytes) -> frozenset[bytes]:
    """What of `/metrics` changes while the engine takes steps, and only then: vLLM's own samples."""
    return frozenset(line for line in metrics.split(b"\n") if line.startswith(b"vllm:"))


def _gauge(metrics: bytes, name: bytes) -> int:
    """Sum of the samples of one gauge; read by hand, as it is read often and a full parse takes milliseconds."""
    values = [line.rsplit(b" ", 1)[1] for line in metrics.split(b"\n") if line.startswith(name + b"{")]
    return int(sum(map(float, values))) if values else -1


def _limit(url: str, name: str, read: Mapping[str, tuple[int, str]], stated: Mapping[str, int]) -> tuple[int, str]:
    """Value and source of one limit."""
    if name in read:
        value, source = read[name]
        if stated.get(name, value) != value:
            raise EngineFailure(f"{url}: {name}={stated[name]} was stated, but {source} says {value}")
        return value, f"read from {source}"
    if name in stated:
        return stated[name], "stated"
    if name in ASSUMED:
        return ASSUMED[name], "assumed"
    raise EngineFailure(f"{url}: the server does not tell {name}; state it")


async def _cache_config(endpoint: Endpoint) -> dict[str, str]:
    """Labels of `vllm:cache_config_info`; blocks are added up over data-parallel engines behind one address."""
    from prometheus_client.parser import text_string_to_metric_families

    status, body = await endpoint.ask("/metrics")
    lines = [line for line in body.decode(errors="replace").split("\n") if line.startswith("vllm:cache_config_info{")]
    if status != 200 or not lines:
        return {}
    engines = [sample.labels for each in text_string_to_metric_families("\n".join(lines)) for sample in each.samples]
    num_blocks = [int(labels["num_gpu_blocks"]) for labels in engines if labels.get("num_gpu_blocks", "").isdecimal()]
    return {**engines[0], "num_gpu_blocks": str(sum(num_blocks)) if num_blocks else ""}


async def _server_info(endpoint: Endpoint) -> dict[str, Any]:
    """All of vLLM's configuration, and the server's environment; empty where it is not told."""
    status, body = await endpoint.ask("/server_info?config_format=json")
    return _json(body) if status == 200 else {}


def _device(info: Mapping[str, Any], url: str) -> str:
    """Name of the device. The virtual one is known by its executor, so that nobody takes its times for measured."""
    executor = _part(info, "vllm_config", "parallel_config").get("distributed_executor_backend")
    if "realexec.virtual" in str(executor):
        return f"virtual (profile not told by {url})"
    gpus = _part(info, "system_env").get("nvidia_gpu_models")
    return str(gpus).replace("\n", ", ") if gpus else f"not told by {url}"


def _part(info: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """An object inside an object, empty where there is none."""
    for name in names:
        info = info.get(name) or {}
    return info


async def _version(endpoint: Endpoint) -> str:
    status, body = await endpoint.ask("/version")
    return str(_json(body).get("version", "not told")) if status == 200 else "not told"


def _numbers(values: Mapping[str, Any], source: str) -> dict[str, tuple[int, str]]:
    return {name: (int(value), source) for name, value in values.items() if str(value).isdecimal()}


def _plain(label: str | None) -> Any:
    """Value of a Prometheus label, into which vLLM prints Python's True, False, None and numbers."""
    try:
        return None if label is None else literal_eval(label)
    except (ValueError, SyntaxError):
        return label


def _json(body: bytes) -> dict[str, Any]:
    """A JSON object, or an empty one: pages of other servers are not."""
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {"error": error_message(body)}
