"""Which calls share which leading tokens: a radix tree over the contents of a workload.

A prompt is a list of segments, so two prompts share exactly the tokens of their common leading segments. The content of
a call is its prompt followed by its output, since a later prompt may begin with both. Each node of the tree is a
stretch of tokens that the same set of calls passes through; nodes that only one call passes through are left out,
because nobody else can ever look them up.
"""

from __future__ import annotations

from traces.workload import Application, Call, Workload


class PrefixNode:
    """A stretch of content, tokens `start` to `end` of every call that passes through it.

    Parameters
    ----------
    start, end : int
        Token positions, counted from the beginning of the content; `end` is exclusive.
    """

    __slots__ = ("children", "end", "num_calls", "start")

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self.num_calls = 0
        self.children: dict[tuple[str, int | str], PrefixNode] = {}

    def child(self, key: tuple[str, int | str], tokens: int) -> PrefixNode:
        """Node reached by `tokens` tokens of the content named `key`, made if it is new."""
        node = self.children.get(key)
        if node is None:
            node = self.children[key] = PrefixNode(self.end, self.end + tokens)
        return node


PrefixPath = tuple[PrefixNode, ...]


def prefix_paths(workload: Workload) -> list[PrefixPath]:
    """Shared leading stretches of every call, in workload order.

    Returns
    -------
    list of tuple of PrefixNode
        One a call: the nodes that at least two calls pass through, from the first token on. Calls share content
        exactly where they share node objects; adjacent nodes of a path touch.
    """
    root = PrefixNode(0, 0)
    trails: list[list[PrefixNode]] = []
    for application in workload.applications:
        trails.extend(_application_trails(application, root))
    return [_compress(trail) for trail in trails]


def _application_trails(application: Application, root: PrefixNode) -> list[list[PrefixNode]]:
    outputs = {call.id: call.output_tokens for call in application.calls}
    reused = {part.output_of for call in application.calls for part in call.prompt if part.tokens is None}
    trails = []
    for call in application.calls:
        keys = content_keys(application.id, call, outputs)
        if call.id in reused:
            keys.append((application.id, call.id, call.output_tokens))
        node, trail = root, []
        for name, tag, tokens in keys:
            node = node.child((name, tag), tokens)
            node.num_calls += 1
            trail.append(node)
        trails.append(trail)
    return trails


def content_keys(app_id: str, call: Call, outputs: dict[str, int]) -> list[tuple[str, int | str, int]]:
    """Prompt of a call as (name, tag, tokens); equal (name, tag) is equal content.

    Named text is told apart by its token count, an output by its call id, so the two kinds cannot collide.
    """
    return [
        (part.segment, part.tokens, part.tokens)
        if part.segment is not None and part.tokens is not None
        else (app_id, part.output_of or "", outputs[part.output_of or ""])
        for part in call.prompt
    ]


def _compress(trail: list[PrefixNode]) -> PrefixPath:
    """Drop what only one call passes through and merge neighbours that the same calls pass through.

    The calls through a node are some of those through its parent, so equal counts mean equal sets, and the shared
    nodes of a trail come first.
    """
    path: list[PrefixNode] = []
    for node in trail:
        if node.num_calls < 2:
            break
        if path and path[-1].num_calls == node.num_calls:
            path[-1].end = node.end
        else:
            path.append(node)
    return tuple(path)
