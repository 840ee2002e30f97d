"""Everything but the engines themselves works on a machine without vLLM."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_driver_and_the_fake_engine_need_neither_vllm_nor_torch():
    """`None` in `sys.modules` makes an import fail, as on a machine without them."""
    script = (
        "import sys\n"
        "for name in ('vllm', 'torch'): sys.modules[name] = None\n"
        "import realexec.driver, realexec.run, realexec.fake, realexec.call_metadata\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
