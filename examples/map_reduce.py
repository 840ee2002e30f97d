"""One map-reduce application on four engines: the closed form and the simulation side by side, term by term."""

from analysis.metrics import jct
from analysis.prediction import predict
from dovetail.closed_form import deployment_of
from policies.gateway import Gateway
from policies.network import NetworkLatency
from policies.stage_priority import StagePriority
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.generators.mapreduce import map_reduce


def main() -> None:
    """Print the prediction, then the simulated completion time."""
    workload = map_reduce(30)
    profile = load_profile("h100-llama-13b")
    cluster = SimulatedCluster(profile, 4, settings_of(profile))
    gateway = Gateway(network_latency=NetworkLatency("fixed", (0.25,)))
    bounds = {"map": 8, "reduce": 2}  # most calls of a stage at one engine
    cost = profile.step_cost(cluster.settings.async_scheduling)
    for line in predict(workload, cost, deployment_of(workload, cluster, gateway, bounds)).lines():
        print(line)
    records = simulate(workload, StagePriority(bounds), cluster, gateway)
    print(f"simulated: {jct(records.calls).iloc[0]:.3f} s")


if __name__ == "__main__":
    main()
