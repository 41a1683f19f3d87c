"""The platform's public API as a command calls it: one connection, patient with what passes."""

import json
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import urlsplit

from shared.errors import ConfigurationError, Unavailable
from shared.ports.api_keys import PREFIX
from shared.strict_json import Json, dump

_TIMEOUT_S = 60.0
_LONGEST_WAIT_S = 60.0
# Too many of us, or somebody who will be back.
_PASSING = frozenset({429, 502, 503, 504})
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_ANSWER_BYTES = 256 << 20


class Refused(Exception):
    """An answer that is no success, and that asking again would not change."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message


class Remote:
    """`key` is asked for the key or token, again when the last one is no longer taken: files get new ones.

    What passes, such as a gateway that is restarted, is waited for: `patience_s` without a success in between.
    """

    def __init__(self, url: str, key: Callable[[], str], *, patience_s: float, sleep: Callable[[float], None]) -> None:
        target = urlsplit(url.rstrip("/"))
        if target.scheme not in ("http", "https") or not target.hostname or target.username or target.query:
            raise ConfigurationError(f"{url!r} is no URL of a platform")
        if target.scheme == "http" and target.hostname not in _LOOPBACK:
            raise ConfigurationError(f"{url!r}: keys leave this machine by https only")
        self.url = url.rstrip("/")
        self._target = target
        self._key = key
        self._header = _header(key())
        self._patience_s = patience_s
        self._sleep = sleep
        self._connection: HTTPConnection | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Json]:
        """`data` of the answer. Every call of ours may be made twice. Raises Refused, and Unavailable in the end."""
        until, wait_s, has_new_key = time.monotonic() + self._patience_s, 0.5, False
        while True:
            status, answer, retry_after = self._asked(method, path, body)
            if 200 <= status < 300:
                return _data(answer)
            if status == 401 and not has_new_key and (header := _header(self._key())) != self._header:
                self._header, has_new_key = header, True
                continue
            if status and status not in _PASSING:
                raise _refused(status, answer)
            wait_s = min(max(wait_s * 2, retry_after), _LONGEST_WAIT_S)
            # A rate that is spent comes back when it says, however patient we are.
            if time.monotonic() + wait_s > until and status != 429:
                raise Unavailable(f"{self.url} answers {status}" if status else f"{self.url} cannot be reached")
            self._sleep(wait_s if status != 429 else max(retry_after, 1.0))

    def _asked(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes, float]:
        """Status 0 where there was no whole answer."""
        headers = {**self._header, "accept": "application/json"}
        if body is not None:
            headers["content-type"] = "application/json"
        try:
            connection = self._connected()
            connection.request(method, f"{self._target.path}/api/v1{path}", body, headers)
            answer = connection.getresponse()
            if (answer.length or 0) > _ANSWER_BYTES:
                raise Refused(answer.status, "", f"an answer of {answer.length} bytes")
            # All of it: given a length, an answer that is cut off would pass for whole.
            return answer.status, answer.read(), _retry_after(answer)
        except (OSError, HTTPException):
            self.close()
            return 0, b"", 0.0

    def _connected(self) -> HTTPConnection:
        if self._connection is None:
            kind = HTTPSConnection if self._target.scheme == "https" else HTTPConnection
            assert self._target.hostname
            self._connection = kind(self._target.hostname, self._target.port, timeout=_TIMEOUT_S)
        return self._connection


def _header(key: str) -> Mapping[str, str]:
    if not key or not key.isascii() or not key.isprintable():
        raise ConfigurationError("there is no key, or one that no header can hold")
    return {"x-api-key": key} if key.startswith(PREFIX) else {"authorization": f"Bearer {key}"}


def _data(answer: bytes) -> dict[str, Json]:
    try:
        data = json.loads(answer)["data"]
    except (ValueError, KeyError, TypeError):
        raise Refused(502, "", "the answer is none of this API") from None
    if not isinstance(data, dict):
        raise Refused(502, "", "the answer is none of this API")
    return data


def _refused(status: int, answer: bytes) -> Refused:
    try:
        error = json.loads(answer)["error"]
        fields = error["details"].get("fields")
        shown = f"{error['message']} {dump(fields).decode()}" if fields else error["message"]
        return Refused(status, str(error["code"]), str(shown))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Refused(status, "", f"HTTP status {status}")


def _retry_after(answer: HTTPResponse) -> float:
    text = answer.getheader("retry-after") or ""
    return float(text) if text.isdigit() and len(text) < 6 else 0.0
