"""What is said with an OpenAI-compatible server: a completion request, and the event stream that answers it.

No I/O. Fields are those of vLLM 0.24's `/v1/completions`; `return_token_ids`, `priority`, `min_tokens`, `ignore_eos`
and `vllm_xargs` are its extensions to the OpenAI protocol.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from realexec.interface import CallFailure, EngineFailure, EngineRequest


class _Choice(msgspec.Struct):
    token_ids: list[int] | None = None
    finish_reason: str | None = None


class _PromptTokensDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens_details: _PromptTokensDetails | None = None


class Chunk(msgspec.Struct):
    """One event of the stream; what is not read here, such as the echoed prompt, is skipped without being built."""

    id: str = ""
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


_chunk_decoder = msgspec.json.Decoder(Chunk)


def encode_request(request: EngineRequest, model: str, *, cache_salt: str) -> bytes:
    """Body of the POST that asks for exactly `request.num_output_tokens` tokens.

    Parameters
    ----------
    request : EngineRequest
    model : str
    cache_salt : str
        Requests of one salt share prefixes in the server's cache, and with no others.

    Notes
    -----
    vLLM 0.24 ignores the priority unless it was started with `--scheduling-policy priority`.
    """
    body = {
        "model": model,
        "prompt": request.prompt_token_ids,
        "max_tokens": request.num_output_tokens,
        "min_tokens": request.num_output_tokens,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_token_ids": True,
        "priority": request.priority,
        "cache_salt": cache_salt,
        "vllm_xargs": dict(request.extra_args),
    }
    return msgspec.json.encode(body)


class EventStream:
    """Cuts the bytes of a response into the data of its server-sent events."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Data of the events that these bytes complete; comments and other fields are left out."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()


class Answer:
    """What a stream has answered so far.

    Parameters
    ----------
    name : str
        Address of the server, for errors.
    """

    def __init__(self, name: str) -> None:
        self.server_id = ""  # "cmpl-<request id>" unless a proxy on the way gave the request another id
        self.output_token_ids: list[int] = []
        self.num_cached_tokens = -1
        self.finish_reason: str | None = None
        self.is_done = False
        self._name = name

    def add(self, event: bytes) -> None:
        """Take in the data of one event.

        Raises
        ------
        EngineFailure, CallFailure
            When the event reports an error, or is not one of a completion.
        """
        if event == b"[DONE]":
            self.is_done = True
            return
        try:
            chunk = _chunk_decoder.decode(event)
        except msgspec.MsgspecError as error:
            raise EngineFailure(f"{self._name}: an event is not a completion chunk: {error}") from error
        if chunk.error is not None:
            raise refusal(self._name, _error_code(chunk.error), event)
        self.server_id = self.server_id or chunk.id
        for choice in chunk.choices:
            self.output_token_ids += choice.token_ids or ()
            self.finish_reason = choice.finish_reason or self.finish_reason
        if chunk.usage is not None and (details := chunk.usage.prompt_tokens_details) is not None:
            self.num_cached_tokens = -1 if details.cached_tokens is None else details.cached_tokens

    def check(self, request: EngineRequest) -> None:
        """Check an answer whose stream has ended.

        Raises
        ------
        EngineFailure
            When the stream was cut, or the server gave the request up, as vLLM does when it shuts down.
        CallFailure
            When the number of tokens is not the one asked for.
        """
        num_tokens = len(self.output_token_ids)
        if not self.is_done or self.finish_reason == "abort":
            why = "the server aborted it" if self.is_done else "the stream ended early"
            raise EngineFailure(f"{self._name}: request {request.request_id!r}: {why}, after {num_tokens} tokens")
        if num_tokens != request.num_output_tokens:
            raise CallFailure(
                f"{self._name}: request {request.request_id!r}: num_output_tokens={request.num_output_tokens}, but the "
                f"server ended after {num_tokens} (finish_reason {self.finish_reason!r})"
            )


def refusal(name: str, status: int, body: bytes) -> EngineFailure | CallFailure:
    """What an error status means: 5xx that the engine is lost, anything else that this request was refused."""
    kind = EngineFailure if status >= 500 else CallFailure
    return kind(f"{name}: HTTP {status}: {error_message(body)}")


def error_message(body: bytes) -> str:
    """The server's message in one line, from the several shapes in which servers and proxies give it."""
    try:
        said: Any = json.loads(body)
    except ValueError:
        said = body.decode(errors="replace")
    for key in ("error", "message", "detail"):
        if isinstance(said, dict) and key in said:
            said = said[key]
    return " ".join(str(said).split())[:300] or "no message"


def _error_code(error: Any) -> int:
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) else 500
