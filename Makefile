# `make demo` and `make test` set up their own environment in .venv, once.

STAMP := .venv/installed

.PHONY: demo test clean

demo: $(STAMP)
	.venv/bin/dovetail demo --out demo --overwrite

test: $(STAMP)
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/pytest -n 2

$(STAMP): pyproject.toml .ci/environment
	.ci/environment .venv
	touch $(STAMP)

clean:
	rm -rf .venv demo
