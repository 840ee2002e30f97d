"""Where calls come from and how they are handed to engines, the same for simulated and real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from policies.coordinator import Coordinator, Orchestration
from policies.engines import EngineState
from policies.interface import Policy
from policies.network import NetworkLatency
from traces.workload import Workload, num_calls

#: Keeps the network's random stream apart from those of policies, which seed theirs with the bare number.
_NETWORK_STREAM = 1


class EngineLimits(Protocol):
    """What a gateway knows of an engine before it sends it anything."""

    @property
    def num_blocks(self) -> int: ...
    @property
    def block_size(self) -> int: ...
    @property
    def max_num_seqs(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where calls come from and how they are handed to engines.

    Parameters
    ----------
    window : int
        Most calls the coordinator keeps at one engine; 0 = no limit.
    orchestration : "client" or "service"
        Who runs the graph: a client pays the network latency before every call, a service once per application.
    network_latency : NetworkLatency
    view_staleness : float, seconds
        Age up to which policies see old engine views.
    seed : int
        Of the network latency. Policies that draw have seeds of their own.

    Raises
    ------
    ValueError
        When a value is out of range; the message names it.
    """

    window: int = 0
    orchestration: Orchestration = "client"
    network_latency: NetworkLatency = field(default_factory=NetworkLatency)
    view_staleness: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("window", "view_staleness", "seed"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name}={getattr(self, name)} must be finite and not negative")
        if self.orchestration not in ("client", "service"):
            raise ValueError(f"orchestration={self.orchestration!r} must be 'client' or 'service'")

    def coordinator(self, workload: Workload, policy: Policy, engines: Sequence[EngineLimits]) -> Coordinator:
        """A coordinator for one run; engine `i` has the limits `engines[i]`.

        Notes
        -----
        Draws the network latency of every call here, from the seed alone: a simulated and a real run of one workload
        under one gateway wait the same seconds.
        """
        states = [
            EngineState(
                engine_id,
                num_blocks=limits.num_blocks,
                block_size=limits.block_size,
                max_num_seqs=limits.max_num_seqs,
                window=self.window,
            )
            for engine_id, limits in enumerate(engines)
        ]
        rng = np.random.default_rng((self.seed, _NETWORK_STREAM))
        return Coordinator(
            workload,
            policy,
            states,
            orchestration=self.orchestration,
            network_latency=self.network_latency.draw(num_calls(workload), rng).tolist(),
            view_staleness=self.view_staleness,
        )

    def described(self) -> dict[str, Any]:
        """Its values as a manifest shows them."""
        return {
            "window": self.window,
            "orchestration": self.orchestration,
            "network_latency": str(self.network_latency),
            "view_staleness": self.view_staleness,
            "seeds": {"network": self.seed},
        }
