"""Every row of every system in the benchmark notes: published, predicted in closed form, simulated.

Step costs come from profiles fitted to other figures (figure 11 of the Parrot paper, even articles) and kernel tables;
the one constant fitted to a row of the notes is marked on that row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis import metrics
from reproduce import systems, workloads
from reproduce.cards import A100_7B, A100_13B, A100_13B_TP4, FOUR_GPU_CARDS, Card
from reproduce.closed_form import predicted
from reproduce.deployment import System, simulate
from reproduce.published import notes
from traces.workload import Workload

COLUMNS = (
    "benchmark",
    "system",
    "model",
    "GPU",
    "published mean (s)",
    "predicted in closed form (s)",
    "simulated (s)",
    "error of prediction (%)",
    "error of simulation (%)",
    "fitted?",
    "note",
)

NO_FIGURE = "no figure published"
ALTERNATIVE = "alternative reading"


@dataclass(frozen=True, slots=True)
class Case:
    """One row to be filled in.

    Parameters
    ----------
    benchmark : str
    workload : Workload
    system : System
    card : Card
    num_engines : int
    published : float or None, seconds
    is_fitted : bool
        Whether a constant was set on this very row.
    note : str
    """

    benchmark: str
    workload: Workload
    system: System
    card: Card
    num_engines: int = 1
    published: float | None = None
    is_fitted: bool = False
    note: str = ""

    def row(self) -> tuple[object, ...]:
        """The row, in the order of `COLUMNS`."""
        profile = self.card.profile(self.system.profile)
        terms = predicted(self.workload, self.system, profile, self.num_engines)
        by_hand = sum(term.seconds for term in terms) if terms else float("nan")
        simulated = metrics.makespan(simulate(self.workload, self.system, profile, self.num_engines)["calls"])
        published = float("nan") if self.published is None else self.published
        gpu = self.card.gpu if self.num_engines == 1 else f"{self.num_engines}x {self.card.gpu}"
        remarks = [self.note, self.card.remark, "" if self.published else NO_FIGURE]
        return (
            self.benchmark,
            self.system.name,
            self.card.model,
            gpu,
            published,
            by_hand,
            simulated,
            100 * (by_hand / published - 1),
            100 * (simulated / published - 1),
            self.is_fitted,
            "; ".join(remark for remark in remarks if remark),
        )


def rows() -> pd.DataFrame:
    """All rows, columns `COLUMNS`."""
    cases = [*chain_cases(), *one_gpu_cases(), *four_gpu_cases(), *tensor_parallel_cases(), *unpublished_cases()]
    return pd.DataFrame([case.row() for case in cases], columns=list(COLUMNS))


def chain_cases() -> Iterator[Case]:
    """Chain on one GPU, as published for 7B and as re-measured for 13B."""
    ran = (*systems.PER_CALL_SYSTEMS, systems.MAIN)
    for card, remark in ((A100_7B, "the notes say 13B, which its figures rule out"), (A100_13B, "re-measured later")):
        for system in ran:
            (published,) = figures("chain", 1, system.name, card.model)
            yield Case("chain", workloads.notes_chain(), system, card, published=published, note=remark)


def one_gpu_cases() -> Iterator[Case]:
    """Map-reduce of 15 maps on one GPU."""
    for system in systems.MAP_REDUCE_SYSTEMS:
        workload = _map_reduce(system, 15)
        for published in figures("map-reduce", 1, system.name, "13B"):
            is_fitted = system is systems.BASELINE
            yield Case("map-reduce", workload, system, A100_13B, 1, published, is_fitted, _REMARKS.get(system.name, ""))
    yield from _alternative_readings()


def _alternative_readings() -> Iterator[Case]:
    """What the same rows come to if they were run in another way that the notes leave open."""
    for system, card, remark in (
        (systems.LANGCHAIN_VLLM, A100_7B, "7B, which the notes do not say"),
        (systems.PARROT_HF_BY_TWO, A100_13B, "two calls at the worker, so that it never waits for the dispatcher"),
        (systems.MAIN_AS_NOTED, A100_13B, "map 8 and reduce 2 as in the notes' text; their code has 32 and none"),
    ):
        published = figures("map-reduce", 1, system.name, "13B")[0]
        note = f"{ALTERNATIVE}: {remark}"
        yield Case("map-reduce", _map_reduce(system, 15), system, card, 1, published, False, note)


def four_gpu_cases() -> Iterator[Case]:
    """Map-reduce of 30 maps on four GPUs of each plausible card."""
    for card in FOUR_GPU_CARDS:
        for system in systems.MAP_REDUCE_SYSTEMS:
            (published,) = figures("map-reduce", 4, system.name, "7B")
            workload = _map_reduce(system, 30)
            runs_graph = system.orchestration == "service"
            ran = systems.submitting_one_by_one(system) if runs_graph else system
            yield Case("map-reduce, 4 GPUs", workload, ran, card, 4, published, False, "card not stated")


def tensor_parallel_cases() -> Iterator[Case]:
    """The same 30 maps on one engine over four GPUs."""
    ran = (systems.LANGCHAIN_HF, systems.LANGCHAIN_VLLM, systems.PARROT_HF, systems.PARROT_VLLM)
    for system in ran:
        yield Case("map-reduce, 4 GPUs, TP", _map_reduce(system, 30), system, A100_13B_TP4)


def unpublished_cases() -> Iterator[Case]:
    """Benchmarks that the notes name without figures."""
    sharing = (*systems.PER_CALL_SYSTEMS, systems.MAIN_SHARING)
    plain = (*systems.PER_CALL_SYSTEMS, systems.MAIN)
    prefix = f"prefix of {workloads.CONSTANT_PREFIX_TOKENS} tokens, chosen here"
    sizes = "sizes chosen here"
    named: Sequence[tuple[str, Workload, Sequence[System], str]] = (
        ("chain, 16 clients", workloads.notes_clients(), systems.CLIENTS_SYSTEMS, "makespan of all clients"),
        ("chain, long constant prefix", workloads.notes_prefixed_chain(), sharing, prefix),
        ("chatbots", workloads.notes_chatbots(), plain, sizes),
        ("multi-agent", workloads.notes_agents(), plain, sizes),
    )
    for benchmark, workload, ran, note in named:
        for system in ran:
            yield Case(benchmark, workload, system, A100_13B, note=note)


def figures(benchmark: str, gpus: int, system: str, model: str) -> list[float]:
    """Published means of one row, seconds, the earliest first."""
    table = notes()
    chosen = (
        (table["benchmark"] == benchmark)
        & (table["gpus"] == gpus)
        & (table["system"] == system)
        & (table["model"] == model)
    )
    return [float(value) for value in table.loc[chosen, "mean_s"]]


def _map_reduce(system: System, num_maps: int) -> Workload:
    """The workload as the system's client sends it: LangChain's sends one call after another."""
    workload = workloads.notes_map_reduce(num_maps)
    return workload if system.orchestration == "service" else workloads.one_after_another(workload)


_REMARKS = {
    systems.LANGCHAIN_HF.name: "one call after another",
    systems.LANGCHAIN_VLLM.name: "one call after another; published as 15.29 and later as 23.57, for no visible reason",
    systems.PARROT_HF.name: "one call at a time; dispatcher's release from the baseline row",
    systems.PARROT_VLLM.name: "two calls at a time; dispatcher's release from the baseline row",
    systems.BASELINE.name: "sets the dispatcher's release of 0.19 s",
    systems.MAIN.name: "upper bounds of the code, map 32",
}
