"""The seam between the driver and real engines: what a backend is asked, what it answers, and how it fails.

Instants are seconds of `time.monotonic()`, which all processes of one host share; the driver turns them into seconds
from the start of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pandas as pd


class EngineFailure(RuntimeError):
    """An engine is lost: it died, hangs, or cannot be reached. Its calls did not finish."""


class CallFailure(RuntimeError):
    """An engine refused or broke one call, and goes on."""


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """One call as an engine gets it.

    Parameters
    ----------
    request_id : str
        Unique in the run; a call that is tried again gets another.
    prompt_token_ids : list of int
    num_output_tokens : int
        Exactly so many are generated.
    priority : int
        Lower first, where the engine schedules by priority.
    extra_args : mapping
        Plain values for the engine's scheduler (vLLM: `SamplingParams.extra_args`, over HTTP `vllm_xargs`).
    """

    request_id: str
    prompt_token_ids: list[int]
    num_output_tokens: int
    priority: int = 0
    extra_args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished request.

    Parameters
    ----------
    output_token_ids : list of int
        What was generated; prompts of later calls may contain it.
    num_cached_tokens : int
        Prompt tokens taken from the prefix cache; -1 where the engine does not say.
    scheduled_at : float, optional
        Instant of its first step, where the engine says.
    """

    output_token_ids: list[int]
    num_cached_tokens: int = -1
    scheduled_at: float | None = None


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """An engine that has started, with its settings as the engine itself resolved them.

    Parameters
    ----------
    num_blocks, block_size, max_num_seqs, max_model_len : int
        As in `sim.settings.EngineSettings`.
    settings : mapping
        Everything else worth a line in the manifest, vLLM's names.
    device : str
        Such as "NVIDIA H200" or "virtual (profile h100-llama-13b)".
    versions : mapping of str to str
        Of the packages that run the engine.
    """

    num_blocks: int
    block_size: int
    max_num_seqs: int
    max_model_len: int
    settings: Mapping[str, Any]
    device: str
    versions: Mapping[str, str]


@dataclass(slots=True)
class EngineProgress:
    """What the live view and the watch for hanging engines look at; kept up to date by the backend.

    Parameters
    ----------
    last_progress_at : float, seconds
        Instant at which the engine was last seen to do something.
    num_running, num_waiting : int
        -1 where the engine does not say.
    num_generated_tokens : int
        Since the start.
    """

    last_progress_at: float = 0.0
    num_running: int = -1
    num_waiting: int = -1
    num_generated_tokens: int = 0


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What only the engine's scheduler knows of a request."""

    scheduled_at: float
    num_cached_tokens: int
    num_preemptions: int


@dataclass(frozen=True, slots=True)
class EngineRecords:
    """What an engine recorded; readable after `stop`, also when it died.

    Parameters
    ----------
    steps : pandas.DataFrame
        Columns `traces.records.STEP_COLUMNS`, instants of `time.monotonic()`; empty where the engine records none.
    requests : mapping of request id to RequestFacts
    """

    steps: pd.DataFrame
    requests: Mapping[str, RequestFacts]


class EngineBackend(Protocol):
    """One real engine. A backend moves tokens and times; it decides nothing."""

    @property
    def engine_id(self) -> int: ...
    @property
    def progress(self) -> EngineProgress: ...
    @property
    def failure(self) -> str | None:
        """Why the engine is lost, where that is known without asking it: also while it is idle. None while it is up."""

    async def start(self) -> EngineInfo:
        """Start or reach the engine.

        Raises
        ------
        EngineFailure
            When it does not come up; one line that names the cause.
        """

    async def generate(self, request: EngineRequest, on_first_token: Callable[[], None]) -> Completion:
        """Run one request to its end. Cancelling the task aborts the request in the engine.

        Raises
        ------
        EngineFailure
            When the engine is lost.
        CallFailure
            When this request alone failed.
        """

    async def stop(self) -> None:
        """Release the engine and leave no process behind; also right after a failed `start`, and twice.

        It returns when the engine is gone, also where another call of it has begun to stop it.
        """

    def records(self) -> EngineRecords:
        """What the engine recorded."""
