"""Cases for the lockstep comparison: engine limits, a workload whose times are turns of the loop, and two choices.

In a turn what has arrived is handed over, a step is planned, and the oldest step in flight is completed. A `delay` is
the turns from the end of the last dependency to the call's arrival.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from sim.settings import EngineSettings
from traces.fit import check_fit
from traces.validation import validate_workload
from traces.workload import Workload


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison.

    Parameters
    ----------
    seed : int
        What it was drawn from, and the seed of the draws below.
    settings : EngineSettings
    workload : Workload
        Times are turns.
    plans_empty_steps : bool
        Plan as long as vLLM's engine core would: one step more after the last request has finished.
    skip_share : float
        Probability with which a step that can only decode is planned by the native scheduler's skipping code.
    """

    seed: int
    settings: EngineSettings
    workload: Workload
    plans_empty_steps: bool
    skip_share: float

    def is_valid(self) -> bool:
        """Whether it is a workload that the engine can serve; shrinking may break that."""
        try:
            validate_workload(self.workload, source="case")
            check_fit(self.workload, self.settings, source="case")
        except ValueError:
            return False
        return True

    def describe(self) -> str:
        """Everything that is needed to see what the case is, a line each for limits and applications."""
        lines = [f"seed={self.seed} plans_empty_steps={self.plans_empty_steps} skip_share={self.skip_share}"]
        lines.append(str(self.settings))
        lines += [msgspec.json.encode(application).decode() for application in self.workload.applications]
        return "\n".join(lines)
