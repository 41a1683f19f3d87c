"""As much of the public API as files are brought in and out by, in memory; and it can be made to fail."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Answer = tuple[int, dict[str, Any]]
KEY = "sz_the-one-that-is-good"


def failure(status: int, code: str, message: str = "no") -> Answer:
    return status, {"success": False, "error": {"code": code, "message": message, "details": {}}}


@dataclass
class FakeApi:
    """`rows`: of each id the seq and the row, None where it was deleted. `before` sees every request, and may answer.

    Rows whose id begins with "bad" are refused.
    """

    url: str = ""
    dimension: int | None = 2
    model: str | None = None
    page: int = 3
    seq: int = 0
    rows: dict[str, tuple[int, dict[str, Any] | None]] = field(default_factory=dict)
    batches: list[list[str]] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)
    before: Callable[[str, str], Answer | None] = lambda method, path: None

    def upsert(self, given: dict[str, Any]) -> Answer:
        if (self.model or given.get("model")) and given.get("model") != self.model:
            return failure(409, "CONFLICT")
        ids = [row["id"] for row in given["vectors"]]
        self.batches.append(ids)
        if len(ids) > 1000 or len(set(ids)) != len(ids) or any(one.startswith("bad") for one in ids):
            return failure(400, "VALIDATION_ERROR", "an id is not as they are")
        for row in given["vectors"]:
            self.put(row["id"], {"text": None, "metadata": {}, **row})
        return 200, {"upserted": len(ids), "changed": len(ids), "collection": given["collection"], "seq": self.seq}

    def put(self, id: str, row: dict[str, Any] | None) -> None:
        self.seq += 1
        self.rows[id] = (self.seq, row)

    def export(self, cursor: str) -> Answer:
        after, _, from_seq = (cursor or f"0-{self.seq}").partition("-")
        found = sorted((seq, one, row) for one, (seq, row) in self.rows.items() if seq > int(after))[: self.page]
        following = f"{found[-1][0]}-{from_seq}" if len(found) == self.page else None
        vectors = [
            {
                "id": one,
                "seq": seq,
                "vector": row and row["vector"],
                "text": row and row["text"],
                "metadata": row["metadata"] if row else {},
                "created_at": "2026-01-31T00:00:00Z",
            }
            for seq, one, row in found
        ]
        page = {"collection": "papers", "dimension": self.dimension, "metric": "l2", "model": self.model}
        return 200, {
            **page,
            "vectors": vectors,
            "from_seq": int(from_seq),
            "seq": found[-1][0] if following else self.seq,
            "next_cursor": following,
        }

    def answer(self, method: str, path: str, body: bytes, key: str | None) -> Answer:
        if (answered := self.before(method, path)) is not None:
            return answered
        if key != KEY:
            return failure(401, "UNAUTHORIZED")
        if path == "/api/v1/vectors/collections" and method == "POST":
            self.created.append(json.loads(body))
            self.dimension = self.created[-1]["dimension"]
            return 201, {}
        if self.dimension is None or unquote(urlsplit(path).path) not in (
            "/api/v1/vectors/upsert",
            "/api/v1/vectors/collections/papers/export",
        ):
            return failure(404, "NOT_FOUND")
        if method == "POST":
            return self.upsert(json.loads(body))
        return self.export(parse_qs(urlsplit(path).query).get("cursor", [""])[0])


@contextmanager
def served(api: FakeApi) -> Iterator[FakeApi]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, data = api.answer(self.command, self.path, body, self.headers.get("x-api-key"))
            if status == 0:
                # In the middle of an answer, the connection ends.
                self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
                self.close_connection = True
                return
            content = json.dumps(data if "error" in data else {"success": True, "data": data}).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            if status in (429, 503):
                self.send_header("retry-after", "3")
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 - the server's word

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        api.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
