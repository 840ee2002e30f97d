"""The GPUs of this host, asked for before an engine starts on them."""

from __future__ import annotations

import os
import warnings

from realexec.interface import EngineFailure

_HINT = "--device virtual needs none"


def require_gpus(num_needed: int) -> None:
    """Check that so many GPUs are visible to this process.

    Raises
    ------
    EngineFailure
        When there are fewer; one line that says why, as far as it can be told.
    """
    with warnings.catch_warnings():  # of a driver that is missing or too old: the count says it
        warnings.simplefilter("ignore")
        import torch

        num_visible = torch.cuda.device_count()
    if num_visible >= num_needed:
        return
    if torch.version.cuda is None and torch.version.hip is None:
        raise EngineFailure(f"PyTorch {torch.__version__} is built without CUDA, so no GPU can be used; {_HINT}")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    where = "" if visible is None else f" (CUDA_VISIBLE_DEVICES={visible})"
    if num_visible == 0:
        raise EngineFailure(f"no CUDA device is visible{where}; {_HINT}")
    raise EngineFailure(f"{num_needed} GPUs are needed, visible are {num_visible}{where}")
