"""Step-cost profiles: what was measured on which GPU and engine, what was fitted to it, and how well the fit holds.

A profile is one JSON file (`sim/profiles/*.json`, or any file of that shape). `sim.fitting` writes the shipped ones.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Literal

import msgspec

from sim.step_cost import Curve, ProfiledStepCost, StepCost, StepTerms

PROFILE_FOLDER = Path(__file__).parent / "profiles"


class CurveTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Knots of a piecewise-linear cost: counts and seconds at them; see `sim.step_cost.Curve`."""

    counts: tuple[int, ...]
    seconds: tuple[float, ...]


#: Engines whose schedulers the simulator has.
Scheduler = Literal["vllm", "vllm-2023", "parrot", "hugging-face"]


class Measurement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a profile comes from.

    Parameters
    ----------
    gpu, engine, engine_version, date : str
        Hardware, serving engine and its version, date of the measurement (or of the publication, and then it says so).
    sources : tuple of str
        Data the terms were fitted on, by their place in the data collection, with licence.
    method : str
        How it was fitted, and on which part of the data.
    """

    gpu: str
    engine: str
    engine_version: str
    date: str
    sources: tuple[str, ...]
    method: str


class ModelShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shape of a dense decoder-only transformer; counts are per model, not per GPU."""

    name: str
    dtype: str
    num_layers: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int

    def kv_bytes_per_token(self, bytes_per_value: int = 2) -> int:
        """Bytes of keys and values of one token in all layers, on all GPUs together."""
        return 2 * self.num_layers * self.num_kv_heads * self.head_dim * bytes_per_value


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Fitted terms of a step in seconds; see `sim.step_cost.StepTerms` for their meaning.

    The `synchronous` ones apply with synchronous scheduling only: host time that asynchronous scheduling hides, between
    steps and in the launch of a step with prefills.
    """

    dense: CurveTable
    decode_batch: CurveTable
    decode_context: CurveTable
    all_reduce: CurveTable
    seconds_per_attention_pair: float
    seconds_per_prefill_token: float
    seconds_per_prefill: float
    seconds_per_step: float
    synchronous_seconds_per_step: float
    synchronous_seconds_per_decode: float
    repeated_context: CurveTable | None = None
    num_resident_tokens: int = 0
    num_parallel_calls: int = 0
    capture_sizes: tuple[int, ...] = ()
    seconds_per_mixed_step: float = 0.0
    num_graph_tokens: int = 0
    launch_seconds: float = 0.0
    graph_launch_seconds: float = 0.0
    launch_seconds_per_decode: float = 0.0
    seconds_after_launch: float = 0.0
    launch_holds_core: bool = False
    sustained_slowdown: float = 0.0
    synchronous_seconds_per_mixed_step: float = 0.0
    synchronous_seconds_per_mixed_decode: float = 0.0
    synchronous_seconds_per_prefill: float = 0.0
    synchronous_seconds_per_prefill_token: float = 0.0


class Domain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Largest values that the measurements cover."""

    max_tokens_per_step: int
    max_decodes: int
    max_context_tokens: int
    max_context_tokens_per_call: int


class Residual(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Relative error of the fitted terms on one set of measured points.

    Parameters
    ----------
    points : str
        What the points are.
    fitted : bool
        Whether they took part in the fit; False means they were predicted.
    num_points : int
    median, p95 : float
        Of the absolute relative error.
    bias : float
        Mean signed relative error; positive when the model is slow.
    """

    points: str
    fitted: bool
    num_points: int
    median: float
    p95: float
    bias: float


class Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One form of the step cost that was tried in a fit, and what it got wrong on points it was not fitted to.

    Parameters
    ----------
    name : str
    num_terms : int
    median, p95 : float
        Of the absolute relative error in cross-validation over whole points, or parts of them, that are fitted.
    chosen : bool
        Whether the profile's terms have this form.
    """

    name: str
    num_terms: int
    median: float
    p95: float
    chosen: bool


class Uncertainty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How well the fitted terms are known; `sim.uncertainty` draws profiles from it.

    Parameters
    ----------
    coefficients : tuple of str
        Names, as `sim.uncertainty.coefficients` gives them; what is not named is taken as exact.
    covariance : tuple of tuple of float, seconds squared
        Of the coefficients, estimated with whole measured points as clusters.
    """

    coefficients: tuple[str, ...]
    covariance: tuple[tuple[float, ...], ...]


class Overheads(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Host and network time outside the steps, in seconds.

    Parameters
    ----------
    client_to_engine : float
        From a call's hand-over to the engine's client until the engine core may schedule it.
    engine_to_client : float
        From the end of a step in the engine core until the client has its token.
    submit_interval : float
        Serial client time per call when many are submitted at once.
    idle_wakeup : float
        From the first schedule of an idle engine until it looks at its queue again: the host launches the first
        prefill meanwhile, so calls that arrive just behind the first one are scheduled this much later.
    idle_start : float
        What the first prefill step of an idle engine takes longer: no step before it hides its launch.
    call : float
        Fixed cost that a call pays in the server around the engine (its HTTP front end, say).
    release : float
        From the end of a call until a call that waited for its place is dispatched.
    """

    client_to_engine: float = 0.0
    engine_to_client: float = 0.0
    submit_interval: float = 0.0
    idle_wakeup: float = 0.0
    idle_start: float = 0.0
    call: float = 0.0
    release: float = 0.0


class EngineDefaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of the engine that was measured, in vLLM's names."""

    num_blocks: int
    block_size: int
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_bytes_per_token: int


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One step-cost profile: provenance, fitted terms, domain, residuals, overheads and engine limits.

    `scheduler` says which engine's scheduler the costs belong to; a simulation runs that one. Profiles that were
    calibrated also say which forms were tried and how certain the terms are.
    """

    name: str
    measurement: Measurement
    model: ModelShape
    tensor_parallel: int
    terms: Terms
    domain: Domain
    residuals: tuple[Residual, ...]
    overheads: Overheads
    engine_defaults: EngineDefaults
    scheduler: Scheduler = "vllm"
    forms: tuple[Form, ...] = ()
    uncertainty: Uncertainty | None = None

    def step_cost(self, async_scheduling: bool) -> StepCost:
        """Step cost with asynchronous scheduling, or with the host time that synchronous scheduling adds."""
        return step_cost_of(self.terms, async_scheduling)

    def domain_warnings(self, num_decodes: int, num_context_tokens: int, num_prefill_tokens: int) -> list[str]:
        """One line for each way in which a step lies outside the measured domain; empty when it lies inside.

        Parameters
        ----------
        num_decodes, num_context_tokens : int
            As in `StepCost.step`.
        num_prefill_tokens : int
            Tokens of all prefill chunks of the step.
        """
        checks = (
            ("num_decodes", num_decodes, self.domain.max_decodes),
            ("num_context_tokens", num_context_tokens, self.domain.max_context_tokens),
            ("tokens in a step", num_decodes + num_prefill_tokens, self.domain.max_tokens_per_step),
        )
        return [
            f"profile {self.name!r}: {name}={value} lies beyond the measured {limit}; the cost is extrapolated"
            for name, value, limit in checks
            if value > limit
        ]


def list_profiles() -> list[str]:
    """Names of the shipped profiles, sorted."""
    return sorted(path.stem for path in PROFILE_FOLDER.glob("*.json"))


def load_profile(name_or_path: str | Path) -> Profile:
    """Read and check a profile.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a shipped profile, or a file (anything that ends in `.json` or exists).

    Raises
    ------
    ValueError
        When there is no such profile, or the file breaks a rule; one line with file, field, value and rule.
    """
    path = Path(name_or_path)
    if path.suffix != ".json" and not path.is_file():
        path = PROFILE_FOLDER / f"{name_or_path}.json"
        if not path.is_file():
            raise ValueError(f"profile={str(name_or_path)!r} is none of {', '.join(list_profiles())}, and no file")
    try:
        profile = msgspec.json.decode(path.read_bytes(), type=Profile)
    except OSError as error:
        raise ValueError(f"profile={str(path)!r} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None
    check_profile(profile, str(path))
    return profile


def check_profile(profile: Profile, origin: str) -> None:
    """Refuse values that no profile may have.

    Raises
    ------
    ValueError
        One line: `origin`, field, value and rule.
    """
    _check_numbers(profile.terms, f"{origin}: terms", minimum=0)
    _check_numbers(profile.overheads, f"{origin}: overheads", minimum=0)
    for name in ("model", "domain", "engine_defaults"):
        _check_numbers(getattr(profile, name), f"{origin}: {name}", minimum=1)
    if profile.tensor_parallel < 1:
        raise ValueError(f"{origin}: tensor_parallel={profile.tensor_parallel} must be at least 1")
    for index, residual in enumerate(profile.residuals):
        where = f"{origin}: residuals[{index}]"
        _check_numbers(msgspec.structs.replace(residual, bias=0.0), where, minimum=0)
    for name in ("dense", "decode_batch", "all_reduce"):
        table = getattr(profile.terms, name)
        if not _curve(table, f"{origin}: terms.{name}").is_monotone:
            raise ValueError(f"{origin}: terms.{name}.seconds={list(table.seconds)} must not decrease")
    _curve(profile.terms.decode_context, f"{origin}: terms.decode_context")
    if profile.terms.repeated_context is not None:
        _curve(profile.terms.repeated_context, f"{origin}: terms.repeated_context")
    sizes = profile.terms.capture_sizes
    if any(b <= a for a, b in pairwise((0, *sizes))):
        raise ValueError(f"{origin}: terms.capture_sizes={list(sizes)} must be positive and strictly increasing")
    _check_uncertainty(profile.uncertainty, f"{origin}: uncertainty")
    if profile.terms.dense.seconds[0] <= 0:
        raise ValueError(f"{origin}: terms.dense.seconds[0]={profile.terms.dense.seconds[0]} must be positive")


def _check_numbers(struct: msgspec.Struct, where: str, *, minimum: int) -> None:
    """Refuse numbers of `struct` that are below `minimum` or not finite."""
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        if isinstance(value, int | float) and not (math.isfinite(value) and value >= minimum):
            raise ValueError(f"{where}.{name}={value} must be finite and at least {minimum}")


def _check_uncertainty(uncertainty: Uncertainty | None, where: str) -> None:
    """Refuse a covariance that does not fit its coefficients."""
    if uncertainty is None:
        return
    size = len(uncertainty.coefficients)
    if len(uncertainty.covariance) != size or any(len(row) != size for row in uncertainty.covariance):
        raise ValueError(f"{where}.covariance must be square, with a row for each of its {size} coefficients")
    if not all(math.isfinite(value) for row in uncertainty.covariance for value in row):
        raise ValueError(f"{where}.covariance must be finite")


def _curve(table: CurveTable, where: str = "curve") -> Curve:
    """The curve of a table; its errors carry `where`."""
    try:
        return Curve(table.counts, table.seconds)
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from None


def step_cost_of(terms: Terms, async_scheduling: bool) -> ProfiledStepCost:
    """Step cost of a profile's terms under one way of scheduling."""
    per_step, decode_batch = terms.seconds_per_step, _curve(terms.decode_batch)
    if not async_scheduling:
        per_step += terms.synchronous_seconds_per_step
        decode_batch = _with_slope(decode_batch, terms.synchronous_seconds_per_decode)
    is_sync = not async_scheduling
    step_terms = StepTerms(
        dense=_curve(terms.dense),
        decode_batch=decode_batch,
        decode_context=_curve(terms.decode_context),
        all_reduce=_curve(terms.all_reduce),
        seconds_per_attention_pair=terms.seconds_per_attention_pair,
        seconds_per_prefill_token=(
            terms.seconds_per_prefill_token + is_sync * terms.synchronous_seconds_per_prefill_token
        ),
        seconds_per_prefill=terms.seconds_per_prefill + is_sync * terms.synchronous_seconds_per_prefill,
        seconds_per_step=per_step,
        repeated_context=None if terms.repeated_context is None else _curve(terms.repeated_context),
        num_resident_tokens=terms.num_resident_tokens,
        num_parallel_calls=terms.num_parallel_calls,
        capture_sizes=terms.capture_sizes,
        seconds_per_mixed_step=terms.seconds_per_mixed_step + is_sync * terms.synchronous_seconds_per_mixed_step,
        seconds_per_mixed_decode=is_sync * terms.synchronous_seconds_per_mixed_decode,
        num_graph_tokens=terms.num_graph_tokens,
        launch_seconds=0.0 if is_sync else terms.launch_seconds,
        graph_launch_seconds=0.0 if is_sync else terms.graph_launch_seconds,
        launch_seconds_per_decode=terms.launch_seconds_per_decode,
        seconds_after_launch=terms.seconds_after_launch,
        launch_holds_core=terms.launch_holds_core,
        sustained_slowdown=terms.sustained_slowdown,
    )
    return ProfiledStepCost(step_terms)


def _with_slope(curve: Curve, slope: float) -> Curve:
    """`curve` plus `slope` seconds for every count beyond the first knot."""
    if slope == 0:
        return curve
    counts = curve.counts if len(curve.counts) > 1 else (*curve.counts, curve.counts[0] + 1)
    return Curve(counts, tuple(curve(count) + slope * count for count in counts))
