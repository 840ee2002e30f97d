"""What the rows of the benchmark notes come to, worked out without a simulator: `python -m sim.fitting.notes_rows`.

Each row is written as rounds of equal calls: a round fills its prompts in one step, then all its calls decode together.
These are the semantics under which the published rows and the fitted profiles agree; a row marked "fitted" set a
constant, every other is a prediction.
"""

from __future__ import annotations

from sim.fitting.parrot_engines import ENGINES, NETWORK_SECONDS, Engine
from sim.profile import Profile, load_profile

PARROT, VLLM, HF = ENGINES
CHAIN_PROMPTS = (780, *19 * (700,))  # 670 + previous output (first: 100) + 10 tokens; 20 output tokens
MAP_PROMPT, REDUCE_PROMPT = 1020, 770  # 10 + 1000 + 10 tokens; 10 + 15 x 50 + 10; 50 output tokens
TWO_BY_TWO = (*7 * (2,), 1)


def round_seconds(profile: Profile, engine: Engine, num_calls: int, prompt: int, output: int) -> float:
    """`num_calls` equal calls that start and end together."""
    cost = profile.step_cost(async_scheduling=False)
    num_decodes = output - engine.first_token_in_prefill
    first, growth = cost.decode_run(num_calls, num_calls * (prompt + 1))
    fill = cost.step(0, 0, num_calls * [(prompt, 0)])
    return fill + num_decodes * first + growth * num_decodes * (num_decodes - 1) / 2


def chain_seconds(profile: Profile, engine: Engine, num_round_trips: int) -> float:
    """Twenty calls in sequence, and the client's latency as often as it is paid."""
    calls = sum(round_seconds(profile, engine, 1, prompt, 20) for prompt in CHAIN_PROMPTS)
    return calls + num_round_trips * NETWORK_SECONDS


def map_reduce_seconds(
    profile: Profile, engine: Engine, rounds: tuple[int, ...], num_round_trips: int, release: float = 0.0
) -> float:
    """Fifteen maps in rounds of the given sizes, then the reduce call; `release` passes between two rounds of maps."""
    maps = sum(round_seconds(profile, engine, num_calls, MAP_PROMPT, 50) for num_calls in rounds)
    reduce = round_seconds(profile, engine, 1, REDUCE_PROMPT, 50)
    return maps + reduce + num_round_trips * NETWORK_SECONDS + (len(rounds) - 1) * release


def rows() -> list[tuple[str, float, float, str]]:
    """Rows as (system and semantics, published seconds, predicted seconds, "predicted" or "fitted")."""
    made = []
    published = {"13b": (21.4, 15.65, 16.05, 11.49), "7b": (17.37, 11.28, 11.27, 6.83)}
    for size, (hf, vllm, baseline, main) in published.items():
        profile = {e.suffix: load_profile(f"a100-llama-{size}-{e.suffix}") for e in ENGINES}
        for label, value, engine, trips in (
            ("FastChat (w/o vLLM), 20 round trips", hf, HF, 20),
            ("FastChat (w/ vLLM), 20 round trips", vllm, VLLM, 20),
            ("Parrot baseline, 20 round trips", baseline, PARROT, 20),
            ("Parrot main, 1 round trip", main, PARROT, 1),
        ):
            predicted = chain_seconds(profile[engine.suffix], engine, trips)
            made.append((f"chain {size.upper()}: {label}", value, predicted, "predicted"))
    profile = {e.suffix: load_profile(f"a100-llama-13b-{e.suffix}") for e in ENGINES}
    release = profile["parrot"].overheads.release
    one_by_one = 15 * (1,)
    for label, value, engine, rounds, trips, gap, kind in (
        ("LangChain + HF, one at a time, 16 round trips", 31.82, HF, one_by_one, 16, 0.0, "predicted"),
        ("LangChain + HF, one at a time, 2 round trips", 31.82, HF, one_by_one, 2, 0.0, "predicted"),
        ("LangChain + vLLM, 2 at a time, 2 round trips", 15.29, VLLM, TWO_BY_TWO, 2, 0.0, "predicted"),
        ("LangChain + vLLM, one at a time, 16 round trips", 23.57, VLLM, one_by_one, 16, 0.0, "predicted"),
        ("Parrot + HF, one at a time, 1 round trip, release", 32.66, HF, one_by_one, 1, release, "predicted"),
        ("Parrot + HF, one at a time, 1 round trip", 32.66, HF, one_by_one, 1, 0.0, "predicted"),
        ("Parrot + vLLM, 2 at a time, 1 round trip, release", 13.56, VLLM, TWO_BY_TWO, 1, release, "predicted"),
        ("Parrot + vLLM, 2 at a time, 1 round trip", 13.56, VLLM, TWO_BY_TWO, 1, 0.0, "predicted"),
        ("Parrot baseline, 2 at a time, 1 round trip, release", 14.09, PARROT, TWO_BY_TWO, 1, release, "fitted"),
        ("Parrot baseline, 2 at a time, 1 round trip", 14.09, PARROT, TWO_BY_TWO, 1, 0.0, "predicted"),
        ("Parrot main, all 15 maps at once, 1 round trip", 5.35, PARROT, (15,), 1, release, "predicted"),
        ("Parrot main, maps 8 and 7, 1 round trip, release", 5.35, PARROT, (8, 7), 1, release, "predicted"),
    ):
        predicted = map_reduce_seconds(profile[engine.suffix], engine, rounds, trips, gap)
        made.append((f"map-reduce 13B: {label}", value, predicted, kind))
    return made


def table() -> str:
    """The rows as text: label, published seconds, predicted seconds, error, kind."""
    return "\n".join(
        f"{label:68s} {published:6.2f} {predicted:6.2f} {predicted / published - 1:+7.1%}  {kind}"
        for label, published, predicted, kind in rows()
    )


if __name__ == "__main__":
    print(table())
