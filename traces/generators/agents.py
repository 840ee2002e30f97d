"""Multi-agent rounds, MetaGPT style: an architect, then coders, then pairs of review and revision rounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from traces.generators.building import build, require_positive
from traces.wording import counted
from traces.workload import Call, Workload, output_of, text


@dataclass(frozen=True, slots=True)
class AgentsShape:
    """Size of a multi-agent program.

    Parameters
    ----------
    num_files : int
        Coders, reviewers and revisers in each of their rounds.
    num_revisions : int
        Pairs of a review and a revision round; 0 stops after the coders.
    instruction_tokens : int, tokens
        Role instruction that opens each prompt of a role, the same for all its agents.
    task_tokens : int, tokens
        Closing text that tells an agent which file is its own.
    output_tokens : int, tokens
    """

    num_files: int = 4
    num_revisions: int = 1
    instruction_tokens: int = 200
    task_tokens: int = 20
    output_tokens: int = 400

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in self.__slots__ if name != "num_revisions"}
        require_positive(**counts)
        if type(self.num_revisions) is not int or self.num_revisions < 0:
            raise ValueError(f"num_revisions={self.num_revisions!r} must be an integer of at least 0")


#: Four files, one review and one revision.
DEFAULT_AGENTS = AgentsShape()


def multi_agent_rounds(arrivals: np.ndarray | None = None, shape: AgentsShape = DEFAULT_AGENTS) -> Workload:
    """Programs of agents in rounds; each call of a round depends on, and quotes, all outputs of the round before.

    Notes
    -----
    Prompts of one round differ only in their last `task_tokens`, as in the published program of this kind (97 % or more
    of a prompt is common to its round there), so nearly all of a round's prefill can be reused within an engine.
    """
    roles = [("coder", shape.num_files)]
    for _ in range(shape.num_revisions):
        roles += [("reviewer", shape.num_files), ("reviser", shape.num_files)]

    def calls(app_id: str, _: int) -> list[Call]:
        design = text("architect-instruction", shape.instruction_tokens), text(f"{app_id}-idea", shape.task_tokens)
        made = [Call("architect", design, shape.output_tokens, stage="architect")]
        before: tuple[str, ...] = ("architect",)
        for number, (role, num_agents) in enumerate(roles):
            quoted = text(f"{role}-instruction", shape.instruction_tokens), *(output_of(name) for name in before)
            rounds = [
                Call(
                    f"{role}{number}-{i}",
                    (*quoted, text(f"{app_id}-{role}{number}-task{i}", shape.task_tokens)),
                    shape.output_tokens,
                    stage=role,
                    deps=before,
                )
                for i in range(num_agents)
            ]
            made += rounds
            before = tuple(call.id for call in rounds)
        return made

    return build(f"multi-agent, {counted(shape.num_files, 'file')}", "program", arrivals, calls)
