"""`dovetail workload import`: one subcommand a published format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dovetail.generate import check_size, common_options, out_options

_COUNT = click.IntRange(1)
_file = click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
_limit = click.option("--limit", type=_COUNT, help="Take the first rows only.")
_time_scale = click.option("--time-scale", type=float, default=1.0, show_default=True, help="Factor on recorded times.")
_hash_block_size = click.option(
    "--block-size", type=_COUNT, default=512, show_default=True, help="Tokens of one hash id."
)


@click.group(name="import")
def import_() -> None:
    """Import a published trace."""


@import_.command()
@_file
@_limit
@_time_scale
@out_options
def azure(file: Path, limit: int | None, time_scale: float, **options: Any) -> None:
    """Azure LLM inference trace, CSV."""
    from dovetail.output import save
    from traces.importers.azure import import_azure

    save(import_azure(file, limit=limit, time_scale=time_scale), options)


@import_.command()
@_file
@_limit
@_time_scale
@_hash_block_size
@out_options
def mooncake(file: Path, limit: int | None, time_scale: float, block_size: int, **options: Any) -> None:
    """Mooncake trace, JSONL; prompts share the prefixes that their hash ids share."""
    from dovetail.output import save
    from traces.importers.mooncake import import_mooncake

    save(import_mooncake(file, block_size=block_size, limit=limit, time_scale=time_scale), options)


@import_.command()
@_file
@_limit
@_time_scale
@_hash_block_size
@out_options
def dynamo(file: Path, limit: int | None, time_scale: float, block_size: int, **options: Any) -> None:
    """Dynamo's agentic trace format, JSONL."""
    from dovetail.output import save
    from traces.importers.dynamo import import_dynamo

    save(import_dynamo(file, block_size=block_size, limit=limit, time_scale=time_scale), options)


@import_.command()
@_file
@_limit
@_time_scale
@click.option("--arrivals", help="When sessions begin, as in `generate`; all at once when left out. Needs --limit.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the arrivals.")
@out_options
def coding_agent(file: Path, limit: int | None, time_scale: float, arrivals: str | None, **options: Any) -> None:
    """Coding-agent sessions, JSONL, with sub-agents and tool gaps."""
    from dovetail.output import save
    from traces.importers.coding_agent import import_coding_agent

    instants = None
    if arrivals is not None:
        import numpy as np

        from dovetail.specs import parse_arrivals

        if limit is None:
            raise click.UsageError("--arrivals needs --limit, the number of sessions", click.get_current_context())
        instants = parse_arrivals(arrivals, limit, np.random.default_rng(options["seed"]))
    save(import_coding_agent(file, instants, limit=limit, time_scale=time_scale), options)


@import_.command()
@_file
@_limit
@out_options
def lengths(file: Path, limit: int | None, **options: Any) -> None:
    """Table of prompt and output lengths, CSV: one single call a row."""
    from dovetail.output import save
    from traces.importers.lengths import import_lengths

    save(import_lengths(file, limit=limit), options)


@import_.command()
@_file
@click.option("--files", "num_files", type=_COUNT, default=8, show_default=True, help="Branches kept of each round.")
@click.option("--rounds", "num_rounds", type=_COUNT, default=8, show_default=True)
@click.option("--share-prefixes/--no-share-prefixes", default=True, show_default=True)
@common_options
def metagpt(file: Path, **options: Any) -> None:
    """Parrot's published multi-agent graph, CSV."""
    import numpy as np

    from dovetail.output import save
    from dovetail.specs import parse_arrivals
    from traces.importers.metagpt import import_metagpt

    files, rounds = options["num_files"], options["num_rounds"]
    check_size(options, ["num_files", "num_rounds"], 1 + files * (rounds - 1))
    rng = np.random.default_rng(options["seed"])
    arrivals = parse_arrivals(options["arrivals"], options["num_applications"], rng)
    shape = {name: options[name] for name in ("num_files", "num_rounds", "share_prefixes")}
    save(import_metagpt(file, arrivals, **shape), options)


@import_.command()
@_file
@click.option("--article", required=True, help="Name of the article in the table.")
@click.option("--chunk-size", type=_COUNT, required=True, help="Nominal chunk size in the table.")
@click.option("--shape", type=click.Choice(["chain", "map-reduce"]), default="chain", show_default=True)
@click.option("--output-tokens", type=_COUNT, default=50, show_default=True)
@out_options
def parrot_article(file: Path, **options: Any) -> None:
    """Chain or map-reduce over one of Parrot's articles, with its real chunk lengths."""
    from dovetail.output import save
    from traces.importers.parrot_articles import article_chain, article_map_reduce, read_article_chunks

    chunks = read_article_chunks(file)
    key = options["article"], options["chunk_size"]
    if key not in chunks:
        known = ", ".join(sorted({f"{article}/{size}" for article, size in chunks})[:8])
        raise ValueError(f"{file}: article {key[0]!r} in chunks of {key[1]} is not there; it has {known}, ...")
    make = article_chain if options["shape"] == "chain" else article_map_reduce
    save(make(chunks[key], output_tokens=options["output_tokens"]), options)
