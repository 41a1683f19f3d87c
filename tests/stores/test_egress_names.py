"""Names, redirects and packed answers: what is checked is what is connected to, and who gets to see what."""

import asyncio
import datetime
import gzip
import socket
import ssl
import threading
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.config import Settings
from shared.errors import ConfigurationError, ToolError, Unavailable
from shared.ports.egress import Response
from shared.stores.egress import gate as gate_module
from shared.stores.egress import resolver as resolver_module
from shared.stores.egress.addresses import Address
from shared.stores.egress.dialer import Dialer
from shared.stores.egress.gate import HttpEgress
from shared.stores.egress.packed import unpacked
from shared.stores.egress.resolver import SystemResolver
from tests.internet import PUBLIC, PUBLIC_TOO, PUBLIC_V6, Names, Serve, Site, Wire, answer, gate

T = TypeVar("T")


def play(scenario: Callable[[], Awaitable[T]]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(30):
            return await scenario()

    return asyncio.run(bounded())


def asked(
    url: str,
    site: Site,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    redirects: int = 0,
    names: Names | None = None,
) -> tuple[Response, Wire]:
    """One request, with both public addresses played by `site`."""

    async def scenario() -> tuple[Response, Wire]:
        async with site.listening():
            ports = (80, 443, 8080)
            wire = Wire({(host, port): site.port for host in (PUBLIC, PUBLIC_TOO, PUBLIC_V6) for port in ports})
            known = names or Names({"one.example": [PUBLIC], "two.example": [PUBLIC_TOO]})
            async with gate(names=known, wire=wire) as egress:
                said = await egress.request(
                    method, url, headers=headers or {}, body=body, timeout_s=10, redirects=redirects
                )
                return said, wire

    return play(scenario)


def plain(_line: str, _headers: dict[str, str], _body: bytes) -> bytes:
    return answer("hello")


def leading(**locations: str) -> Serve:
    """Redirects by path: `one_302="http://..."` answers /one_302 with that status and location."""

    def serve(line: str, _headers: dict[str, str], _body: bytes) -> bytes:
        path = line.split(" ")[1].strip("/")
        if path not in locations:
            return answer(line)
        return answer(status=int(path[-3:]), location=locations[path])

    return serve


def test_a_name_is_looked_up_once_and_named_to_the_origin() -> None:
    site, names = Site(plain), Names({"one.example": [PUBLIC]})
    said, wire = asked("http://one.example:8080/a", site, names=names)
    assert (said.body, said.url, said.redirects) == (b"hello", "http://one.example:8080/a", 0)
    assert names.asked == ["one.example"]
    assert wire.dialled == [(PUBLIC, 8080)]
    assert site.requests[0][1]["host"] == "one.example:8080"


def test_an_address_is_not_looked_up() -> None:
    names = Names()
    said, wire = asked(f"http://{PUBLIC}/", Site(plain), names=names)
    assert (said.body, names.asked, wire.dialled) == (b"hello", [], [(PUBLIC, 80)])


def test_the_next_address_is_tried_where_the_first_does_not_answer() -> None:
    names = Names({"one.example": ["93.184.215.99", PUBLIC_V6, PUBLIC]})
    said, wire = asked("http://one.example/", Site(plain), names=names)
    assert said.body == b"hello"
    assert wire.dialled == [("93.184.215.99", 80), (PUBLIC_V6, 80)]


def test_where_no_address_answers_it_may_work_later() -> None:
    names = Names({"one.example": ["93.184.215.99"] * 9})

    async def scenario() -> int:
        wire = Wire()
        async with gate(names=names, wire=wire) as egress:
            with pytest.raises(Unavailable, match=r"connection to one\.example failed"):
                await egress.request("GET", "http://one.example/", headers={}, timeout_s=5)
        return len(wire.dialled)

    assert play(scenario) == 4


class _Silent(Dialer):
    async def connect(self, address: Address, port: int) -> socket.socket:
        await asyncio.Event().wait()
        raise AssertionError(f"{address}:{port}")


def test_a_connection_that_takes_too_long_may_work_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "CONNECT_S", 0.2)

    async def scenario() -> None:
        async with gate(names=Names({"one.example": [PUBLIC, PUBLIC_TOO]}), wire=_Silent()) as egress:
            with pytest.raises(Unavailable, match=r"connection to one\.example failed"):
                await egress.request("GET", "http://one.example/", headers={}, timeout_s=15)

    play(scenario)


class _Misled(Dialer):
    """Connects to somebody else than it was told."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def connect(self, address: Address, port: int) -> socket.socket:
        connection = socket.socket()
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self._port))
        return connection


def test_another_peer_than_the_one_decided_on_is_sent_nothing() -> None:
    site = Site(plain)

    async def scenario() -> None:
        names = Names({"one.example": [PUBLIC]})
        async with site.listening(), gate(names=names, wire=_Misled(site.port)) as egress:
            with pytest.raises(ToolError, match="another address answered"):
                await egress.request("GET", "http://one.example/", headers={}, timeout_s=5)

    play(scenario)
    assert site.requests == []


@pytest.mark.parametrize("host, reached", [("inner.example", True), ("both.example", False), ("::1", False)])
def test_a_name_that_leads_to_an_allowed_peer_works_and_to_no_other(host: str, reached: bool) -> None:
    site = Site(plain)
    names = Names({"inner.example": ["127.0.0.1"], "both.example": ["127.0.0.1", "::1"]})

    async def scenario() -> bytes:
        async with site.listening(), gate(("127.0.0.1", site.port), names=names) as egress:
            shown = f"[{host}]" if ":" in host else host
            said = await egress.request("GET", f"http://{shown}:{site.port}/", headers={}, timeout_s=5)
            return said.body

    if reached:
        assert play(scenario) == b"hello"
        return
    with pytest.raises(ToolError, match="is refused"):
        play(scenario)
    assert site.connections == 0


def test_an_allowed_peer_allows_neither_another_port_nor_its_neighbours() -> None:
    site = Site(plain)

    async def scenario() -> None:
        async with site.listening(), gate(("127.0.0.1", site.port), ("127.0.0.1", 1)) as egress:
            for url in ("http://127.0.0.1/", "http://127.0.0.1:8080/", f"http://127.0.0.2:{site.port}/"):
                with pytest.raises(ToolError, match="is refused"):
                    await egress.request("GET", url, headers={}, timeout_s=5)

    play(scenario)
    assert site.connections == 0


def test_a_public_address_is_not_reached_on_the_port_of_an_allowed_peer() -> None:
    async def scenario() -> None:
        async with gate(("127.0.0.1", 9000), names=Names({"one.example": [PUBLIC]}), wire=Wire()) as egress:
            for url in (f"http://{PUBLIC}:9000/", "http://one.example:9000/"):
                with pytest.raises(ToolError, match="is refused"):
                    await egress.request("GET", url, headers={}, timeout_s=5)

    play(scenario)


def test_an_allow_list_of_names_is_refused_at_the_start() -> None:
    settings = Settings.read({"SUTAZAI_EGRESS_ALLOW": "localhost:80"})
    with pytest.raises(ConfigurationError, match="'localhost' is no address"):
        HttpEgress(settings=settings, resolver=Names(), dialer=Dialer())


def test_this_machine_is_refused_under_its_public_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "is_this_machine", lambda address: str(address) == PUBLIC)
    with pytest.raises(ToolError, match="this machine itself"):
        asked(f"http://{PUBLIC}/", Site(plain))


def test_the_servers_that_we_use_are_refused() -> None:
    url = f"redis://:word@{PUBLIC}:6379/0"

    async def scenario() -> None:
        settings = Settings.read({"SUTAZAI_REDIS_URL": url})
        async with HttpEgress(settings=settings, resolver=Names(), dialer=Wire()) as egress:
            with pytest.raises(ToolError, match="a service of our own"):
                await egress.request("GET", f"http://{PUBLIC}/", headers={}, timeout_s=5)

    play(scenario)


@pytest.mark.parametrize(
    "method, status, sent",
    [
        ("GET", 301, "GET"),
        ("GET", 307, "GET"),
        ("HEAD", 303, "HEAD"),
        ("PUT", 303, "GET"),
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("POST", 303, "GET"),
        ("POST", 307, "POST"),
        ("POST", 308, "POST"),
        ("PUT", 302, "PUT"),
    ],
)
def test_a_redirect_keeps_the_method_that_its_status_says(method: str, status: int, sent: str) -> None:
    site = Site(leading(**{f"a_{status}": "/end"}))
    body = b"data" if method in ("POST", "PUT") else b""
    headers = {"Content-Type": "text/plain", "Authorization": "word"}
    said, _ = asked(f"http://one.example/a_{status}", site, method=method, headers=headers, body=body, redirects=1)
    line, fields, received = site.requests[-1]
    assert line == f"{sent} /end HTTP/1.1"
    assert (received, fields.get("content-type")) == ((body, "text/plain") if sent == method else (b"", None))
    assert fields["authorization"] == "word"
    assert (said.url, said.redirects) == ("http://one.example/end", 1)


def test_headers_of_the_caller_stay_with_their_origin_and_do_not_come_back() -> None:
    site = Site(leading(a_302="http://two.example/b_302", b_302="http://one.example/end"))
    headers = {"Authorization": "x", "Cookie": "x", "X-Key": "x", "Accept": "text/plain", "User-Agent": "me"}
    asked("http://one.example/a_302", site, headers=headers, redirects=5)
    kept = [sorted({"authorization", "cookie", "x-key"} & fields.keys()) for _, fields, _ in site.requests]
    assert kept == [["authorization", "cookie", "x-key"], [], []]
    assert {(fields["accept"], fields["user-agent"]) for _, fields, _ in site.requests} == {("text/plain", "me")}
    assert [fields["host"] for _, fields, _ in site.requests] == ["one.example", "two.example", "one.example"]


@pytest.mark.parametrize("url", ["http://two.example/x", "http://one.example:8080/x"])
def test_a_body_is_not_handed_to_another_origin(url: str) -> None:
    site = Site(leading(a_307=url))
    with pytest.raises(ToolError, match="would get the body"):
        asked("http://one.example/a_307", site, method="POST", body=b"data", redirects=5)
    assert len(site.requests) == 1


def test_no_more_redirects_are_followed_than_were_asked_for() -> None:
    site = Site(leading(a_302="/b_302", b_302="/c_302", c_302="/end"))
    said, _ = asked("http://one.example/a_302", site, redirects=3)
    assert (said.url, said.redirects) == ("http://one.example/end", 3)
    with pytest.raises(ToolError, match="more than 2 redirects"):
        asked("http://one.example/a_302", site, redirects=2)
    said, _ = asked("http://one.example/a_302", site)
    assert (said.status, said.headers["location"]) == (302, "/b_302")


def test_nobody_gets_more_than_five_redirects() -> None:
    site = Site(leading(a_302="/a_302"))
    with pytest.raises(ToolError, match="more than 5 redirects"):
        asked("http://one.example/a_302", site, redirects=100)
    assert len(site.requests) == 6


def test_a_redirect_without_a_location_is_an_answer() -> None:
    said, _ = asked("http://one.example/", Site(lambda *_: answer("x", status=302)), redirects=5)
    assert (said.status, said.body) == (302, b"x")


def packed_by(coding: str, body: bytes) -> bytes:
    if coding == "raw deflate":
        engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        return engine.compress(body) + engine.flush()
    return zlib.compress(body) if coding == "deflate" else gzip.compress(body)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw deflate"])
def test_a_packed_answer_is_unpacked(coding: str) -> None:
    body = packed_by(coding, b"hello " * 100)
    site = Site(lambda *_: answer(body, content_encoding=coding.rpartition(" ")[2], x_a="b"))
    said, _ = asked("http://one.example/", site)
    assert (said.body, dict(said.headers)) == (b"hello " * 100, {"x-a": "b"})
    assert site.requests[0][1]["accept-encoding"] == "gzip, deflate"


@settings(max_examples=100)
@given(st.binary(max_size=2000), st.sampled_from(["gzip", "deflate", "raw deflate"]))
def test_packing_and_unpacking_give_the_same(body: bytes, coding: str) -> None:
    name = coding.rpartition(" ")[2]
    assert unpacked(packed_by(coding, body), name, limit_bytes=10_000, peer="p") == body


def test_members_are_joined_and_padding_is_dropped() -> None:
    packed = gzip.compress(b"one ") + gzip.compress(b"two") + b"\0" * 100
    assert unpacked(packed, "x-gzip", limit_bytes=100, peer="p") == b"one two"


@pytest.mark.parametrize(
    "packed, coding, reason",
    [
        (gzip.compress(b"x" * 101, mtime=0), "gzip", "more than 100 bytes"),
        (gzip.compress(b"hello", mtime=0)[:-4], "gzip", "its end is missing"),
        (b"hello", "gzip", "not packed as it says"),
        (b"\xff\xff\xff", "deflate", "not packed as it says"),
        (gzip.compress(b"x", mtime=0) * 17, "gzip", "more than 16 pieces"),
        (b"x", "br", "not asked for: 'br'"),
        (b"x", "gzip, gzip", "not asked for"),
    ],
)
def test_what_cannot_be_unpacked_is_refused(packed: bytes, coding: str, reason: str) -> None:
    with pytest.raises(ToolError, match=reason):
        unpacked(packed, coding, limit_bytes=100, peer="p")


def test_nothing_grows_by_more_than_a_hundred_times() -> None:
    grown = gzip.compress(b"\0" * 4_000_000, 9)
    with pytest.raises(ToolError, match=f"more than {100 * len(grown)} bytes"):
        unpacked(grown, "gzip", limit_bytes=5_000_000, peer="p")
    assert unpacked(gzip.compress(b"\0" * 65_536, 9), "gzip", limit_bytes=5_000_000, peer="p") == b"\0" * 65_536


def _authority(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for `name`, and one that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "pem").write_bytes(private + certificate.public_bytes(pem))
    serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    serving.load_cert_chain(folder / "pem")
    trusting.load_verify_locations(folder / "pem")
    return serving, trusting


@pytest.mark.parametrize("certified, served", [("one.example", True), ("two.example", False), (PUBLIC, False)])
def test_a_certificate_must_be_for_the_name(
    certified: str, served: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving, trusting = _authority(tmp_path, certified)
    told: list[str | None] = []
    serving.sni_callback = lambda _socket, name, _context: told.append(name)
    monkeypatch.setattr(gate_module, "_trusting", lambda: trusting)
    site = Site(plain)

    async def scenario() -> bytes:
        server = await asyncio.start_server(site, "127.0.0.1", 0, ssl=serving)
        async with server:
            wire = Wire({(PUBLIC, 443): server.sockets[0].getsockname()[1]})
            async with gate(names=Names({"one.example": [PUBLIC]}), wire=wire) as egress:
                said = await egress.request("GET", "https://one.example/", headers={}, timeout_s=10)
        await asyncio.gather(*filter(None, site.serving))
        return said.body

    if served:
        assert play(scenario) == b"hello"
        assert site.requests[0][1]["host"] == "one.example"
    else:
        with pytest.raises(ToolError, match="its certificate or protocol is not accepted"):
            play(scenario)
        assert site.requests == []
    assert told == ["one.example"]


def test_the_environment_has_no_say_in_who_is_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    context = gate_module._trusting()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert (context.keylog_filename or "") == ""
    assert len(context.get_ca_certs()) > 50


def test_names_are_resolved_by_the_system() -> None:
    async def scenario() -> set[str]:
        async with SystemResolver() as resolver:
            return set(await resolver.resolve("localhost"))

    assert play(scenario) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize(
    "error, raised",
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), ToolError),
        (socket.gaierror(socket.EAI_AGAIN, "x"), Unavailable),
    ],
)
def test_a_name_that_nobody_has_is_told_from_a_resolver_that_is_away(
    error: socket.gaierror, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fails)

    async def scenario() -> None:
        async with SystemResolver() as resolver:
            with pytest.raises(raised, match=r"one\.example"):
                await resolver.resolve("one.example")

    play(scenario)


def test_a_resolver_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(resolver_module, "_RESOLVE_S", 0.1)
    monkeypatch.setattr(resolver_module, "_addresses", lambda _host: answered.wait(20) and ())

    async def scenario() -> None:
        async with SystemResolver() as resolver:
            with pytest.raises(Unavailable, match=r"within 0\.1 s"):
                await resolver.resolve("one.example")
            answered.set()

    play(scenario)
