"""What an answer's event stream says, and what an endpoint's metrics say; without a server."""

import json

import pytest

from realexec.completions import Answer, EventStream, encode_request, error_message
from realexec.endpoint import Endpoint
from realexec.endpoint_info import read_gauges
from realexec.http_engine import HttpEngine
from realexec.interface import CallFailure, EngineFailure, EngineRequest
from realexec.server_records import SeenRequest, clock_shift

# As vLLM 0.24.0 sent them for a prompt of three tokens, ids shortened.
STREAM = (
    b'data: {"id":"cmpl-a","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"",'
    b'"logprobs":null,"finish_reason":null,"stop_reason":null,"prompt_token_ids":[1,2,3],"token_ids":[2604]}]}\n\n'
    b'data: {"id":"cmpl-a","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"",'
    b'"logprobs":null,"finish_reason":"length","stop_reason":null,"prompt_token_ids":null,"token_ids":[19376,4206]}]}'
    b'\n\ndata: {"id":"cmpl-a","object":"text_completion","created":1,"model":"m","choices":[],"usage":'
    b'{"prompt_tokens":3,"total_tokens":6,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":2}}}\n\n'
    b"data: [DONE]\n\n"
)
REQUEST = EngineRequest("a", [1, 2, 3], 3, priority=7, extra_args={"stage": "map"})


def answer_of(pieces: list[bytes]) -> Answer:
    answer, events = Answer("http://a"), EventStream()
    for piece in pieces:
        for event in events.feed(piece):
            answer.add(event)
    return answer


@pytest.mark.parametrize("size", [1, 7, 100, len(STREAM)])
def test_a_stream_reads_the_same_however_the_network_cuts_it(size: int) -> None:
    answer = answer_of([STREAM[start : start + size] for start in range(0, len(STREAM), size)])
    answer.check(REQUEST)
    assert answer.output_token_ids == [2604, 19376, 4206]
    assert (answer.num_cached_tokens, answer.server_id) == (2, "cmpl-a")


def test_comments_and_carriage_returns_of_a_proxy_are_left_out() -> None:
    assert list(EventStream().feed(b": ping\r\n\r\nevent: x\r\ndata: {}\r\n\r\n")) == [b"{}"]


def test_cached_tokens_that_the_server_does_not_tell_are_minus_one() -> None:
    told = b',"prompt_tokens_details":{"cached_tokens":2}'
    assert answer_of([STREAM.replace(told, b"")]).num_cached_tokens == -1


def test_a_stream_that_stops_without_its_end_mark_is_a_lost_engine() -> None:
    answer = answer_of([STREAM.removesuffix(b"data: [DONE]\n\n")])
    with pytest.raises(EngineFailure, match="http://a: request 'a': the stream ended early, after 3 tokens"):
        answer.check(REQUEST)


def test_a_request_that_the_server_aborts_is_a_lost_engine() -> None:
    with pytest.raises(EngineFailure, match="the server aborted it, after 3 tokens"):
        answer_of([STREAM.replace(b'"length"', b'"abort"')]).check(REQUEST)


def test_too_few_tokens_are_a_failed_call() -> None:
    answer = answer_of([STREAM.replace(b"[19376,4206]", b"[19376]")])
    with pytest.raises(CallFailure, match="num_output_tokens=3, but the server ended after 2"):
        answer.check(REQUEST)


@pytest.mark.parametrize(("code", "kind"), [(400, CallFailure), (500, EngineFailure)])
def test_an_error_in_the_stream_fails_the_call_or_loses_the_engine_by_its_code(code: int, kind: type) -> None:
    event = json.dumps({"error": {"message": "no\n such", "type": "x", "code": code}}).encode()
    with pytest.raises(kind, match=f"http://a: HTTP {code}: no such"):
        answer_of([b"data: " + event + b"\n\n"])


def test_an_event_that_is_no_json_is_a_lost_engine() -> None:
    with pytest.raises(EngineFailure, match="an event is not a completion chunk"):
        answer_of([b"data: <html>\n"])


def test_a_request_asks_for_an_exact_length_in_the_runs_own_part_of_the_cache() -> None:
    body = json.loads(encode_request(REQUEST, "m", cache_salt="run"))
    assert (body["min_tokens"], body["max_tokens"], body["ignore_eos"]) == (3, 3, True)
    assert (body["prompt"], body["priority"], body["cache_salt"]) == ([1, 2, 3], 7, "run")
    assert body["vllm_xargs"] == {"stage": "map"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "too  long", "code": 400}}', "too long"),
        (b'{"error": "Unauthorized"}', "Unauthorized"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b"<html>\n502\n</html>", "<html> 502 </html>"),
        (b"", "no message"),
    ],
)
def test_an_error_is_one_line_in_whatever_shape_it_comes(body: bytes, message: str) -> None:
    assert error_message(body) == message


def test_gauges_are_added_up_over_the_engines_behind_an_address() -> None:
    lines = ["# TYPE vllm:num_requests_running gauge"]
    lines += [f'vllm:num_requests_running{{engine="{engine}",model_name="m m"}} {engine + 3}.0' for engine in (0, 1)]
    assert read_gauges("\n".join(lines).encode()) == (7, -1)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://", "http://host?x=1", "http://user:key@host"])
def test_an_address_that_is_not_one_of_http_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"engine 2: endpoint=.* must be an address such as http://host:8000"):
        HttpEngine(2, url)


def test_an_address_as_openai_clients_write_it_is_taken() -> None:
    assert Endpoint(0, "https://host/prefix/v1/").url == "https://host/prefix"


@pytest.mark.parametrize("stated", [{"max_num_seqs": 0}, {"window": 3}])
def test_a_stated_limit_must_be_known_and_positive(stated: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be a positive one of num_blocks, block_size"):
        HttpEngine(0, "http://host", stated=stated)


def test_instants_of_the_same_clock_are_kept() -> None:
    assert clock_shift([(SeenRequest("a", 10.0, 10.5), 10.1), (SeenRequest("b", 11.0), 11.2)]) == 0.0


def test_another_hosts_clock_is_moved_so_that_no_request_starts_before_it_was_sent() -> None:
    pairs = [(SeenRequest("a", 10.0, 10.5), 910.1), (SeenRequest("b", 11.0, 11.5), 911.02)]
    assert clock_shift(pairs) == pytest.approx(-900.02)
