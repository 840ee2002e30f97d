"""Dynamo's agentic trace format: rows as its documentation defines them, and the way there and back."""

import json
from pathlib import Path

import numpy as np
import pytest

from traces.arrivals import uniform_arrivals
from traces.describe import shared_prefix_tokens
from traces.generators.agents import multi_agent_rounds
from traces.generators.chat import ChatShape, chat_sessions
from traces.generators.lengths import LogNormal
from traces.generators.mixture import mix
from traces.importers.dynamo import import_dynamo
from traces.importers.dynamo_export import export_dynamo
from traces.workload import Application, Workload, num_calls, num_prompt_tokens


def write(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row(request_id: str, **more: object) -> dict[str, object]:
    return {"request_id": request_id, "input_length": 6, "output_length": 3, "hash_ids": [0, 1]} | more


def lengths(application: Application) -> list[tuple[int, int]]:
    outputs = {call.id: call.output_tokens for call in application.calls}
    return [(num_prompt_tokens(call, outputs), call.output_tokens) for call in application.calls]


def some_workload() -> Workload:
    shape = ChatShape(3, LogNormal(40, 1.0, 200), LogNormal(80, 0.5, 200), think_time=5.0, system_tokens=64)
    chats = chat_sessions(uniform_arrivals(1.0, 3), shape, np.random.default_rng(0))
    return mix({"chat": chats, "agents": multi_agent_rounds(np.array([0.5]))})


def test_a_row_starts_its_delay_and_tool_wait_after_what_it_waits_for(tmp_path):
    path = write(
        tmp_path / "d.jsonl",
        row("r1", timestamp=100.0),
        row("r2", timestamp=130.0, delay=10.0, tool_wait_ms=6.0, wait_for=["r1"]),
    )

    application = import_dynamo(path, block_size=4).applications[0]

    assert application.arrival == pytest.approx(0.1)
    assert application.calls[1].deps == ("r1",)
    assert application.calls[1].delay == pytest.approx(0.016)


def test_rows_of_one_session_are_one_application_and_start_at_their_timestamps(tmp_path):
    path = write(
        tmp_path / "d.jsonl",
        row("r1", session_id="s", timestamp=1000),
        row("r2", timestamp=0),
        row("r3", session_id="s", timestamp=1500),
    )

    workload = import_dynamo(path, block_size=4, time_scale=2.0)

    assert [(app.id, app.arrival) for app in workload.applications] == [("s", 2.0), ("r2", 0.0)]
    assert [call.delay for call in workload.applications[0].calls] == [0.0, 1.0]


def test_aliases_of_fields_are_read(tmp_path):
    alias = {"request_id": "r", "input_tokens": 6, "output_tokens": 3, "hash_ids": [0, 1], "created_time": 50}

    application = import_dynamo(write(tmp_path / "d.jsonl", alias), block_size=4).applications[0]

    assert (lengths(application), application.arrival) == ([(6, 3)], 0.05)


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([row("r"), row("r")], "line 2: request_id='r' must be unique"),
        ([row("r", wait_for=["q"])], "request 'r': wait_for='q' must be a request of the file"),
        ([row("r", hash_ids=[1, 2, 3])], "line 1: hash_ids of 3 blocks must not exceed input_length=6"),
        ([row("r", output_length=None)], "line 1: output_length is missing"),
        ([row("r", tool_wait_ms=-1)], "line 1: tool_wait_ms=-1 must be a number of at least 0"),
        ([row("a", wait_for=["b"]), row("b", wait_for=["a"])], "must not form a cycle"),
    ],
)
def test_a_malformed_row_is_refused(tmp_path, rows, fault):
    with pytest.raises(ValueError, match=r"d\.jsonl") as refusal:
        import_dynamo(write(tmp_path / "d.jsonl", *rows), block_size=4)
    assert fault in str(refusal.value)


def test_graph_lengths_and_times_survive_export_and_import(tmp_path):
    workload = some_workload()
    export_dynamo(workload, tmp_path / "d.jsonl", block_size=16)

    back = import_dynamo(tmp_path / "d.jsonl", block_size=16)

    for before, after in zip(workload.applications, back.applications, strict=True):
        assert (after.id, lengths(after)) == (before.id, lengths(before))
        assert after.arrival == pytest.approx(before.arrival)
        for old, new in zip(before.calls, after.calls, strict=True):
            assert (new.id, new.deps) == (old.id, old.deps)
            assert new.delay == pytest.approx(old.delay)


def test_whole_shared_blocks_survive_and_parts_of_blocks_do_not(tmp_path):
    workload = some_workload()
    export_dynamo(workload, tmp_path / "fine.jsonl", block_size=1)
    export_dynamo(workload, tmp_path / "coarse.jsonl", block_size=16)

    fine = import_dynamo(tmp_path / "fine.jsonl", block_size=1)
    coarse = import_dynamo(tmp_path / "coarse.jsonl", block_size=16)

    # With blocks of one token nothing is lost but that an output may already be there when a later prompt quotes it.
    assert shared_prefix_tokens(fine) == prompt_only_shared_tokens(workload) < shared_prefix_tokens(workload)
    # With blocks of 16, each call loses at most what stands in a block begun.
    lost = shared_prefix_tokens(fine) - shared_prefix_tokens(coarse)
    assert 0 < lost <= 15 * num_calls(workload)


def prompt_only_shared_tokens(workload: Workload) -> int:
    """Leading prompt tokens that an earlier prompt (not its output) also has, token by token."""
    seen: set[tuple[object, ...]] = set()
    shared = 0
    for app in workload.applications:
        outputs = {call.id: call.output_tokens for call in app.calls}
        for call in app.calls:
            tokens: list[object] = []
            for part in call.prompt:
                name = part.segment or (app.id, part.output_of)
                tokens += [(name, i) for i in range(part.tokens or outputs[part.output_of or ""])]
            beginnings = [tuple(tokens[:n]) for n in range(1, len(tokens) + 1)]
            shared += sum(beginning in seen for beginning in beginnings)
            seen.update(beginnings)
    return shared


def test_a_second_export_is_byte_identical(tmp_path):
    export_dynamo(some_workload(), tmp_path / "first.jsonl", block_size=16)

    export_dynamo(import_dynamo(tmp_path / "first.jsonl", block_size=16), tmp_path / "second.jsonl", block_size=16)

    assert (tmp_path / "first.jsonl").read_bytes() == (tmp_path / "second.jsonl").read_bytes()
