"""How clients describe themselves, and what is believed of it."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from shared.config import Settings
from shared.errors import Invalid, SutazaiError, Unavailable
from shared.ports.egress import Response
from shared.ports.oauth import Client
from shared.stores.egress.gate import HttpEgress
from shared.stores.oauth_clients import DOCUMENT_BYTES, FetchedClients
from shared.stores.oauth_seals import KeyedSeals
from tests.fakes import FakeEgress
from tests.internet import PUBLIC, Names, Wire, gate
from tests.oauth.house import CALLBACK, DESCRIPTION, WEB_CALLBACK, document, served


def _clients(home: Path, egress: FakeEgress | HttpEgress | None = None) -> FetchedClients:
    settings = Settings.read({"SUTAZAI_HOME": str(home)})
    return FetchedClients(egress=egress or FakeEgress(), settings=settings)


def _got(home: Path, answer: Response | Exception, client_id: str = DESCRIPTION) -> Client:
    return asyncio.run(_clients(home, FakeEgress({client_id: answer})).get(client_id))


def test_a_client_is_what_its_url_says(tmp_path: Path) -> None:
    assert _got(tmp_path, served(document(logo_uri="https://app.example.org/x.png", tos_uri=1))) == Client(
        client_id=DESCRIPTION,
        name="Example",
        redirect_uris=(CALLBACK, WEB_CALLBACK),
        refreshes=True,
        host="app.example.org",
    )


@pytest.mark.parametrize(
    "answer",
    [
        served(document("https://app.example.org/other.json")),
        served(document("https://APP.example.org/client.json")),
        served(document(client_id=None)),
        served(document(client_name=None)),
        served(document(client_name="")),
        served(document(client_name=" ")),
        served(document(client_name="x" * 101)),
        served(document(client_name="gpj.\u202eexe")),
        served(document(client_name="a\u200bb")),
        served(document(client_name=1)),
        served(document(redirect_uris=None)),
        served(document(redirect_uris=[])),
        served(document(redirect_uris=CALLBACK)),
        served(document(redirect_uris=["javascript:alert(1)"])),
        served(document(redirect_uris=[CALLBACK, "http://app.example.org/callback"])),
        served(document(redirect_uris=[CALLBACK] * 21)),
        served(document(token_endpoint_auth_method="client_secret_post")),
        served(document(token_endpoint_auth_method="private_key_jwt")),
        served(document(client_secret="x")),
        served(document(grant_types=["client_credentials"])),
        served(document(response_types=["token"])),
        served(document(padding="x" * DOCUMENT_BYTES)),
        served(document(), status=404),
        served(document(), status=302, headers={"location": "https://app.example.org/other.json"}),
        served(document(), headers={"content-type": "text/html"}),
        served(b"<html>"),
        served(b"[]"),
        served(b"null"),
        served(b'{"client_id": 1e999}'),
        served(b"[" * 5000),
        served(b"\xff\xfe"),
        served(json.dumps(document()).encode()[:-1] + b', "client_id": "https://evil.example/c.json"}'),
    ],
)
def test_what_does_not_describe_the_client_at_that_url_is_refused(tmp_path: Path, answer: Response) -> None:
    with pytest.raises(Invalid) as refusal:
        _got(tmp_path, answer)
    assert refusal.value.details["error"] in ("invalid_client", "invalid_client_metadata", "invalid_redirect_uri")


@pytest.mark.parametrize(
    "client_id",
    [
        "http://app.example.org/client.json",
        "https://app.example.org",
        "https://app.example.org/",
        "https://app.example.org/client.json#x",
        "https://app.example.org/client.json?x=1",
        "https://user@app.example.org/client.json",
        "https://app.example.org@evil.example/client.json",
        "https://app.example.org/a/../client.json",
        "https://app.example.org/./client.json",
        "https://app.example.org/..",
        "https://app.example.org/%2e%2e/client.json",
        "https://app.example.org\\client.json",
        "https://APP.example.org/client.json",
        "https://[::1]/client.json",
        "https://app.example.org:0/client.json",
        "HTTPS://app.example.org/client.json",
        "file:///etc/passwd",
        "ftp://app.example.org/x",
        "sutazai",
        "",
        "szc_",
        "szc_AAAA",
        "szc_" + "A" * 5000,
        "szc_\u00e9",
        "https://app.example.org/" + "a" * 2000,
    ],
)
def test_what_is_no_id_of_a_client_is_refused_without_asking_anyone(tmp_path: Path, client_id: str) -> None:
    egress = FakeEgress({client_id: served(document(client_id))})
    with pytest.raises(Invalid):
        asyncio.run(_clients(tmp_path, egress).get(client_id))
    assert egress.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/client.json",
        "https://localhost/client.json",
        "https://inner.example/client.json",
        "https://metadata.example/latest",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/client.json",
        "https://0.0.0.0/client.json",
        "https://2130706433/client.json",
        "https://0x7f.1/client.json",
        "https://public.example:5432/client.json",
        "https://public.example:22/client.json",
        "https://mixed.example/client.json",
        "https://nowhere.example/client.json",
    ],
)
def test_no_description_is_fetched_from_within(tmp_path: Path, url: str) -> None:
    names = Names(
        {
            "localhost": ["127.0.0.1"],
            "inner.example": ["10.1.2.3"],
            "metadata.example": ["169.254.169.254"],
            "mixed.example": [PUBLIC, "127.0.0.1"],
            "public.example": [PUBLIC],
        }
    )
    wire = Wire()
    with pytest.raises(Invalid) as refusal:
        asyncio.run(_clients(tmp_path, gate(names=names, wire=wire)).get(url))
    assert wire.dialled == []
    # Whoever asks does not learn what lies there.
    assert refusal.value.message == f"the client {url!r} is refused: its description cannot be fetched"


def test_a_description_is_fetched_once_however_many_ask(tmp_path: Path) -> None:
    async def scenario() -> int:
        egress = FakeEgress({DESCRIPTION: served(document())})
        clients = _clients(tmp_path, egress)
        await asyncio.gather(*(clients.get(DESCRIPTION) for _ in range(20)))
        await clients.get(DESCRIPTION)
        return len(egress.requests)

    assert asyncio.run(scenario()) == 1


@pytest.mark.parametrize(
    "cache_control, fresh_s",
    [
        ("", 3600),
        ("max-age=120", 120),
        ("public, max-age=0", 60),
        ("no-store", 60),
        ("max-age=999999999", 86_400),
        ("max-age=x", 3600),
    ],
)
def test_a_description_is_believed_as_long_as_its_site_says_within_bounds(
    tmp_path: Path, cache_control: str, fresh_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> list[int]:
        egress = FakeEgress({DESCRIPTION: served(document(), headers={"cache-control": cache_control})})
        clients, now, asked = _clients(tmp_path, egress), time.monotonic(), []
        monkeypatch.setattr("shared.stores.oauth_clients.time.monotonic", lambda: now)
        for later in (0, fresh_s - 1, 2):
            now += later
            await clients.get(DESCRIPTION)
            asked.append(len(egress.requests))
        return asked

    assert asyncio.run(scenario()) == [1, 1, 2]


def test_what_could_not_be_had_is_not_remembered(tmp_path: Path) -> None:
    async def scenario() -> Client:
        answers: dict[str, Response | Exception] = {DESCRIPTION: Unavailable("not now")}
        clients = _clients(tmp_path, FakeEgress(answers))
        with pytest.raises(Unavailable):
            await clients.get(DESCRIPTION)
        answers[DESCRIPTION] = served(document())
        return await clients.get(DESCRIPTION)

    assert asyncio.run(scenario()).name == "Example"


class _Silent:
    """An outside that never answers."""

    def __init__(self) -> None:
        self.asked = 0

    async def request(self, *_: Any, **__: Any) -> Response:
        self.asked += 1
        await asyncio.Event().wait()
        raise AssertionError


def test_strangers_cannot_have_more_than_a_few_descriptions_fetched_at_once(tmp_path: Path) -> None:
    async def scenario() -> tuple[int, int]:
        silent = _Silent()
        clients = FetchedClients(egress=silent, settings=Settings.read({"SUTAZAI_HOME": str(tmp_path)}))
        asking = [asyncio.create_task(clients.get(f"https://a{n}.example/c.json")) for n in range(30)]
        done, waiting = await asyncio.wait(asking, timeout=0.2)
        refused = sum(isinstance(task.exception(), Unavailable) for task in done)
        for task in [*waiting, *clients._fetching.values()]:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return silent.asked, refused

    assert asyncio.run(scenario()) == (8, 22)


def test_a_registered_client_is_known_wherever_the_key_is(tmp_path: Path) -> None:
    made = _clients(tmp_path).register(name="A tool", redirect_uris=[CALLBACK], refreshes=True)
    assert asyncio.run(_clients(tmp_path).get(made.client_id)) == made
    elsewhere = _clients(tmp_path / "other")
    with pytest.raises(Invalid):
        asyncio.run(elsewhere.get(made.client_id))


def test_no_letter_of_an_id_can_be_changed(tmp_path: Path) -> None:
    clients = _clients(tmp_path)
    made = clients.register(name="A tool", redirect_uris=[CALLBACK], refreshes=False).client_id
    for at in range(4, len(made)):
        other = "A" if made[at] != "A" else "B"
        try:
            found = asyncio.run(clients.get(made[:at] + other + made[at + 1 :]))
        except Invalid:
            continue
        # The last letter has bits to spare; what is said stays the same.
        assert at == len(made) - 1 and found.redirect_uris == (CALLBACK,)


@pytest.mark.parametrize("uris", [["javascript:x"], ["http://evil.example/"], [f"https://a.example/{'x' * 480}"] * 4])
def test_a_client_that_could_not_be_one_is_not_registered(tmp_path: Path, uris: list[str]) -> None:
    with pytest.raises(Invalid):
        _clients(tmp_path).register(name="A tool", redirect_uris=uris, refreshes=False)


@limits(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=80))
def test_whatever_is_said_to_be_a_client_is_known_or_refused(tmp_path: Path, client_id: str) -> None:
    with pytest.raises(SutazaiError):
        asyncio.run(_clients(tmp_path).get(client_id))


def test_a_seal_holds_for_what_was_sealed_until_it_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seals = KeyedSeals(settings=Settings.read({"SUTAZAI_HOME": str(tmp_path)}))
    sealed = seals.seal("a", "bc")
    assert seals.holds(sealed, "a", "bc")
    for parts in (("ab", "c"), ("a", "bc", ""), ("a",), ()):
        assert not seals.holds(sealed, *parts)
    until, _, hashed = sealed.partition(".")
    for forged in ("", ".", hashed, f"{int(until) + 1}.{hashed}", f"{until}.", f"-1.{hashed}", f"\u0661.{hashed}"):
        assert not seals.holds(forged, "a", "bc")
    later = time.time() + 601
    monkeypatch.setattr("shared.stores.oauth_seals.time.time", lambda: later)
    assert not seals.holds(sealed, "a", "bc")
