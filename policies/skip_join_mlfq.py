"""Skip-join multi-level feedback queue, as far as an order before the engine can go."""

from __future__ import annotations

from policies.interface import CallView, Policy


class SkipJoinMlfq(Policy):
    """Calls of the highest queue first; a call joins the first queue whose quantum its prefill fits.

    Parameters
    ----------
    base_tokens : int
        Quantum of the highest queue, prompt tokens; each further queue has twice that of the one above.
    num_queues : int
        The last one takes every longer prompt.
    promote_after : float, seconds, optional
        A call that has waited so long joins the highest queue; never, by default.

    Raises
    ------
    ValueError
        When a value is not positive.

    Notes
    -----
    FastServe (Wu et al., arXiv 2305.05920, 2023, its skip-join queue): the time of a call's first iteration is known
    from its prompt, so it need not sink through queues whose quantum that alone exceeds. Quanta are prompt tokens here.

    Left out: everything that needs control of single iterations, which is most of FastServe. A call that has generated
    for its quantum is not demoted or preempted, and no KV memory is swapped, because what an engine runs stays in its
    batch. What is left is the order in which calls start: by class of prompt length, first come first served in each.
    """

    def __init__(self, base_tokens: int = 128, num_queues: int = 6, promote_after: float | None = None) -> None:
        for name, value in (("base_tokens", base_tokens), ("num_queues", num_queues), ("promote_after", promote_after)):
            if value is not None and not value > 0:
                raise ValueError(f"{name}={value} must be positive")
        self._quanta = [base_tokens << queue for queue in range(num_queues - 1)]
        self._promote_after = promote_after
        self.reranks = promote_after is not None

    def rank(self, call: CallView, now: float) -> int:
        # `now` is past the submission only when a waiting call is ranked again.
        if self._promote_after is not None and now - call.submitted_at >= self._promote_after:
            return 0
        fits = (queue for queue, quantum in enumerate(self._quanta) if call.num_prompt_tokens <= quantum)
        return next(fits, len(self._quanta))
