"""The design matrix of a form: what each coefficient counts in each sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sim.fitting.forms import AFTER_LAUNCH, IDLE_START, StepForm
from sim.fitting.linear import rises
from sim.fitting.samples import Load, Sample
from sim.fitting.windows import launches_of, window_of
from sim.step_cost import hit_share, padded_counts


class Design:
    """Samples as linear functions of a form's coefficients, as far as they are linear.

    Two maxima bend them: attention of a chunk is bound by arithmetic or by reading the cache, and a step that no graph
    holds ends no earlier than its launch. Which side a step is on follows from an earlier fit.

    Parameters
    ----------
    form : StepForm
    samples : sequence of Sample
    """

    def __init__(self, form: StepForm, samples: Sequence[Sample]) -> None:
        loads = [(index, load, each.asynchronous) for index, each in enumerate(samples) for load in each.loads]
        padded = padded_counts(form.capture_sizes, max(load.num_tokens for _, load, _ in loads) + 1)
        self._form = form
        self._num_samples = len(samples)
        self._sample_of = np.array([index for index, _, _ in loads])
        self._rows = np.array([_row(form, load, padded[load.num_tokens], is_async) for _, load, is_async in loads])
        self._is_first = np.array([sample.is_first for sample in samples], dtype=float)
        self._first_row: list[int] = np.cumsum([0, *(len(sample.loads) for sample in samples)]).tolist()
        launches = [[_launch(form, load) for load in each.loads] if each.asynchronous else [] for each in samples]
        numbered = enumerate(zip(samples, launches, strict=True))
        self._launched = [
            (index, sample, each)
            for index, (sample, each) in numbered
            if (any(sample.launches) if form.has_launches else any(each))
        ]
        chunks = [(row, *chunk) for row, (_, load, _) in enumerate(loads) for chunk in load.prefills]
        self._chunk_of, new, computed = np.array(chunks, dtype=np.int64).reshape(-1, 3).T
        self._pairs = new * computed + new * (new + 1) / 2
        self._read = computed + new

    def matrix(self, values: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """Matrix and constant part of the samples.

        Parameters
        ----------
        values : mapping of str to float
            Coefficients of an earlier fit; empty: all chunks bound by arithmetic, no step by its launch.

        Returns
        -------
        matrix : (num_samples, num_coefficients) float
        constant : (num_samples,) float, seconds
        """
        rows = self._with_attention(values)
        constant = np.zeros(self._num_samples)
        idle_start = self._form.names.index(IDLE_START)
        matrix = np.zeros((self._num_samples, rows.shape[1]))
        np.add.at(matrix, self._sample_of, rows)
        matrix[:, idle_start] = self._is_first
        if values:
            seconds = rows @ np.array([values[name] for name in self._form.names])
            for index, sample, launches in self._launched:
                begin = self._first_row[index]
                each = seconds[begin : begin + len(sample.loads)].tolist()
                per_decode = self._form.launch_seconds_per_decode
                if self._form.has_launches:
                    after = [values[AFTER_LAUNCH] + per_decode * load.num_decodes for load in sample.loads]
                    launches = launches_of(sample, each, after)
                window = window_of(sample, each, launches, values[IDLE_START])
                matrix[index] = rows[[begin + step for step in window.steps]].sum(axis=0)
                matrix[index, idle_start] = window.has_idle_start
                constant[index] = window.launch_seconds
                if self._form.has_launches:
                    matrix[index, self._form.names.index(AFTER_LAUNCH)] = len(window.launched)
                    constant[index] -= values[AFTER_LAUNCH] * len(window.launched)
        return matrix, constant

    def _with_attention(self, values: Mapping[str, float]) -> np.ndarray:
        """Rows of the steps with the columns of pairs and of context filled in."""
        names = self._form.names
        pair, reading = "seconds_per_attention_pair", f"decode_context[{len(self._form.decode_context) - 1}]"
        is_compute = values.get(pair, 1.0) * self._pairs >= values.get(reading, 0.0) * self._read
        rows = self._rows.copy()
        np.add.at(rows[:, names.index(pair)], self._chunk_of[is_compute], self._pairs[is_compute])
        np.add.at(rows[:, names.index(reading)], self._chunk_of[~is_compute], self._read[~is_compute])
        return rows


def _launch(form: StepForm, load: Load) -> float:
    return form.launch_seconds if load.prefills and load.num_tokens > form.num_graph_tokens else 0.0


def _row(form: StepForm, load: Load, num_padded: int, is_async: bool) -> list[float]:
    """A step's row, in the order of `StepForm.names`, without the attention of its chunks."""
    cheap = _num_cheap_tokens(form, load)
    return [
        1.0,
        *rises(num_padded, form.dense),
        *rises(load.num_decodes, form.decode_batch),
        *_hats(load.num_decodes, form.decode_context, load.num_context_tokens - cheap),
        *_hats(load.num_decodes, form.repeated_context, cheap),
        0.0,
        *((float(len(load.prefills)),) if form.per_prefill else ()),
        *((float(bool(load.prefills)),) if form.per_mixed_step else ()),
        *((0.0,) if form.has_launches else ()),
        0.0 if is_async else 1.0,
        0.0 if is_async else float(load.num_decodes),
        *(0.0 if is_async else _num_charged(name, load) for name in form.synchronous),
        0.0,
    ]


def _num_charged(name: str, load: Load) -> float:
    """What a coefficient of `StepForm.synchronous` counts in a step."""
    if not load.prefills:
        return 0.0
    counts = {
        "synchronous_seconds_per_mixed_step": 1,
        "synchronous_seconds_per_mixed_decode": load.num_decodes,
        "synchronous_seconds_per_prefill": len(load.prefills),
        "synchronous_seconds_per_prefill_token": sum(new for new, _ in load.prefills),
    }
    return float(counts[name])


def _num_cheap_tokens(form: StepForm, load: Load) -> float:
    """Repeated reads that find their token in the GPU's cache."""
    if not form.repeated_context:
        return 0.0
    share = hit_share(load.sharing, load.num_decodes, form.num_resident_tokens, form.num_parallel_calls)
    return load.sharing.num_repeated_tokens * share


def _hats(count: float, knots: Sequence[int], amount: float) -> list[float]:
    """`amount` divided between the two knots around `count`, as a piecewise-linear curve weighs them."""
    if not knots:
        return []
    weights = np.interp(count, knots, np.arange(len(knots)))
    left = min(int(weights), max(len(knots) - 2, 0))
    row = [0.0] * len(knots)
    row[left] = amount * (1 - (weights - left))
    if len(knots) > 1:
        row[left + 1] = amount * (weights - left)
    return row
