"""From the options of `dovetail measure` to real engines that are not started."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from dovetail.options import engines_option, given_limits, order_option, together
from dovetail.setting import engine_settings
from traces.wording import counted

if TYPE_CHECKING:
    from policies.load import LoadedPolicy
    from realexec.http_engine import HttpEngine
    from realexec.interface import EngineBackend
    from realexec.vllm_engine import VllmEngine, VllmOptions
    from traces.workload import Workload

#: Engines that are started here.
device_options = together(
    click.option(
        "--device",
        type=click.Choice(["gpu", "virtual"]),
        default="gpu",
        show_default=True,
        help="virtual: vLLM as it is, on a device that only waits the step times of --profile.",
    ),
    click.option(
        "--profile",
        default="h100-llama-13b",
        show_default=True,
        help="Of the virtual device or of simulated engines: a name or a file.",
    ),
    click.option(
        "--model",
        help="Hugging Face name or folder, or a built-in shape.  [default: llama-13b; the profile's; what is served]",
    ),
    click.option("--dtype", default="float16", show_default=True),
    click.option(
        "--load-format",
        default="dummy",
        show_default=True,
        help="dummy: random weights, nothing is downloaded; auto: the model's.",
    ),
    click.option(
        "--tensor-parallel-size", type=click.IntRange(1), default=1, show_default=True, help="GPUs of one engine."
    ),
    click.option("--gpu-memory-utilization", type=float, default=0.9, show_default=True),
)

backend_options = together(
    engines_option,
    click.option(
        "--endpoint",
        "endpoints",
        multiple=True,
        metavar="URL",
        help="An engine that a server of vLLM's API already runs; once for each.",
    ),
    click.option(
        "--record-dir",
        "record_dirs",
        multiple=True,
        type=click.Path(path_type=Path),
        help="Where the server's scheduler records steps; once for each --endpoint, in their order, or not at all.",
    ),
    device_options,
    order_option,
)

#: Options that make no sense of an engine of some kind, by their parameter names.
_GPU_ONLY = ("dtype", "load_format", "tensor_parallel_size", "gpu_memory_utilization")
_FOREIGN = {
    "--endpoint": ("num_engines", "device", "profile", "order", *_GPU_ONLY),
    "--device virtual": ("record_dirs", *_GPU_ONLY),
    "--device gpu": ("record_dirs", "profile"),
    "--simulate": ("device", "model", *_GPU_ONLY),
}


def check_kind(kind: str) -> None:
    """Refuse options that say nothing about the kind of engine that is asked for.

    Parameters
    ----------
    kind : str
        The option that asks for it, as `kind_of` has it, or "--simulate".

    Raises
    ------
    click.UsageError
        The message names option and kind.
    """
    context = click.get_current_context()
    for name in _FOREIGN[kind]:
        if context.get_parameter_source(name) not in (None, ParameterSource.DEFAULT):  # None: has no such option
            option = next(each for each in context.command.params if each.name == name)
            raise click.UsageError(f"{option.opts[0]} does not go with {kind}", context)


def require_installed(options: dict[str, Any]) -> None:
    """Refuse a kind of engine whose package is missing.

    Raises
    ------
    ValueError
        The message names the extra to install.
    """
    package, extra = ("aiohttp", "http") if options["endpoints"] else ("vllm", "vllm")
    if find_spec(package) is None:
        raise ValueError(f"{kind_of(options)} needs {package}, which is not here: pip install 'dovetail[{extra}]'")


def check_modelled_fit(options: dict[str, Any], workload: Workload, *, source: str) -> None:
    """Refuse what the virtual device's limits rule out; the limits of other engines are known once they run.

    Raises
    ------
    ValueError
        When the profile is of no vLLM engine, a limit is out of range, or a call can never fit.
    """
    if options["endpoints"] or options["device"] != "virtual":
        return
    _of_profile(options["profile"], options["model"])
    from sim.profile import load_profile
    from traces.fit import check_fit

    check_fit(workload, engine_settings(load_profile(options["profile"]), options), source=source)


def kind_of(options: dict[str, Any]) -> str:
    """The option that says where engines are: "--endpoint", "--device gpu" or "--device virtual"."""
    return "--endpoint" if options["endpoints"] else f"--device {options['device']}"


def make_backends(options: dict[str, Any], policies: Sequence[LoadedPolicy], folder: Path) -> Sequence[EngineBackend]:
    """Engines as `backend_options` and `limit_options` describe them.

    Parameters
    ----------
    options : dict
        Parsed.
    policies : sequence of LoadedPolicy
        The first one's order is the engines', where it holds there.
    folder : Path
        For the engines' logs and records.

    Raises
    ------
    ValueError
        When a value is out of range or does not fit the others.
    EngineFailure
        When they need more GPUs than are visible.
    """
    if options["endpoints"]:
        return _endpoints(options)
    return make_vllm_engines(options, policies, folder)


def _endpoints(options: dict[str, Any]) -> list[HttpEngine]:
    from realexec.endpoint_info import LIMITS
    from realexec.http_engine import HttpEngine

    stated = given_limits(options)
    for name in stated.keys() - set(LIMITS):
        raise ValueError(f"--{name.replace('_', '-')} is the server's to say, not --endpoint's")
    urls, folders = options["endpoints"], options["record_dirs"] or [None] * len(options["endpoints"])
    if len(folders) != len(urls):
        given, wanted = counted(len(folders), "time"), counted(len(urls), "time")
        raise ValueError(f"--record-dir was given {given}, --endpoint {wanted}: one for each")
    return [
        HttpEngine(index, url, model=options["model"], stated=stated, record_dir=folder)
        for index, (url, folder) in enumerate(zip(urls, folders, strict=True))
    ]


def make_vllm_engines(options: dict[str, Any], policies: Sequence[LoadedPolicy], folder: Path) -> list[VllmEngine]:
    """Engines of this process, as in `make_backends`.

    Raises
    ------
    ValueError
        As there.
    EngineFailure
        When they need more GPUs than are visible.
    """
    from realexec.gpus import require_gpus
    from realexec.vllm_engine import VllmEngine

    built = _vllm_options(options, policies[0])
    size = built.tensor_parallel_size if built.device == "gpu" else 0
    if size:
        require_gpus(size * options["num_engines"])
    return [
        VllmEngine(index, built, folder / f"engine-{index}", gpu_ids=range(index * size, (index + 1) * size))
        for index in range(options["num_engines"])
    ]


def _vllm_options(options: dict[str, Any], order: LoadedPolicy) -> VllmOptions:
    from realexec.vllm_engine import VllmOptions

    values = {name: options[name] for name in ("device", "profile", "order", *_GPU_ONLY)}
    if options["device"] == "virtual":
        values |= _of_profile(options["profile"], options["model"])
    elif options["model"]:
        values["model"] = options["model"]
    if options["order"] == "engine":
        values["policy"] = f"{type(order.policy).__module__}:{type(order.policy).__qualname__}"
        values["policy_parameters"] = order.parameters
    return VllmOptions(**values, limits=given_limits(options))


def _of_profile(name: str, model: str | None) -> dict[str, Any]:
    """Model and GPUs of the engine on which a profile was measured."""
    from realexec.models import list_models
    from sim.profile import load_profile

    profile = load_profile(name)
    if profile.scheduler != "vllm":
        raise ValueError(f"profile {name!r} is of another engine, {profile.scheduler!r}; the virtual device runs vLLM")
    shape = model or profile.model.name.lower()
    if model is None and shape not in list_models():
        raise ValueError(f"profile {name!r}: its model {profile.model.name!r} is no built-in shape; give --model")
    return {"model": shape, "tensor_parallel_size": profile.tensor_parallel}
