"""Who may be reached, in which spelling, and what becomes of an answer."""

import asyncio
import datetime
import ipaddress
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.errors import ToolError, Unavailable
from shared.ports.egress import Response
from shared.stores.egress.exchange import BODY_BYTES
from tests.internet import gate as allowing

T = TypeVar("T")
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Two: words\r\n\r\nhello"


@dataclass
class Origin:
    """A server on loopback. `requests` are what it read; `connections` count those that said nothing, too."""

    answer: bytes
    reset: bool = False
    silent: bool = False
    greets: bool = False
    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    serving: list["asyncio.Task[None] | None"] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.serving.append(asyncio.current_task())
        try:
            if self.greets:
                writer.write(self.answer)
                if self.reset:
                    writer.transport.abort()
                return
            head = await reader.readuntil(b"\r\n\r\n")
            sizes = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            size = int(sizes[0]) if sizes else 0
            self.requests.append(head + await reader.readexactly(size))
            if self.silent:
                await reader.read()
            writer.write(self.answer)
            await writer.drain()
            if self.reset:
                writer.transport.abort()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


@asynccontextmanager
async def listening(origin: Origin, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Origin]:
    server = await asyncio.start_server(origin.serve, "127.0.0.1", 0, ssl=tls)
    origin.port = server.sockets[0].getsockname()[1]
    async with server:
        yield origin
    await asyncio.gather(*filter(None, origin.serving))


def play(scenario: Callable[[], Awaitable[T]]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(30):
            return await scenario()

    return asyncio.run(bounded())


def asked(
    origin: Origin,
    url: str = "http://127.0.0.1:{port}/",
    *,
    tls: ssl.SSLContext | None = None,
    timeout_s: float = 10,
) -> Response:
    """One GET to an origin that is allowed, under its plain address."""

    async def scenario() -> Response:
        async with listening(origin, tls=tls), allowing(("127.0.0.1", origin.port)) as egress:
            return await egress.request("GET", url.format(port=origin.port), headers={}, timeout_s=timeout_s)

    return play(scenario)


def test_an_allowed_peer_gets_the_request_as_it_was_given() -> None:
    origin = Origin(HELLO)

    async def scenario() -> Response:
        async with listening(origin), allowing(("127.0.0.1", origin.port)) as egress:
            return await egress.request(
                "POST",
                f"http://127.0.0.1:{origin.port}/a%20b?q=1#part",
                headers={"Idempotency-Key": "k:1", "Accept": "text/plain"},
                body=b"{}",
                timeout_s=10,
            )

    answer = play(scenario)
    head, _, body = origin.requests[0].partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"POST /a%20b?q=1 HTTP/1.1"
    assert {line.lower() for line in head.split(b"\r\n")[1:]} == {
        f"host: 127.0.0.1:{origin.port}".encode(),
        b"accept: text/plain",
        b"accept-encoding: gzip, deflate",
        b"connection: close",
        b"content-length: 2",
        b"idempotency-key: k:1",
        b"user-agent: sutazai",
    }
    assert body == b"{}"
    assert answer == Response(
        status=200,
        headers={"content-length": "5", "x-two": "words"},
        body=b"hello",
        url=f"http://127.0.0.1:{origin.port}/a%20b?q=1",
    )


REFUSED = [
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.0.0.1:{port}/",
    "http://017700000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://127.0.0.01:{port}/",
    "http://127.000.000.001:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://127.0.0.1.1:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[::0001]:{port}/",
    "http://[::1%25lo]:{port}/",
    "http://[::1%lo]:{port}/",
    "http://::1:{port}/",
    "http://localhost:{port}/",
    "http://LOCALHOST:{port}/",
    "http://localhost.localdomain:{port}/",
    "http://127.0.0.1.nip.io:{port}/",
    "http://0.0.0.0:{port}/",
    "http://0:{port}/",
    "http://[::]:{port}/",
    "http://127.0.0.2:{port}/",
    "http://127.0.0.1/",
    "http://127.0.0.1:1/",
    "http://127.0.0.1:0{port}/",
    "http://127.0.0.1:+{port}/",
    "http://127.0.0.1:{port}0000/",
    "http://127.0.0.1: {port}/",
    "http://127.0.0.1:/",
    "http://user@127.0.0.1:{port}/",
    "http://user:word@127.0.0.1:{port}/",
    "http://@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}@192.0.2.1/",
    "http://192.0.2.1#@127.0.0.1:{port}/",
    "http://192.0.2.1\\@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@192.0.2.1/",
    "http:\\\\127.0.0.1:{port}/",
    "http:/127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/",
    "http:127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}/",
    "http://%31%32%37.0.0.1:{port}/",
    "http://127%2e0%2e0%2e1:{port}/",
    "http://①②⑦.0.0.1:{port}/",
    "http://１２７.0.0.1:{port}/",
    "http://127。0。0。1:{port}/",
    "http://١٢٧.0.0.1:{port}/",
    "http://127.0.0.1:{port}/\r\nX-Evil: 1",
    "http://127.0.0.1:{port}/\n",
    "http://127.0.0.1:{port}/ b",
    "http://127.0.0.1:{port}/\t",
    "http://127.0.0.1:{port}/\0",
    "http://127.0.0.1\t:{port}/",
    "http://127.0.0.1\0.example:{port}/",
    " http://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/\x7f",
    "ht\ntp://127.0.0.1:{port}/",
    "ftp://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_x",
    "data:text/plain,x",
    "unix:///run/docker.sock",
    "ws://127.0.0.1:{port}/",
    "http+unix://127.0.0.1:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1:{port}/",
    "http://[fe80::1]:{port}/",
    "http://[fd00::1]:{port}/",
    "http://192.0.2.1:{port}/",
    "http://127.0.0.1:{port}/" + "a" * 9000,
    "http://",
    "",
]


@pytest.mark.parametrize("url", REFUSED)
def test_every_other_address_and_spelling_is_refused_before_a_connection(url: str) -> None:
    origin = Origin(HELLO)

    async def scenario() -> None:
        async with (
            listening(origin),
            allowing(("127.0.0.1", origin.port), ("::ffff:127.0.0.1", origin.port)) as egress,
        ):
            with pytest.raises(ToolError):
                await egress.request("GET", url.replace("{port}", str(origin.port)), headers={}, timeout_s=5)

    play(scenario)
    assert origin.connections == 0


def test_with_an_empty_list_nobody_is_reached() -> None:
    origin = Origin(HELLO)

    async def scenario() -> None:
        async with listening(origin), allowing() as egress:
            with pytest.raises(ToolError, match="is refused"):
                await egress.request("GET", f"http://127.0.0.1:{origin.port}/", headers={}, timeout_s=5)

    play(scenario)
    assert origin.connections == 0


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "get", "GET /x", "", "GET\r\n"])
def test_a_method_that_is_no_plain_request_is_refused(method: str) -> None:
    assert _refused(method, {}) == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "internal"},
        {"host": "internal"},
        {"Transfer-Encoding": "chunked"},
        {"Content-Length": "0"},
        {"Connection": "keep-alive"},
        {"Upgrade": "h2c"},
        {"X-A": "b\r\nX-C: d"},
        {"X-A": "b\0"},
        {"X-A": "ü"},
        {"X A": "b"},
        {"X-A:": "b"},
        {"": "b"},
        {"X-Ä": "b"},
    ],
)
def test_a_header_that_would_change_the_message_is_refused(headers: dict[str, str]) -> None:
    assert _refused("GET", headers) == 0


def _refused(method: str, headers: dict[str, str]) -> int:
    origin = Origin(HELLO)

    async def scenario() -> int:
        async with listening(origin), allowing(("127.0.0.1", origin.port)) as egress:
            with pytest.raises(ToolError):
                await egress.request(method, f"http://127.0.0.1:{origin.port}/", headers=headers, timeout_s=5)
        return origin.connections

    return play(scenario)


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    origin = Origin(b"HTTP/1.1 302 Found\r\nLocation: /second\r\nContent-Length: 0\r\n\r\n")
    answer = asked(origin)
    assert (answer.status, answer.headers["location"], len(origin.requests)) == (302, "/second", 1)


@pytest.mark.parametrize("status", [404, 429, 500, 503])
def test_any_status_is_an_answer_and_is_asked_for_once(status: int) -> None:
    origin = Origin(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)
    assert asked(origin).status == status
    assert origin.connections == 1


def test_no_cookie_passes_from_one_request_to_the_next() -> None:
    origin = Origin(b"HTTP/1.1 200 OK\r\nSet-Cookie: who=ada\r\nContent-Length: 0\r\n\r\n")

    async def scenario() -> None:
        async with listening(origin), allowing(("127.0.0.1", origin.port)) as egress:
            for _ in range(2):
                await egress.request("GET", f"http://127.0.0.1:{origin.port}/", headers={}, timeout_s=10)

    play(scenario)
    assert len(origin.requests) == 2
    assert b"cookie" not in origin.requests[1].lower()


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert asked(Origin(HELLO)).body == b"hello"


def _sized(size: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size


def test_a_body_is_taken_up_to_its_bound_and_refused_beyond() -> None:
    assert len(asked(Origin(_sized(BODY_BYTES))).body) == BODY_BYTES
    with pytest.raises(ToolError, match="larger than"):
        asked(Origin(_sized(BODY_BYTES + 1)))


def test_a_body_without_a_length_is_bounded_while_it_streams() -> None:
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    with pytest.raises(ToolError, match="larger than"):
        asked(Origin(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 8))


@pytest.mark.parametrize(
    "origin",
    [
        Origin(b""),
        Origin(b"HTTP/1.1 200 O"),
        Origin(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel"),
        Origin(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"),
        Origin(b"", reset=True),
        Origin(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel", reset=True),
    ],
)
def test_a_connection_that_breaks_may_work_later(origin: Origin) -> None:
    with pytest.raises(Unavailable):
        asked(origin)
    assert origin.connections == 1


@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_that_breaks_before_tls_is_agreed_may_work_later(reset: bool) -> None:
    with pytest.raises(Unavailable):
        asked(Origin(b"", greets=True, reset=reset), "https://127.0.0.1:{port}/")


def test_a_peer_that_is_silent_amid_tls_may_answer_later() -> None:
    with pytest.raises(Unavailable, match=r"within 0\.3 s"):
        asked(Origin(b"", silent=True), "https://127.0.0.1:{port}/", timeout_s=0.3)


def test_a_refused_connection_may_work_later() -> None:
    async def scenario() -> None:
        async with listening(Origin(HELLO)) as gone:
            pass
        async with allowing(("127.0.0.1", gone.port)) as egress:
            with pytest.raises(Unavailable):
                await egress.request("GET", f"http://127.0.0.1:{gone.port}/", headers={}, timeout_s=10)

    play(scenario)


def test_a_peer_that_does_not_answer_in_time_may_answer_later() -> None:
    with pytest.raises(Unavailable, match=r"within 0\.2 s"):
        asked(Origin(b"", silent=True), timeout_s=0.2)


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\na b\r\n\r\n"]
)
def test_an_answer_that_is_not_http_will_not_be_better_later(answer: bytes) -> None:
    with pytest.raises(ToolError, match="proper HTTP"):
        asked(Origin(answer))


def test_a_peer_without_tls_or_with_a_certificate_of_its_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="TLS"):
        asked(Origin(b"220 not TLS\r\n", greets=True), "https://127.0.0.1:{port}/")
    origin = Origin(HELLO)
    with pytest.raises(ToolError, match="TLS"):
        asked(origin, "https://127.0.0.1:{port}/", tls=_self_signed(tmp_path))
    assert origin.requests == []


def _self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "pem").write_bytes(private + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pem")
    return context


_CONFINED = """
import asyncio, sys
from pathlib import Path
assert "h11" not in sys.modules
from shared.config import Settings
from shared.confine import confine
from shared.stores.egress.dialer import Dialer
from shared.stores.egress.gate import HttpEgress
from shared.stores.egress.resolver import SystemResolver
assert "h11" not in sys.modules

async def main(port, home=Path("/nonexistent")):
    allow = frozenset({("127.0.0.1", port)})
    settings = Settings(home=home, keys_dir=home, files_dir=home, egress_allow=allow)
    async with HttpEgress(settings=settings, resolver=SystemResolver(), dialer=Dialer()) as egress:
        if not confine([], []).version:
            return "no Landlock"
        url = f"http://127.0.0.1:{port}/"
        answer = await egress.request("POST", url, headers={}, body=b"x", timeout_s=10)
        return answer.body.decode()

print(asyncio.run(main(int(sys.argv[1]))))
"""


def test_a_child_that_is_confined_after_the_port_was_opened_still_reaches_its_peer() -> None:
    async def scenario() -> str:
        async with listening(Origin(HELLO)) as origin:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", _CONFINED, str(origin.port), stdout=asyncio.subprocess.PIPE
            )
            said, _ = await process.communicate()
            return said.decode().strip()

    answer = play(scenario)
    if answer == "no Landlock":
        pytest.skip("this kernel has no Landlock")
    assert answer == "hello"


def _chunked(*chunks: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def test_a_body_in_chunks_is_whole_and_one_in_crumbs_is_refused() -> None:
    assert asked(Origin(_chunked(b"hel", b"lo"))).body == b"hello"
    with pytest.raises(ToolError, match="more than 50000 pieces"):
        asked(Origin(_chunked(*[b"x"] * 50_001)), timeout_s=14)


def test_what_comes_before_an_answer_is_passed_over_as_long_as_it_ends() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    assert asked(Origin(hints * 3 + HELLO)).body == b"hello"
    with pytest.raises(ToolError, match="proper HTTP"):
        asked(Origin(hints * 20 + HELLO))
    with pytest.raises(ToolError, match="proper HTTP"):
        asked(Origin(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + HELLO))


def test_a_head_without_end_is_refused() -> None:
    with pytest.raises(ToolError, match="proper HTTP"):
        asked(Origin(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 20_000))


@pytest.mark.parametrize(
    "lines", [b"Content-Length: 5\r\nContent-Length: 6\r\n", b"Content-Length: -5\r\n", b"Transfer-Encoding: x\r\n"]
)
def test_an_answer_whose_end_can_be_read_in_two_ways_is_refused(lines: bytes) -> None:
    with pytest.raises(ToolError, match="proper HTTP"):
        asked(Origin(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\nhello"))
