"""Options that several subcommands share. Engine limits bear vLLM's names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from sim.profile import Profile
    from sim.settings import EngineSettings

_Command = TypeVar("_Command", bound=Callable[..., Any])

#: More engines than any cluster has; a typing error should not fill the memory.
_MAX_ENGINES = 10_000

#: Limits of an engine: fields of `sim.settings.EngineSettings`, where they are checked.
_LIMITS = (
    click.option("--num-blocks", type=int, help="KV blocks of an engine (vLLM: --num-gpu-blocks-override)."),
    click.option("--block-size", type=int, help="Tokens in a KV block; alone, it divides the same memory differently."),
    click.option("--max-num-seqs", type=int, help="Most calls running at once."),
    click.option("--max-num-batched-tokens", type=int, help="Most tokens computed in one step."),
    click.option("--max-model-len", type=int, help="Longest prompt plus output, tokens."),
    click.option("--enable-prefix-caching/--no-enable-prefix-caching", default=None, help="Reuse computed prefixes."),
    click.option("--enable-chunked-prefill/--no-enable-chunked-prefill", default=None, help="Split long prefills."),
    click.option("--async-scheduling/--no-async-scheduling", default=None, help="Plan a step while one runs."),
    click.option("--scheduling-policy", type=click.Choice(["fcfs", "priority"]), help="Order of an engine's queue."),
    click.option("--long-prefill-token-threshold", type=int, help="Most tokens of one prompt in a step; 0: no limit."),
    click.option(
        "--scheduler-reserve-full-isl/--no-scheduler-reserve-full-isl",
        default=None,
        help="Admit a call only when its whole prompt fits.",
    ),
    click.option("--watermark", type=float, help="Share of KV blocks kept free when a call is admitted."),
)
_LIMIT_NAMES = (
    "num_blocks",
    "block_size",
    "max_num_seqs",
    "max_num_batched_tokens",
    "max_model_len",
    "enable_prefix_caching",
    "enable_chunked_prefill",
    "async_scheduling",
    "scheduling_policy",
    "long_prefill_token_threshold",
    "scheduler_reserve_full_isl",
    "watermark",
)

_CLUSTER = (
    click.option("--engines", "num_engines", type=click.IntRange(1, _MAX_ENGINES), default=1, show_default=True),
    click.option("--profile", default="h100-llama-13b", show_default=True, help="See `dovetail profiles`; or a file."),
    click.option(
        "--window", type=int, default=0, show_default=True, help="Most calls kept at one engine; 0: no limit."
    ),
    click.option(
        "--network-latency",
        default="0",
        show_default=True,
        metavar="LATENCY",
        help="SECONDS, uniform:LOW:HIGH, exponential:MEAN or lognormal:MEAN:CV.",
    ),
    click.option(
        "--orchestration",
        type=click.Choice(["client", "service"]),
        default="client",
        show_default=True,
        help="Who runs the graph: the latency is paid before every call, or once an application.",
    ),
)


def cluster_options(command: _Command) -> _Command:
    """Add engines, profile, gateway and engine limits to a command."""
    for option in reversed(_CLUSTER + _LIMITS):
        command = option(command)
    return command


def workload_argument(command: _Command) -> _Command:
    """Add the workload file; what is wrong with it is said where it is read."""
    return click.argument("workload", metavar="WORKLOAD", type=click.Path(path_type=Path))(command)


def engine_settings(profile: Profile, options: dict[str, Any]) -> EngineSettings:
    """Settings from a profile and the parsed options of `cluster_options`."""
    from sim.run import settings_of

    return settings_of(profile, **{name: options[name] for name in _LIMIT_NAMES})
