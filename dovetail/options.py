"""Options that several subcommands share. Engine limits bear vLLM's names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def together(*options: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    """Several options as one decorator, in the order in which help shows them."""

    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


#: What is wrong with the file is said where it is read.
workload_argument = click.argument("workload", metavar="WORKLOAD", type=click.Path(path_type=Path))

#: More engines than any cluster has; a typing error should not fill the memory.
_MAX_ENGINES = 10_000

engines_option = click.option(
    "--engines", "num_engines", type=click.IntRange(1, _MAX_ENGINES), default=1, show_default=True
)

profile_option = click.option(
    "--profile", default="h100-llama-13b", show_default=True, help="See `dovetail profiles`; or a file."
)

policy_options = together(
    click.option("--policy", default="fifo", show_default=True, help="A policy of the project, or module:Class."),
    click.option("--policy-arg", "policy_args", multiple=True, metavar="KEY=VALUE", help="As bounds=map=8,reduce=2."),
    click.option("--routing", help="Take the choice of engine from this policy, the order from --policy."),
    click.option("--routing-arg", "routing_args", multiple=True, metavar="KEY=VALUE"),
)

#: Where calls come from, as far as the closed form knows it, too.
client_options = together(
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

gateway_options = together(
    client_options,
    click.option("--view-staleness", type=float, default=0.0, show_default=True, help="Age of engine views, seconds."),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of network and policy."),
)

order_option = click.option(
    "--order",
    type=click.Choice(["gateway", "engine"]),
    default="gateway",
    show_default=True,
    help="Where the policy's order holds: among calls not yet at an engine, or in the engine's own queue, too.",
)

#: Limits of an engine: fields of `sim.settings.EngineSettings`, where they are checked.
limit_options = together(
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

#: Counts in records are signed 32-bit numbers.
_MAX_LIMIT = 2**31 - 1

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

run_directory_options = together(
    click.option("--out", type=click.Path(path_type=Path), required=True, help="Run directory to write."),
    click.option("--overwrite", is_flag=True, help="Replace the run directory that is there."),
    click.option("--csv", is_flag=True, help="Write each table as CSV, too."),
    click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON instead of tables."),
)


def given_limits(options: dict[str, Any]) -> dict[str, Any]:
    """Those of `limit_options` that the command names; the others are the profile's or the engine's to say.

    Raises
    ------
    ValueError
        When one is larger than records can hold.
    """
    given = {name: options[name] for name in _LIMIT_NAMES if options[name] is not None}
    for name, value in given.items():
        if isinstance(value, int) and value > _MAX_LIMIT:
            raise ValueError(f"--{name.replace('_', '-')} {value} must be at most {_MAX_LIMIT}")
    return given
