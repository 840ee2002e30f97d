"""What the literature says of its policies, tried: differences in mean JCT over eight seeds, with 99 % t-intervals.

Both policies of a row see the same eight workloads. `docs/policies.md` says what each leaves out of its paper.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats

from policies.app_fifo import AppFifo
from policies.fifo import Fifo
from policies.gateway import Gateway
from policies.interface import Policy
from policies.least_attained import LeastAttained
from policies.least_loaded import LeastLoaded
from policies.parrot import Parrot
from policies.prefix_affinity import PrefixAffinity
from policies.shortest_job import ShortestJob
from policies.stage_priority import StagePriority
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.arrivals import all_at_once, poisson_arrivals
from traces.generators.chain import ChainShape, chain
from traces.generators.lengths import LogNormal, lognormal_lengths
from traces.generators.mapreduce import map_reduce
from traces.generators.mixture import mix
from traces.generators.shared import SharedPrompt, shared_prefix_apps
from traces.generators.single import single_calls
from traces.workload import Workload

MakePolicy = Callable[[], Policy]


def mean_jct(workload: Workload, policy: Policy, num_engines: int, window: int, only: str) -> float:
    """Mean JCT of the applications whose name begins with `only`, seconds."""
    profile = load_profile("h100-llama-13b")
    cluster = SimulatedCluster(profile, num_engines, settings_of(profile))
    calls = simulate(workload, policy, cluster, Gateway(window=window)).calls
    apps = calls[calls.app.str.startswith(only)].groupby("app")
    return float((apps.finished_at.max() - apps.app_arrived_at.first()).mean())


def row(
    claim: str,
    draw: Callable[[np.random.Generator], Workload],
    policies: tuple[MakePolicy, MakePolicy],
    engines: tuple[int, int] = (1, 0),
    only: str = "",
) -> None:
    """Print one comparison; `engines` is their number and the window of each."""
    workloads = [draw(np.random.default_rng(seed)) for seed in range(8)]
    ours, theirs = (np.array([mean_jct(w, make(), *engines, only) for w in workloads]) for make in policies)
    percent = 100 * (ours - theirs) / theirs.mean()
    low, high = stats.ttest_1samp(percent, 0.0).confidence_interval(0.99)
    print(f"{claim:66} {theirs.mean():6.2f} s  {percent.mean():+6.1f} % [{low:+6.1f}, {high:+6.1f}]")


def map_reduces(rate: float) -> Callable[[np.random.Generator], Workload]:
    """60 applications of 12 maps and a reduce call, at `rate` a second."""
    return lambda rng: map_reduce(12, poisson_arrivals(rate, 60, rng))


def chains(rng: np.random.Generator) -> Workload:
    """25 chains of 4 to 20 calls, all there at 0."""
    shapes = [ChainShape(num_calls=int(n), output_tokens=50) for n in rng.integers(4, 21, 25)]
    return mix({f"c{i}": chain(all_at_once(1), shape) for i, shape in enumerate(shapes)})


def programs(rng: np.random.Generator) -> Workload:
    """Many chains of 3 calls, few of 20."""
    short = chain(poisson_arrivals(2.0, 60, rng), ChainShape(3, 300, output_tokens=40))
    return mix({"short": short, "long": chain(poisson_arrivals(0.3, 11, rng), ChainShape(20, 300, output_tokens=40))})


def questions(rate: float, num_prompts: int, prompt_tokens: int, hot: float) -> Callable[..., Workload]:
    """One call each to an assistant with a long prompt, to the first `hot` times as often as to any other."""
    prompts = [SharedPrompt(f"p{i}", prompt_tokens, 60, 60, 1.0 if i else hot) for i in range(num_prompts)]
    return lambda rng: shared_prefix_apps(prompts, poisson_arrivals(rate, 300, rng), rng)


def calls(rng: np.random.Generator) -> Workload:
    """Calls of very different lengths."""
    lengths = lognormal_lengths(LogNormal(300, 1.0, 3000), LogNormal(80, 1.0, 900), 400, rng)
    return single_calls(lengths, poisson_arrivals(8.0, 400, rng))


def mispredicted() -> Policy:
    """Shortest job first by a predictor that is off by a factor of e in one standard deviation."""
    return ShortestJob(error=1.0)


def unguarded() -> Policy:
    """Prefix affinity whose guard never acts."""
    return PrefixAffinity(10**6)


def main() -> None:
    """Print one row a claim: the mean JCT of the second policy, and how much the first differs from it."""
    print(f"{'first policy, not the second':66} {'second':>8}  {'difference':>8}  99 % interval")
    busy, idle = map_reduces(2.0), map_reduces(0.5)
    row("map-reduce, 2/s on 4 engines: stage-priority, not fifo", busy, (StagePriority, Fifo), (4, 8))
    row("map-reduce, 0.5/s on 4 engines: stage-priority, not fifo", idle, (StagePriority, Fifo), (4, 8))
    row("map-reduce, 0.5/s on 4 engines: parrot, not fifo", idle, (Parrot, Fifo), (4, 16))
    row("25 chains at once: app-fifo, not fifo", chains, (AppFifo, Fifo), (1, 4))
    row("25 chains at once: parrot, not fifo", chains, (Parrot, Fifo), (1, 4))
    row("short programs among long: least-attained, not fifo", programs, (LeastAttained, Fifo), (1, 4), "short")
    row("long programs among short: least-attained, not fifo", programs, (LeastAttained, Fifo), (1, 4), "long")
    row("unequal calls: shortest-job, not fifo", calls, (ShortestJob, Fifo), (1, 8))
    row("the same, lengths wrong by a factor e", calls, (mispredicted, Fifo), (1, 8))
    many, popular = questions(12.0, 64, 2500, hot=1.0), questions(24.0, 8, 1500, hot=20.0)
    row("64 long prompts: prefix-affinity, not least-loaded", many, (PrefixAffinity, LeastLoaded), (4, 0))
    row("one popular prompt: the same without its guard", popular, (unguarded, LeastLoaded), (4, 0))
    row("one popular prompt: the same with its guard", popular, (PrefixAffinity, LeastLoaded), (4, 0))


if __name__ == "__main__":
    main()
