"""The file that `dovetail sweep` reads: axes, and the cells that they span."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import msgspec
import yaml

from dovetail.setting import engine_settings, gateway, load_policies
from dovetail.sweeps.cell import AXES, Arrivals, Cell, Source, parse_words
from dovetail.sweeps.workload import check_source
from policies.load import find_policy_class
from sim.profile import load_profile

#: The policy that shows how much is left to gain, unless the file has one of that name.
ORACLE = ("oracle", "--policy shortest-path --policy-arg measure=application")

#: An axis of its own: the relative error of the predictor of those policies that have a parameter `error`.
PREDICTOR_ERROR = "predictor-error"

Value = str | float | int | bool

#: Workload, arrivals, values of the axes, policy.
_Combination = tuple[str, Arrivals, tuple[tuple[str, Value], ...], str]


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sweep: every workload x arrivals x axes x policy x seed.

    Parameters
    ----------
    workloads : dict of name to line, or to a dict of label to line
        What stands behind `dovetail workload generate`, without seed and file, or a workload file relative to this one;
        several labelled ones are mixed.
    policies : dict of name to line
        Options of `dovetail simulate`, `--policy` among them.
    seeds : int or list of int
        How many, or which.
    loads, rates : list of float
        Shares of what the engines can do at best, or applications per second.
    arrivals : list of str
        Arrival processes as `dovetail workload generate --arrivals` takes them. At most one of these three is given;
        without any, workloads arrive as they say themselves.
    cv : float
        Coefficient of variation of the gaps between arrivals, for loads and rates; 1 is a Poisson process.
    options : str
        Options of `dovetail simulate` for every cell.
    axes : dict of option to list
        More axes: an option of `dovetail simulate` without the dashes, or `predictor-error`, and its values.
    baseline : str
        Policy that the others are compared with; the first by default.
    deadline : float
        Deadline of every application, as a multiple of what it would take alone.
    warmup : float
        Share of the applications, by arrival, that is cut off.
    """

    workloads: dict[str, str | dict[str, str]]
    policies: dict[str, str]
    seeds: int | list[int] = 5
    loads: list[float] = []
    rates: list[float] = []
    arrivals: list[str] = []
    cv: float = 1.0
    options: str = ""
    axes: dict[str, list[Value]] = {}
    baseline: str = ""
    deadline: float | None = None
    warmup: float = 0.1

    @property
    def lines(self) -> dict[str, str]:
        """Line of each policy, the oracle's included."""
        return self.policies if ORACLE[0] in self.policies else {**self.policies, ORACLE[0]: ORACLE[1]}

    @property
    def reference(self) -> str:
        """The policy that the others are compared with."""
        return self.baseline or next(iter(self.policies))

    @property
    def keys(self) -> list[str]:
        """Columns that make a setting: what is averaged over seeds, and nothing else, differs within one."""
        return ["workload", "arrivals", *self.axes, "policy"]

    def sees_oracle(self, policy: str) -> bool:
        """Whether a policy looks at what no deployed gateway knows."""
        options = parse_words((*shlex.split(self.options), *shlex.split(self.lines[policy])))
        return any(each.policy.uses_oracle for each in load_policies(options))


def load_spec(path: Path) -> Spec:
    """Read and check a specification.

    Raises
    ------
    ValueError
        One line: the file, the field, and the rule that is broken.
    """
    try:
        spec = msgspec.convert(yaml.safe_load(path.read_text()), Spec)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not YAML: {error}") from None
    except msgspec.ValidationError as error:
        raise ValueError(f"{path}: {error}") from None
    try:
        _check(spec)
        _check_different(spec)
        _check_cells(spec, path.parent)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return spec


def cells_of(spec: Spec, folder: Path) -> list[Cell]:
    """All cells, seed by seed: what an interruption leaves has something of everything."""
    axes = [[(name, value) for value in values] for name, values in spec.axes.items()]
    arrivals = _arrivals(spec)
    combinations = list(product(spec.workloads, arrivals, product(*axes), spec.lines))
    return [_cell(spec, folder, combination, seed) for seed in _seeds(spec) for combination in combinations]


def _cell(spec: Spec, folder: Path, combination: _Combination, seed: int) -> Cell:
    workload, arrivals, axes, policy = combination
    words = (*shlex.split(spec.options), *shlex.split(spec.lines[policy]))
    for name, value in axes:
        words += _axis_words(name, value, words)
    shown = ((name, _shown(value)) for name, value in axes)
    coordinates = (("workload", workload), ("arrivals", str(arrivals)), *shown, ("policy", policy))
    return Cell(coordinates, _source(spec, workload, folder), arrivals, words, spec.warmup, seed)


def _source(spec: Spec, workload: str, folder: Path) -> Source:
    given = spec.workloads[workload]
    parts = {"": given} if isinstance(given, str) else given
    return Source(tuple(parts.items()), str(folder.resolve()), spec.deadline)


def _axis_words(name: str, value: Value, words: tuple[str, ...]) -> tuple[str, ...]:
    """What a value of an axis adds to the options of a cell."""
    if name == PREDICTOR_ERROR:
        policy = find_policy_class(parse_words(words)["policy"])
        return ("--policy-arg", f"error={value}") if "error" in inspect.signature(policy).parameters else ()
    if isinstance(value, bool):
        return (f"--{'' if value else 'no-'}{name}",)
    return f"--{name}", str(value)


def _arrivals(spec: Spec) -> list[Arrivals]:
    return (
        [Arrivals("load", value, spec.cv) for value in spec.loads]
        + [Arrivals("rate", value, spec.cv) for value in spec.rates]
        + [Arrivals("process", value) for value in spec.arrivals]
    ) or [Arrivals("own")]


def _seeds(spec: Spec) -> list[int]:
    return list(range(spec.seeds)) if isinstance(spec.seeds, int) else spec.seeds


def _check(spec: Spec) -> None:
    """What can be said of the fields by themselves."""
    for name in ("workloads", "policies", "axes"):
        for key, values in getattr(spec, name).items():
            if not values and name != "policies":
                raise ValueError(f"{name}: {key!r} is empty")
    for name in ("workloads", "policies"):
        if not getattr(spec, name):
            raise ValueError(f"{name} must name at least one")
    seeds = _seeds(spec)
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f"seeds={spec.seeds!r} must be a positive number of seeds, or different ones from 0")
    if sum(map(bool, (spec.loads, spec.rates, spec.arrivals))) > 1:
        raise ValueError("loads, rates and arrivals exclude each other")
    for name in ("loads", "rates"):
        for value in getattr(spec, name):
            if not 0 < value < float("inf"):
                raise ValueError(f"{name}: {value} must be positive and finite")
    if not 0 < spec.cv < float("inf"):
        raise ValueError(f"cv={spec.cv} must be positive and finite")
    if spec.deadline is not None and not 1 <= spec.deadline < float("inf"):
        raise ValueError(f"deadline={spec.deadline} must be at least 1: nothing is faster than alone")
    if not 0 <= spec.warmup < 1:
        raise ValueError(f"warmup={spec.warmup} must be in [0, 1)")
    if spec.reference not in spec.lines:
        raise ValueError(f"baseline={spec.baseline!r} must be one of {', '.join(spec.lines)}")
    for name in spec.axes:
        if name not in AXES and name != PREDICTOR_ERROR:
            raise ValueError(f"axes: {name!r} must be {PREDICTOR_ERROR} or one of {', '.join(AXES)}")


def _check_different(spec: Spec) -> None:
    """No value twice: the same runs, counted twice, would pass for more seeds and narrow every interval."""
    shown: dict[str, list[str | float]] = {"arrivals": [str(each) for each in _arrivals(spec)]}
    shown |= {f"axes: {name}": [_shown(value) for value in values] for name, values in spec.axes.items()}
    for name, values in shown.items():
        for value in values:
            if values.count(value) > 1:
                raise ValueError(f"{name}: {value} is given twice")


def _shown(value: Value) -> str | float:
    """A value of an axis as the tables have it."""
    return value if isinstance(value, str) else float(value)


def _check_cells(spec: Spec, folder: Path) -> None:
    """Everything that cells are made of, each thing once: a typing error should not be found an hour into a sweep."""
    for workload, arrivals in product(spec.workloads, _arrivals(spec)):
        try:
            check_source(_source(spec, workload, folder), arrivals)
        except ValueError as error:
            raise ValueError(f"workload {workload!r}: {error}") from None
    for words, coordinates in _settings(spec, folder):
        try:
            options = parse_words(words)
            load_policies(options)
            gateway(options)
            engine_settings(load_profile(options["profile"]), options)
        except ValueError as error:
            raise ValueError(f"{', '.join(f'{name} {value}' for name, value in coordinates)}: {error}") from None


def _settings(spec: Spec, folder: Path) -> Iterator[tuple[tuple[str, ...], list[tuple[str, str | float]]]]:
    """Different options of the cells, with the coordinates that they come from."""
    seen = set()
    for cell in cells_of(msgspec.structs.replace(spec, seeds=1), folder):
        if cell.words not in seen:
            seen.add(cell.words)
            yield cell.words, [each for each in cell.coordinates if each[0] not in ("workload", "arrivals")]
