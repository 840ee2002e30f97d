"""`dovetail workload generate`: one subcommand a generator, with the generator's own parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    import numpy as np

    from traces.workload import Workload

_Command = TypeVar("_Command", bound=Callable[..., Any])

_COUNT = click.IntRange(1)

#: Most calls, and most segments of prompts, of a generated workload: 2 to 3 GB while it is made.
MOST_CALLS, MOST_SEGMENTS = 2_000_000, 20_000_000


def out_options(command: _Command) -> _Command:
    """Add the file to write, for every command that writes a workload."""
    command = click.option("--overwrite", is_flag=True, help="Replace the file that is there.")(command)
    file = click.Path(path_type=Path)
    text = ".json, .jsonl (the workload is then named after the file), or either with .gz."
    return click.option("--out", type=file, required=True, help=text)(command)


def common_options(command: _Command) -> _Command:
    """Add the options of every generator: how many applications arrive and when, the seed, the file."""
    options = (
        click.option("--apps", "num_applications", type=_COUNT, default=1, show_default=True, help="Applications."),
        click.option(
            "--arrivals",
            default="at-once",
            show_default=True,
            help="at-once, uniform:RATE, poisson:RATE, gamma:RATE:CV or trace:WORKLOAD[:RATE]; rates a second.",
        ),
        click.option("--seed", type=click.IntRange(0), default=0, show_default=True),
        out_options,
    )
    for option in reversed(options):
        command = option(command)
    return command


def _written(make: Callable[..., Workload]) -> Callable[..., None]:
    """Write what a generator makes; the generator itself stays in reach, as `__wrapped__`."""

    @wraps(make)
    def command(**options: Any) -> None:
        from dovetail.output import save

        save(make(**options), options)

    return command


def check_size(options: dict[str, Any], names: Sequence[str], num_calls: int, num_segments: int = 0) -> None:
    """Refuse what would not fit in memory before any of it is made.

    Parameters
    ----------
    options : dict
    names : sequence of str
        Options that, with `num_applications`, make up the size.
    num_calls, num_segments : int
        Of one application; the segments of all its prompts.

    Raises
    ------
    ValueError
        One line: the options with their values, what they make and how much it may be.
    """
    given = ", ".join(
        f"--{'apps' if name == 'num_applications' else name.removeprefix('num_')} {options[name]}"
        for name in (*names, "num_applications")
    )
    for noun, number, most in (("calls", num_calls, MOST_CALLS), ("prompt segments", num_segments, MOST_SEGMENTS)):
        total = number * options["num_applications"]
        if total > most:
            raise ValueError(f"{given}: {total:,} {noun} must not exceed {most:,}")


@click.group()
def generate() -> None:
    """Generate a workload, of at most 2,000,000 calls and 20,000,000 segments of prompts."""


@generate.command()
@click.option("--calls", "num_calls", type=_COUNT, default=20, show_default=True)
@click.option("--chunk-tokens", type=_COUNT, default=670, show_default=True)
@click.option("--output-tokens", type=_COUNT, default=20, show_default=True)
@click.option("--prefix-tokens", type=click.IntRange(0), default=0, show_default=True, help="Constant prefix.")
@common_options
@_written
def chain(**options: Any) -> Workload:
    """Sequential calls, each reading a chunk and the last output; defaults as in the benchmark notes."""
    from traces.generators import chain as chains

    check_size(options, ["num_calls"], options["num_calls"])
    arrivals, _ = _arrivals(options)
    shape = chains.ChainShape(**_pick(options, "num_calls", "chunk_tokens", "output_tokens"))
    prefix = options["prefix_tokens"]
    return chains.prefixed_chain(prefix, arrivals, shape) if prefix else chains.chain(arrivals, shape)


@generate.command()
@click.option("--maps", "num_maps", type=_COUNT, default=15, show_default=True)
@click.option("--chunk-tokens", type=_COUNT, default=1000, show_default=True)
@click.option("--output-tokens", type=_COUNT, default=50, show_default=True)
@common_options
@_written
def map_reduce(**options: Any) -> Workload:
    """Maps over chunks and one reduce call; defaults as in the benchmark notes on one GPU."""
    from traces.generators.mapreduce import map_reduce as generated

    check_size(options, ["num_maps"], options["num_maps"] + 1)
    arrivals, _ = _arrivals(options)
    return generated(options["num_maps"], arrivals, **_pick(options, "chunk_tokens", "output_tokens"))


@generate.command()
@click.option("--turns", "num_turns", type=_COUNT, default=5, show_default=True)
@click.option("--message", default="lognormal:60:1:2000", show_default=True, metavar="LENGTH", help="User's messages.")
@click.option("--output", default="lognormal:150:0.8:1000", show_default=True, metavar="LENGTH", help="Answers.")
@click.option("--think-time", type=float, default=10.0, show_default=True, help="Mean pause before a message, seconds.")
@click.option("--system-tokens", type=click.IntRange(0), default=0, show_default=True, help="Common system prompt.")
@common_options
@_written
def chat(**options: Any) -> Workload:
    """Chat sessions with a growing history. A LENGTH is TOKENS or lognormal:MEDIAN:SIGMA:MOST."""
    from dovetail.specs import parse_length
    from traces.generators.chat import ChatShape, chat_sessions

    turns = options["num_turns"]
    check_size(options, ["num_turns"], turns, turns**2)  # a turn repeats all that was said before it
    arrivals, rng = _arrivals(options)
    message, output = parse_length(options["message"]), parse_length(options["output"])
    shape = ChatShape(options["num_turns"], message, output, options["think_time"], options["system_tokens"])
    return chat_sessions(arrivals, shape, rng)


@generate.command()
@click.option("--files", "num_files", type=_COUNT, default=4, show_default=True, help="Agents in a round.")
@click.option("--revisions", "num_revisions", type=click.IntRange(0), default=1, show_default=True)
@click.option("--output-tokens", type=_COUNT, default=400, show_default=True)
@common_options
@_written
def agents(**options: Any) -> Workload:
    """Rounds of architect, coders, reviewers and revisers."""
    from traces.generators.agents import AgentsShape, multi_agent_rounds

    files, revisions = options["num_files"], options["num_revisions"]
    num_quoted = 2 * revisions * files**2  # each reviewer and reviser reads all files
    check_size(options, ["num_files", "num_revisions"], 1 + files * (1 + 2 * revisions), num_quoted)
    arrivals, _ = _arrivals(options)
    shape = AgentsShape(**_pick(options, "num_files", "num_revisions", "output_tokens"))
    return multi_agent_rounds(arrivals, shape)


@generate.command()
@click.option(
    "--prompt",
    "prompts",
    multiple=True,
    required=True,
    metavar="NAME:PROMPT:QUERY:OUTPUT[:WEIGHT]",
    help="One assistant: tokens of its shared prompt, of a query and of an answer. Repeat for several.",
)
@common_options
@_written
def shared_prefix(**options: Any) -> Workload:
    """Single calls of assistants, each with a long prompt that all its calls share."""
    from dovetail.specs import parse_assistant
    from traces.generators.shared import shared_prefix_apps

    check_size(options, [], 1)
    arrivals, rng = _arrivals(options)
    return shared_prefix_apps([parse_assistant(text) for text in options["prompts"]], arrivals, rng)


@generate.command()
@click.option("--prompt", default="512", show_default=True, metavar="LENGTH")
@click.option("--output", default="128", show_default=True, metavar="LENGTH")
@click.option("--lengths", type=click.Path(path_type=Path), help="Draw pairs of lengths from this CSV table instead.")
@common_options
@_written
def single(lengths: Path | None, **options: Any) -> Workload:
    """Independent single calls. A LENGTH is TOKENS or lognormal:MEDIAN:SIGMA:MOST."""
    from dovetail.specs import parse_length
    from traces.generators.lengths import lognormal_lengths, sampled_lengths
    from traces.generators.single import single_calls
    from traces.importers.lengths import read_lengths

    check_size(options, [], 1)
    context = click.get_current_context()
    for name in ("prompt", "output"):
        if lengths is not None and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name} and --lengths exclude each other: the table has both lengths", context)
    num_calls = options["num_applications"]
    arrivals, rng = _arrivals(options)
    if lengths is not None:
        drawn = sampled_lengths(read_lengths(lengths), num_calls, rng)
    else:
        drawn = lognormal_lengths(parse_length(options["prompt"]), parse_length(options["output"]), num_calls, rng)
    return single_calls(drawn, arrivals)


def _arrivals(options: dict[str, Any]) -> tuple[np.ndarray, np.random.Generator]:
    """Arrival instants, and the generator for whatever is drawn after them."""
    import numpy as np

    from dovetail.specs import parse_arrivals

    rng = np.random.default_rng(options["seed"])
    return parse_arrivals(options["arrivals"], options["num_applications"], rng), rng


def _pick(options: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: options[name] for name in names}
