"""The published multi-agent program (MetaGPT, with Parrot's artifact): an architect, then rounds over up to 8 files.

CSV with one row for each node: `node, round, role, file, prompt_tokens, completion_tokens,
max_prefix_shared_with_sibling, max_prefix_shared_with_prev_round, depends_on`. Prompt lengths are of whole prompts with
all 8 files in them. What of a prompt is quoted output is not published, so no `output_of` is used: a prompt is what its
round shares, then text of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from traces.generators.building import build
from traces.importers.rows import csv_rows, require_rows, whole
from traces.wording import counted
from traces.workload import Call, Segment, Workload, text

_COLUMNS = (
    "node",
    "round",
    "role",
    "file",
    "prompt_tokens",
    "completion_tokens",
    "max_prefix_shared_with_sibling",
    "max_prefix_shared_with_prev_round",
    "depends_on",
)


class _Node(NamedTuple):
    name: str
    round: int
    role: str
    file: str
    num_prompt_tokens: int
    num_output_tokens: int
    shared_with_round: int
    shared_with_previous: int
    deps: tuple[str, ...]


def import_metagpt(
    path: Path | str,
    arrivals: np.ndarray | None = None,
    *,
    num_files: int = 8,
    num_rounds: int = 8,
    share_prefixes: bool = True,
) -> Workload:
    """One application for each arrival, a copy of the published program cut to its first files and rounds.

    Parameters
    ----------
    path : Path or str
        CSV, gzipped or not.
    arrivals : (num_applications,) float array, seconds, optional
        One application at 0 by default.
    num_files : int
        Branches of each round, at most as many as in the table (8). Prompts keep their lengths, as in the published
        runs with fewer branches.
    num_rounds : int
        Rounds kept, the architect's being the first.
    share_prefixes : bool
        Whether the leading tokens that a node has in common with its round are one text. Otherwise nothing is shared,
        as for an engine without prefix caching.

    Raises
    ------
    ValueError
        For a row that does not fit, with file, line, field, value and rule.
    """
    nodes = _read(path)
    files = list(dict.fromkeys(node.file for node in nodes if node.round > 0))
    if not 1 <= num_files <= len(files):
        raise ValueError(f"num_files={num_files!r} must be between 1 and {len(files)}, the files in {path}")
    if not 1 <= num_rounds <= 1 + max(node.round for node in nodes):
        raise ValueError(f"num_rounds={num_rounds!r} must be between 1 and {1 + max(node.round for node in nodes)}")
    kept = [node for node in nodes if node.round < num_rounds and (node.round == 0 or node.file in files[:num_files])]
    names = {node.name for node in kept}

    def calls(app_id: str, _: int) -> list[Call]:
        return [
            Call(
                node.name,
                _prompt(node, app_id, share_prefixes),
                node.num_output_tokens,
                stage=node.role,
                deps=tuple(dep for dep in node.deps if dep in names),
            )
            for node in kept
        ]

    return build(f"metagpt, {counted(num_files, 'file')}", "program", arrivals, calls)


def _read(path: Path | str) -> list[_Node]:
    """Nodes of the table, in its order; each depends on nodes listed before it."""
    nodes: dict[str, _Node] = {}
    for where, row in csv_rows(path, _COLUMNS):
        node = _node(where, row)
        for dep in node.deps:
            if dep not in nodes:
                raise ValueError(f"{where}: depends_on={dep!r} must be a node listed before")
        nodes[node.name] = node
    require_rows(path, nodes)
    return list(nodes.values())


def _node(where: str, row: dict[str, str]) -> _Node:
    node = _Node(
        row["node"],
        whole(where, row, "round", least=0),
        row["role"],
        row["file"],
        whole(where, row, "prompt_tokens"),
        whole(where, row, "completion_tokens"),
        whole(where, row, "max_prefix_shared_with_sibling", least=0),
        whole(where, row, "max_prefix_shared_with_prev_round", least=0),
        tuple(dep for dep in row["depends_on"].split("|") if dep),
    )
    if max(node.shared_with_round, node.shared_with_previous) > node.num_prompt_tokens:
        raise ValueError(
            f"{where}: max_prefix_shared_with_sibling={node.shared_with_round} and"
            f" max_prefix_shared_with_prev_round={node.shared_with_previous} must not exceed"
            f" prompt_tokens={node.num_prompt_tokens}"
        )
    return node


def _prompt(node: _Node, app_id: str, share_prefixes: bool) -> tuple[Segment, ...]:
    """What all rounds share, what this round shares, and the node's own text; parts of no length left out."""
    if not share_prefixes:
        return (text(f"{app_id}-{node.name}", node.num_prompt_tokens),)
    common = node.shared_with_previous
    in_round = max(0, node.shared_with_round - common)
    parts = (
        ("opening", common),
        (f"{app_id}-round{node.round}", in_round),
        (f"{app_id}-{node.name}", node.num_prompt_tokens - common - in_round),
    )
    return tuple(text(name, tokens) for name, tokens in parts if tokens)
