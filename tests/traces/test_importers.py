"""Importers: whole published traces where they are at hand, and small files for every rule."""

import gzip
import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from traces.describe import describe, shared_prefix_tokens
from traces.importers.azure import import_azure
from traces.importers.coding_agent import import_coding_agent
from traces.importers.lengths import COLUMN_PAIRS, import_lengths, read_lengths
from traces.importers.metagpt import import_metagpt
from traces.importers.mooncake import import_mooncake
from traces.importers.parrot_articles import article_chain, article_map_reduce, read_article_chunks
from traces.importers.parrot_assistants import import_copilot, read_assistants
from traces.workload import num_calls, num_prompt_tokens


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def json_lines(path: Path, limit: int | None = None) -> list[Any]:
    with gzip.open(path) as lines:
        return [json.loads(line) for line in islice(lines, limit)]


AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens"


def test_azure_rows_arrive_at_their_distance_from_the_first(tmp_path):
    path = write(tmp_path / "a.csv", AZURE, "2023-11-16 18:15:46.5000000,374,44", "2023-11-16 18:16:47.7500000,396,109")

    workload = import_azure(path, time_scale=2.0)

    assert [app.arrival for app in workload.applications] == [0.0, 2 * 61.25]
    assert [app.calls[0].output_tokens for app in workload.applications] == [44, 109]
    assert shared_prefix_tokens(workload) == 0


def test_azure_trace_has_the_published_size_and_means(data):
    workload = import_azure(data / "arrivals" / "azure_llm_2023_conv.csv.gz")

    summary = describe(workload)
    # 19,366 requests, input mean 1,155, output mean 211: Azure public data set, conversation trace of 2023.
    assert summary["num_calls"] == 19366
    assert round(summary["total_prompt_tokens"] / 19366) == 1155  # type: ignore[operator]
    assert round(summary["total_output_tokens"] / 19366) == 211  # type: ignore[operator]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("yesterday,5,5", "line 3: TIMESTAMP='yesterday' must be a date and time"),
        ("2023-11-16 18:15:46,-5,5", "line 3: ContextTokens='-5' must be an integer of at least 1"),
        ("2023-11-16 18:15:46,5,0", "line 3: GeneratedTokens='0' must be an integer of at least 1"),
        ("2023-11-16 18:15:46,5,5.5", "line 3: GeneratedTokens='5.5' must be an integer of at least 1"),
        ("2023-11-16 18:15:46,5", "line 3: row must have 3 fields"),
        ("2023-11-16 18:15:46,5,5,5", "line 3: row must have 3 fields"),
    ],
)
def test_a_malformed_azure_row_is_refused_by_line(tmp_path, row, fault):
    path = write(tmp_path / "a.csv", AZURE, "2023-11-16 18:15:46.5000000,374,44", row)

    with pytest.raises(ValueError, match="line 3") as refusal:
        import_azure(path)
    assert str(refusal.value).startswith(f"{path}: {fault}")


def test_a_table_without_a_column_is_refused_by_its_name(tmp_path):
    with pytest.raises(ValueError, match=r"a\.csv: column 'GeneratedTokens' is missing"):
        import_azure(write(tmp_path / "a.csv", "TIMESTAMP,ContextTokens", "2023-11-16 18:15:46,5"))


def test_a_trace_without_rows_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\.csv: no rows"):
        import_azure(write(tmp_path / "a.csv", AZURE))


@pytest.mark.parametrize("time_scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_scale_that_is_not_positive_and_finite_is_refused(tmp_path, time_scale):
    with pytest.raises(ValueError, match=r"time_scale=.* must be a positive finite number"):
        import_azure(tmp_path / "a.csv", time_scale=time_scale)


def mooncake_row(**changes: object) -> dict[str, object]:
    return {"timestamp": 1500, "input_length": 600, "output_length": 5, "hash_ids": [0, 1]} | changes


def test_mooncake_rows_share_the_blocks_of_equal_leading_ids(tmp_path):
    path = write(tmp_path / "m.jsonl", mooncake_row(), mooncake_row(hash_ids=[0, 2], timestamp=3000))

    workload = import_mooncake(path, time_scale=0.5)

    assert shared_prefix_tokens(workload) == 512
    assert [app.arrival for app in workload.applications] == [0.75, 1.5]
    assert [len(app.calls[0].prompt) for app in workload.applications] == [2, 2]


def test_mooncake_trace_shares_exactly_what_its_raw_ids_share(data):
    path = data / "arrivals" / "mooncake_conversation_trace.jsonl.gz"
    rows = json_lines(path)
    seen: set[tuple[int, ...]] = set()
    shared = 0
    for row in rows:
        # Ids of this trace are unique to what stands before them, so one id tells the whole beginning.
        known = next((i for i, block in enumerate(row["hash_ids"]) if block not in seen), len(row["hash_ids"]))
        shared += min(known * 512, row["input_length"])
        seen.update(row["hash_ids"])

    workload = import_mooncake(path)

    assert num_calls(workload) == len(rows) == 12031
    assert shared_prefix_tokens(workload) == shared
    for app, row in zip(workload.applications, rows, strict=True):
        assert num_prompt_tokens(app.calls[0], {}) == row["input_length"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"input_length": 0}, "line 2: input_length=0 must be an integer of at least 1"),
        ({"output_length": "5"}, "line 2: output_length='5' must be an integer"),
        ({"timestamp": -1}, "line 2: timestamp=-1 must be a number of at least 0"),
        ({"hash_ids": [0]}, "line 2: hash_ids=[0] must hold one id for each 512 of input_length=600 tokens"),
        ({"hash_ids": [0, "x"]}, "line 2: hash_ids[1] must be an integer"),
        ({"timestamp": 10**400}, "line 2: timestamp=1000"),
    ],
)
def test_a_malformed_mooncake_row_is_refused_by_line(tmp_path, changes, fault):
    path = write(tmp_path / "m.jsonl", mooncake_row(), mooncake_row(**changes))

    with pytest.raises(ValueError, match="line 2") as refusal:
        import_mooncake(path)
    assert str(refusal.value).startswith(f"{path}: {fault}")


def test_a_broken_json_line_is_refused_by_line(tmp_path):
    with pytest.raises(ValueError, match=r"m\.jsonl: line 2: not valid JSON"):
        import_mooncake(write(tmp_path / "m.jsonl", mooncake_row(), '{"timestamp": 1'))


def test_a_limit_reads_no_further(tmp_path):
    path = write(tmp_path / "m.jsonl", mooncake_row(), "{broken")

    assert num_calls(import_mooncake(path, limit=1)) == 1


def test_a_number_beyond_floating_point_is_refused_by_field(tmp_path):
    line = json.dumps(mooncake_row(timestamp=1)).replace('"timestamp": 1', '"timestamp": 1e999')

    with pytest.raises(ValueError, match=r"m\.jsonl: line 1: timestamp=inf must be a finite number"):
        import_mooncake(write(tmp_path / "m.jsonl", line))


@pytest.mark.parametrize("limit", [0, -1, 2.5])
def test_a_limit_that_is_not_a_positive_integer_is_refused(tmp_path, limit):
    with pytest.raises(ValueError, match=r"limit=.* must be a positive integer"):
        import_mooncake(write(tmp_path / "m.jsonl", mooncake_row()), limit=limit)


def agent_call(t: float, **changes: object) -> dict[str, object]:
    return {"t": t, "type": "n", "in": 130, "out": 7, "hash_ids": [1, 2], "api_time": 2.0} | changes


def session(*requests: dict[str, object]) -> dict[str, object]:
    return {"id": "s", "block_size": 64, "requests": list(requests)}


def test_a_turn_waits_for_the_turn_before_and_the_tool_run_between(tmp_path):
    path = write(tmp_path / "s.jsonl", session(agent_call(0.0), agent_call(10.0, think_time=7.5)))

    first, second = import_coding_agent(path).applications[0].calls

    assert (first.deps, first.delay) == ((), 0.0)
    assert (second.deps, second.delay) == (("turn0",), 7.5)


def test_a_pause_is_never_longer_than_the_recorded_gap(tmp_path):
    path = write(tmp_path / "s.jsonl", session(agent_call(0.0), agent_call(10.0, think_time=300.0)))

    assert import_coding_agent(path).applications[0].calls[1].delay == 8.0


def test_the_next_turn_waits_for_the_subagents_before_it(tmp_path):
    nested = {"type": "subagent", "t": 9.0, "duration_ms": 6000, "requests": [agent_call(1.0), agent_call(4.0)]}
    path = write(tmp_path / "s.jsonl", session(agent_call(0.0), nested, agent_call(11.5, think_time=9.5)))

    calls = {call.id: call for call in import_coding_agent(path).applications[0].calls}

    # Spawned at 9 - 6 = 3 s; its calls run from 4 to 6 and from 7 to 9 s.
    assert (calls["agent1.0"].deps, calls["agent1.0"].delay) == (("turn0",), 2.0)
    assert (calls["agent1.1"].deps, calls["agent1.1"].delay) == (("agent1.0",), 1.0)
    assert (calls["turn2"].deps, calls["turn2"].delay) == (("agent1.1",), 2.5)


def test_a_background_subagent_is_not_waited_for(tmp_path):
    nested = {"type": "subagent", "t": 3.0, "duration_ms": None, "requests": [agent_call(1.0)]}
    path = write(tmp_path / "s.jsonl", session(agent_call(0.0), nested, agent_call(4.0, think_time=2.0)))

    calls = {call.id: call for call in import_coding_agent(path).applications[0].calls}

    assert (calls["agent1.0"].deps, calls["agent1.0"].delay) == (("turn0",), 2.0)
    assert (calls["turn2"].deps, calls["turn2"].delay) == (("turn0",), 2.0)


def test_sessions_share_no_blocks_although_their_ids_are_the_same(tmp_path):
    path = write(tmp_path / "s.jsonl", session(agent_call(0.0)), session(agent_call(0.0)) | {"id": "other"})

    workload = import_coding_agent(path, np.array([0.0, 5.0]))

    assert shared_prefix_tokens(workload) == 0
    assert workload.applications[1].arrival == 5.0


def test_more_ids_than_the_prompt_has_blocks_are_refused(tmp_path):
    path = write(tmp_path / "s.jsonl", session(agent_call(0.0, hash_ids=[1, 2, 3, 4])))

    with pytest.raises(ValueError, match=r"line 1: session 's', call 'turn0': hash_ids of 4 blocks must not exceed"):
        import_coding_agent(path)


def test_coding_agent_sessions_keep_calls_subagents_and_lengths(data):
    workload = import_coding_agent(data / "agentic" / "coding_agent_sessions.jsonl.gz", limit=60)

    requests = [
        request
        for line in json_lines(data / "agentic" / "coding_agent_sessions.jsonl.gz", limit=60)
        for row in line["requests"]
        for request in row.get("requests", [row])
    ]
    calls = [call for app in workload.applications for call in app.calls]
    assert [num_prompt_tokens(call, {}) for call in calls] == [request["in"] for request in requests]
    assert [call.output_tokens for call in calls] == [max(1, request["out"]) for request in requests]
    assert {call.stage for call in calls} == {"turn", "subagent"}


def test_metagpt_stages_add_up_to_the_published_tokens(data):
    workload = import_metagpt(data / "parrot" / "metagpt_dag.csv", num_files=4, num_rounds=4)

    sums: dict[str, int] = {}
    for call in workload.applications[0].calls:
        sums[call.stage] = sums.get(call.stage, 0) + num_prompt_tokens(call, {}) + call.output_tokens
    # Published for 4 branches: 4,456 (four copies of the architect's call), 17,339, 21,096, 24,388.
    assert sums == {"architect": 4456 // 4, "programmer": 17339, "reviewer": 21096, "reviser": 24388}


def test_metagpt_shares_what_the_table_says_or_nothing(data):
    path = data / "parrot" / "metagpt_dag.csv"

    shared, apart = (import_metagpt(path, num_rounds=2, share_prefixes=share) for share in (True, False))

    assert shared_prefix_tokens(shared) == 7 * 3534
    assert shared_prefix_tokens(apart) == 0


@pytest.mark.parametrize("num_files", [0, 9])
def test_metagpt_has_between_one_and_eight_files(data, num_files):
    with pytest.raises(ValueError, match=f"num_files={num_files} must be between 1 and 8"):
        import_metagpt(data / "parrot" / "metagpt_dag.csv", num_files=num_files)


METAGPT = (
    "node,round,role,file,prompt_tokens,completion_tokens,"
    "max_prefix_shared_with_sibling,max_prefix_shared_with_prev_round,depends_on"
)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("r1:a,1,coder,a,50,5,60,0,r0:design", "max_prefix_shared_with_sibling=60"),
        ("r1:a,1,coder,a,50,5,40,0,r0:desing", "depends_on='r0:desing' must be a node listed before"),
        ("r1:a,one,coder,a,50,5,40,0,r0:design", "round='one' must be an integer of at least 0"),
    ],
)
def test_a_malformed_metagpt_row_is_refused_by_line(tmp_path, row, fault):
    path = write(tmp_path / "m.csv", METAGPT, "r0:design,0,architect,design,247,867,0,0,", row)

    with pytest.raises(ValueError, match="line 3") as refusal:
        import_metagpt(path, num_files=1)
    assert fault in str(refusal.value)


def test_articles_become_chains_and_map_reduces_over_their_real_chunks(data):
    chunks = read_article_chunks(data / "parrot" / "arxiv_chunk_tokens.csv.gz")["article_0", 512]

    chain = article_chain(chunks, output_tokens=25).applications[0].calls
    reduced = article_map_reduce(chunks, output_tokens=25).applications[0].calls

    assert len(chain) == len(reduced) - 1 == len(chunks) == 150
    outputs = {call.id: 25 for call in (*chain, *reduced)}
    assert [num_prompt_tokens(call, outputs) for call in chain] == [chunks[0], *(n + 25 for n in chunks[1:])]
    assert num_prompt_tokens(reduced[-1], outputs) == 150 * 25


def test_a_missing_chunk_is_refused(tmp_path):
    header = "article,nominal_chunk_size,chunk_index,llama_tokens"
    with pytest.raises(ValueError, match=r"line 3: chunk_index=2 must be 1, the next of its article"):
        read_article_chunks(write(tmp_path / "c.csv", header, "a,512,0,200", "a,512,2,200"))


@pytest.mark.parametrize("header", [",".join(pair) for pair in COLUMN_PAIRS])
def test_lengths_are_found_under_any_known_pair_of_columns(tmp_path, header):
    path = write(tmp_path / "l.csv", f"other,{header}", "x,10,1", "y,20,2")

    assert read_lengths(path).tolist() == [[10, 1], [20, 2]]
    assert [app.arrival for app in import_lengths(path).applications] == [0.0, 0.0]


def test_recorded_arrivals_of_a_length_table_are_used(tmp_path):
    path = write(tmp_path / "l.csv", "input_toks,output_toks,arrival_time_ns", "10,1,500000000", "20,2,2500000000")

    assert [app.arrival for app in import_lengths(path).applications] == [0.0, 2.0]


def test_a_length_table_under_unknown_columns_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"l\.csv: columns \['in', 'out'\] must include one of the pairs"):
        read_lengths(write(tmp_path / "l.csv", "in,out", "1,2"))


def test_copilot_requests_share_their_system_prompt(data):
    workload = import_copilot(data / "parrot" / "bingchat_fig14_sampled_lengths.csv")

    assert num_calls(workload) == 64
    assert shared_prefix_tokens(workload) == 63 * 5107
    assert num_prompt_tokens(workload.applications[0].calls[0], {}) == 6014


def test_a_copilot_prompt_no_longer_than_what_is_shared_is_refused(tmp_path):
    path = write(tmp_path / "c.csv", "prompt_tokens,output_tokens", "5200,10", "5107,10")

    with pytest.raises(ValueError, match=r"row 2: prompt_tokens=5107 must exceed shared_tokens=5107"):
        import_copilot(path)


def test_assistants_are_read_with_their_shares(data):
    assistants = read_assistants(data / "parrot" / "gpts_top4.json")

    assert [(each.prompt_tokens, each.weight) for each in assistants] == [
        (7437, 0.19), (1116, 0.4), (1694, 0.28), (2031, 0.13)
    ]  # fmt: skip


def test_an_assistant_without_output_is_refused(tmp_path):
    path = write(tmp_path / "g.json", '[{"app_name": "a", "prompt_length": 5}]')

    with pytest.raises(ValueError, match=r"g\.json: not a list of assistants: .*query_length"):
        read_assistants(path)
