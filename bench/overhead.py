"""What Dovetail costs a run: 200 calls at once through `realexec`, and the same calls straight to AsyncLLM.

    python bench/overhead.py --device gpu [--repeats 5]
    python bench/overhead.py --device virtual

One engine serves both, in turn, with its prefix cache emptied before each; which way goes first alternates. Makespan:
from the first call's hand-over to the last one's end, on one clock. Needs vLLM.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import numpy as np

from analysis.metrics import makespan
from policies.fifo import Fifo
from realexec.interface import EngineRequest
from realexec.kept import KeptEngine
from realexec.run import RealCluster, measure
from realexec.token_ids import TokenIds
from realexec.vllm_engine import VllmEngine, VllmOptions
from sim.vllm_version import require_vllm
from traces.generators.lengths import fixed_lengths
from traces.generators.single import single_calls
from traces.workload import Workload

NUM_CALLS, PROMPT, OUTPUT = 200, 512, 128


async def through_dovetail(workload: Workload, engine: KeptEngine) -> float:
    """Makespan of the calls under the coordinator and FIFO, seconds."""
    records = await measure(workload, Fifo(), RealCluster([engine]))
    if not records.manifest["complete"]:
        raise SystemExit(f"calls failed: {records.manifest['faults']}")
    return makespan(records.calls)


async def straight(requests: list[EngineRequest], engine: KeptEngine, vllm_engine: VllmEngine) -> float:
    """Makespan of the same requests, each a task on `AsyncLLM.generate`, seconds."""
    from vllm.inputs import tokens_input

    from realexec.vllm_start import sampling_params

    await engine.start()  # it is up: empties its prefix cache, as a run does
    llm = vllm_engine.llm

    async def one(request: EngineRequest) -> None:
        prompt = tokens_input(request.prompt_token_ids)
        async for _ in llm.generate(prompt, sampling_params(request), request.request_id):
            pass

    started_at = time.perf_counter()
    await asyncio.gather(*map(one, requests))
    return time.perf_counter() - started_at


async def alternate(device: str, repeats: int, folder: Path) -> list[tuple[float, float]]:
    """Makespans through Dovetail and straight, a pair a repeat."""
    workload = single_calls(fixed_lengths(PROMPT, OUTPUT, NUM_CALLS), np.zeros(NUM_CALLS))
    calls = [call for application in workload.applications for call in application.calls]
    prompts = [TokenIds().of_prompt(call, {}) for call in calls]
    options = VllmOptions(device="virtual") if device == "virtual" else VllmOptions()
    vllm_engine = VllmEngine(0, options, folder)
    engine = KeptEngine(vllm_engine)
    pairs = []
    try:
        await through_dovetail(workload, engine)  # the first run of an engine is slower
        for repeat in range(repeats):
            requests = [EngineRequest(f"r{repeat}-{n}", prompt, OUTPUT) for n, prompt in enumerate(prompts)]
            if repeat % 2:
                alone = await straight(requests, engine, vllm_engine)
                pairs.append((await through_dovetail(workload, engine), alone))
            else:
                dovetail = await through_dovetail(workload, engine)
                pairs.append((dovetail, await straight(requests, engine, vllm_engine)))
            print(f"{repeat + 1:6d} {pairs[-1][0]:12.3f} s {pairs[-1][1]:12.3f} s", flush=True)
    finally:
        await engine.release()
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["gpu", "virtual"], default="gpu")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{NUM_CALLS} calls of {PROMPT}/{OUTPUT} tokens at once, device {arguments.device}, vllm {require_vllm()}")
    print(f"{'repeat':>6s} {'Dovetail':>14s} {'AsyncLLM':>14s}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        pairs = np.array(asyncio.run(alternate(arguments.device, arguments.repeats, Path(folder))))
    means, spread = pairs.mean(axis=0), pairs.std(axis=0, ddof=1)
    print(f"  mean {means[0]:12.3f} s {means[1]:12.3f} s   overhead {means[0] / means[1] - 1.0:+.2%}")
    print(f"spread {spread[0]:12.3f} s {spread[1]:12.3f} s   (standard deviation)")


if __name__ == "__main__":
    main()
