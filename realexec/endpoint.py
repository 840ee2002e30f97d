"""An HTTP server that is asked: connections, errors by name, and nothing about engines."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from realexec.completions import error_message, refusal
from realexec.interface import CallFailure, EngineFailure

if TYPE_CHECKING:
    import aiohttp

#: Environment variable with the key of servers that want one; it is never recorded.
API_KEY_VARIABLE = "DOVETAIL_API_KEY"

#: Idle connections are dropped sooner than vLLM's server drops them (5 s), or a call could meet one just closed.
_KEEP_ALIVE = 2.0  # seconds

_CONNECT_TIMEOUT = 10.0  # seconds
_QUESTION_TIMEOUT = 30.0  # seconds, for what is no completion


class Endpoint:
    """One server.

    Parameters
    ----------
    engine_id : int
        For the error about the address; later ones name the address.
    url : str
        Such as "http://host:8000"; a path is kept, a "/v1" at its end is dropped, as OpenAI clients write it.

    Raises
    ------
    ValueError
        When the address is not one of HTTP.
    """

    def __init__(self, engine_id: int, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise ValueError(f"engine {engine_id}: endpoint={url!r} must be an address such as http://host:8000")
        self.url = url.rstrip("/").removesuffix("/v1").rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Make the client ready; nothing is sent.

        Raises
        ------
        EngineFailure
            When the HTTP client is not installed.
        """
        for package in ("aiohttp", "prometheus_client"):
            if find_spec(package) is None:
                raise EngineFailure(f"{self.url}: needs {package}: pip install 'dovetail[http]'")
        import aiohttp

        key = os.environ.get(API_KEY_VARIABLE)
        self._session = aiohttp.ClientSession(
            # limit=0: the coordinator's window says how many calls are in flight, not the client.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT),
            headers={"Authorization": f"Bearer {key}"} if key else None,
        )

    async def close(self) -> None:
        """Close every connection, which aborts what is in flight; also before `open`, and twice."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET.

        Raises
        ------
        EngineFailure
            When the server cannot be reached or refuses the key.
        """
        with self._failures():
            async with asyncio.timeout(_QUESTION_TIMEOUT), self._open_session.get(self.url + path) as response:
                body = await response.read()
        if response.status in (401, 403):
            raise EngineFailure(
                f"{self.url}: HTTP {response.status}: {error_message(body)}: put the server's key into the "
                f"environment variable {API_KEY_VARIABLE}"
            )
        return response.status, body

    async def stream(self, path: str, body: bytes, request_id: str) -> AsyncGenerator[bytes, None]:
        """The response to a POST, piece by piece as it arrives; the first piece is empty and says it was accepted.

        Raises
        ------
        EngineFailure
            When the server cannot be reached, is lost on the way, or answers with 5xx.
        CallFailure
            When it answers with another error.
        """
        headers = {"Content-Type": "application/json", "X-Request-Id": request_id}
        with self._failures():
            async with self._open_session.post(self.url + path, data=body, headers=headers) as response:
                if response.status != 200:
                    raise refusal(self.url, response.status, await response.read())
                yield b""
                async for piece in response.content.iter_any():
                    yield piece

    @property
    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise EngineFailure(f"{self.url}: is stopped")
        return self._session

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn the client's errors into the one line that names the cause."""
        import aiohttp

        try:
            yield
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if getattr(error, "errno", None) == errno.EMFILE:
                raise CallFailure(f"{self.url}: too many open files here; raise the limit (ulimit -n)") from error
            raise EngineFailure(f"{self.url}: {_cause(error)}") from error


def _cause(error: Exception) -> str:
    """What went wrong with a connection, without the client's own wrapping."""
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name is not known"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return (os.strerror(error.os_error.errno) if error.os_error.errno else str(error)).lower()
    if isinstance(error, aiohttp.ClientPayloadError):
        return "connection lost in the middle of an answer"
    return f"connection lost ({' '.join(str(error).split()) or type(error).__name__})"
