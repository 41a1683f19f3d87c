"""Every case of http-fetch.yaml: what is answered, and that nobody inside was reached."""

import asyncio
import gzip
import itertools
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.errors import SutazaiError
from shared.function import spec_of
from tests.agents.http_fetch.pages import KeptPages
from tests.fakes import FakeRun
from tests.internet import PUBLIC, PUBLIC_TOO, PUBLIC_V6, Names, Site, Wire, answer, gate

CASES: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("http-fetch.yaml").read_text())["cases"]
CANARY = "CANARY"
REPEATED = 20_000


def names() -> Names:
    flip, turn = itertools.cycle([[PUBLIC], ["127.0.0.1"]]), itertools.cycle([[PUBLIC], ["127.0.0.1"]])
    return Names(
        {
            "public.example": [PUBLIC],
            "other.example": [PUBLIC_TOO],
            "xn--bcher-kva.example": [PUBLIC],
            "loopback.example": ["127.0.0.1"],
            "localhost": ["127.0.0.1", "::1"],
            "mixed.example": [PUBLIC, "10.0.0.1"],
            "mixed-too.example": ["::1", PUBLIC_V6],
            "metadata.example": ["169.254.169.254"],
            "mapped.example": ["::ffff:127.0.0.1"],
            "nat64.example": ["64:ff9b::7f00:1"],
            "scoped.example": ["fe80::1%lo"],
            "short.example": ["127.1"],
            "words.example": [PUBLIC, "localhost"],
            "many.example": [*[PUBLIC] * 1000, "127.0.0.1"],
            "empty.example": [],
            "flip.example": lambda: next(flip),
            "turn.example": lambda: next(turn),
        }
    )


def filled(value: Any, inner: int) -> Any:
    """The case with what only the stage knows in place of `{names}`."""
    if isinstance(value, dict):
        return {filled(key, inner): filled(item, inner) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    known = {"{inner}": str(inner), "{long_name}": "n" * 64, "{long_path}": "a" * 9000, "{as}": "a" * 2000}
    for name, text in known.items():
        value = value.replace(name, text)
    return value


def served(said: dict[str, Any]) -> bytes:
    fields = dict(said)
    status = fields.pop("status", 200)
    if "bomb" in fields:
        body = gzip.compress(b"\0" * fields.pop("bomb"), 9)
        fields["content_encoding"] = "gzip"
    elif "members" in fields:
        body = gzip.compress(b"x") * fields.pop("members")
        fields["content_encoding"] = "gzip"
    elif "size" in fields:
        body = b"x" * fields.pop("size")
    else:
        body = (fields.pop("repeat", "") * REPEATED + fields.pop("body", "")).encode()
    return answer(body, status=status, **{"content_type": "text/plain", **fields})


def origin(name: str, serve: dict[str, Any]) -> Site:
    def serving(line: str, _headers: dict[str, str], _body: bytes) -> bytes:
        path = line.split(" ")[1]
        if path in serve:
            return served(serve[path])
        return answer(status=404) if path == "/robots.txt" else answer(name, content_type="text/plain")

    return Site(serving)


def words(site: Site) -> str:
    return repr(site.requests)


async def called(tool: str, arguments: dict[str, Any], wire: Wire) -> tuple[bool, str]:
    """Whether it was served, and the text of the answer or the error."""
    handler = getattr(import_module(f"functions.agents.http_fetch.{tool}"), tool)
    payload = spec_of(handler).payload
    assert payload is not None
    async with gate(names=names(), wire=wire) as egress:
        try:
            request = payload.model_validate(arguments)
            said = await handler(request, run=FakeRun(), egress=egress, pages=KeptPages())
        except SutazaiError as exc:
            return False, exc.message
    return True, said.content[0].text


def dialled_inside(wire: Wire) -> Sequence[tuple[str, int]]:
    return [peer for peer in wire.dialled if peer[0] not in (PUBLIC, PUBLIC_TOO, PUBLIC_V6)]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_a_hostile_call_gets_its_answer_and_reaches_nobody_inside(case: dict[str, Any]) -> None:
    inner = Site(lambda *_: answer(CANARY, content_type="text/plain"))

    async def scenario() -> tuple[bool, str, Site, Site, Wire, dict[str, Any]]:
        async with inner.listening():
            here = filled(case, inner.port)
            public, other = origin("PUBLIC", here.get("serve", {})), origin("OTHER", here.get("serve", {}))
            async with public.listening(), other.listening(), asyncio.timeout(60):
                played = {(PUBLIC, 80): public.port, (PUBLIC_TOO, 80): other.port}
                wire = Wire(played, elsewhere=inner.port)
                arguments = here.get("input") or {"url": here["url"]}
                return *await called(here.get("tool", "fetch_txt"), arguments, wire), public, other, wire, here

    was_served, text, public, other, wire, here = asyncio.run(scenario())

    assert (inner.connections, dialled_inside(wire)) == (0, [])
    assert was_served is ("refused" not in here), text
    assert here.get("refused", "") in text
    assert here.get("answer", "") in text
    assert "lacks" not in here or here["lacks"] not in text
    assert len(wire.dialled) == here.get("dialled", 0)
    assert here.get("sent", "") in words(public)
    assert "other_lacks" not in here or here["other_lacks"] not in words(other)
    assert "public_lacks" not in here or here["public_lacks"] not in words(public)
    assert CANARY not in text


def test_the_stage_would_show_a_hit() -> None:
    """With loopback allowed, as no case has it, the inner origin is reached and seen to be."""
    inner = Site(lambda *_: answer(CANARY, content_type="text/plain"))

    async def scenario() -> str:
        async with inner.listening():
            wire = Wire(elsewhere=inner.port)
            async with gate(("127.0.0.1", 80), names=names(), wire=wire) as egress:
                said = await egress.request("GET", "http://loopback.example/", headers={}, timeout_s=5)
            assert dialled_inside(wire) == [("127.0.0.1", 80)]
            return said.body.decode()

    assert asyncio.run(scenario()) == CANARY
    assert inner.connections == 1


def test_the_corpus_is_as_large_as_promised_and_names_its_cases_once() -> None:
    assert len(CASES) >= 90
    assert len({case["name"] for case in CASES}) == len(CASES)
