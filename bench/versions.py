"""What differs between the native scheduler and the installed vLLM, counted over random cases.

    DOVETAIL_UNTESTED_VLLM=1 python bench/versions.py [--cases 300] [--seed 0]

Each case counts once, by the first thing that differs in it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import fields

from sim.lockstep.compare import Difference, compare
from sim.lockstep.draw import draw_case
from sim.vllm_version import require_vllm


def kind(difference: Difference) -> str:
    """Names of the fields that differ."""
    reference, native = difference.reference, difference.native
    if isinstance(native, str):
        return f"native raised {native}"
    names = [field.name for field in fields(reference) if getattr(reference, field.name) != getattr(native, field.name)]
    if names == ["finished"]:
        columns = ("request", "cached tokens", "preemptions")
        rows = zip(reference.finished, native.finished, strict=False)
        found = {columns[place] for mine, other in rows for place in range(3) if mine[place] != other[place]}
        names = sorted(found) or ["finished"]
    return ", ".join(names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    found: Counter[str] = Counter()
    for seed in range(arguments.seed, arguments.seed + arguments.cases):
        difference = compare(draw_case(seed))
        found[kind(difference) if difference else "no difference"] += 1
        if difference and found[kind(difference)] == 1:
            print(f"first case with {kind(difference)}: seed {seed}", flush=True)
    print(f"vllm {require_vllm()}, {arguments.cases} cases from seed {arguments.seed}, by the first difference:")
    for name, count in found.most_common():
        print(f"{count:6d}  {name}")


if __name__ == "__main__":
    main()
