"""From parsed options to the objects they describe, for commands that share them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from dovetail.options import given_limits

if TYPE_CHECKING:
    from policies.gateway import Gateway
    from policies.load import LoadedPolicy
    from sim.profile import Profile
    from sim.settings import EngineSettings
    from traces.workload import Workload


def engine_settings(profile: Profile, options: dict[str, Any]) -> EngineSettings:
    """Settings from a profile and `limit_options`."""
    from sim.run import settings_of

    return settings_of(profile, **given_limits(options))


def gateway(options: dict[str, Any]) -> Gateway:
    """Gateway from `gateway_options`, or from `client_options` alone."""
    from policies.gateway import Gateway
    from policies.network import parse_network_latency

    names = ("window", "orchestration", "view_staleness", "seed")
    given = {name: options[name] for name in names if name in options}
    return Gateway(**given, network_latency=parse_network_latency(options["network_latency"]))


def load_policies(options: dict[str, Any]) -> list[LoadedPolicy]:
    """The policy of `policy_options`, and the one to take the routing from where that is asked for."""
    from policies.load import load_policy

    policies = [load_policy(options["policy"], options["policy_args"], seed=options["seed"])]
    if options["routing"] is not None:
        policies.append(load_policy(options["routing"], options["routing_args"], seed=options["seed"]))
    elif options["routing_args"]:
        raise click.UsageError("--routing-arg needs --routing", click.get_current_context())
    return policies


def composed(policies: Sequence[LoadedPolicy], workload: Workload, *, source: str) -> LoadedPolicy:
    """A single policy as it is; of two, the order of the first with the routing of the second.

    Raises
    ------
    ValueError
        When one of them bounds a stage that the workload does not have.
    """
    from policies.compose import compose
    from policies.load import LoadedPolicy
    from policies.stage_priority import StagePriority
    from traces.validation import require_stages

    for each in policies:
        if isinstance(each.policy, StagePriority):
            require_stages(each.policy.bounds, workload, source=source)
    if len(policies) == 1:
        return policies[0]
    order, routing = policies
    parameters = {"order": order.parameters, "routing": routing.parameters}
    return LoadedPolicy(compose(order.policy, routing.policy), f"{order.name} + {routing.name}", parameters)
