"""Rates as callers meet them, over HTTP: who is counted as whom, what is said, and what is never counted."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_network
from uuid import uuid4

import httpx
import pytest

from shared.catalog import find
from shared.config import Settings
from shared.errors import ConfigurationError
from shared.ports.idempotency import Idempotency
from shared.ports.limits import TIERS
from shared.ports.sessions import Sessions
from shared.ports.tokens import Tokens
from shared.ports.users import Registration, Users
from shared.serve import App
from shared.wiring import Ports
from tests.people import FIREFOX

NAMES = ("get_me", "update_me", "login", "refresh", "get_health", "get_info", "get_jwks", "get_openapi", "show_docs")
QUOTA = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")


@dataclasses.dataclass(frozen=True)
class _House:
    app: App
    ports: Ports

    @asynccontextmanager
    async def at(self, address: str, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(app=self.app, client=(address, 1234))
        async with httpx.AsyncClient(transport=transport, base_url="http://here/api/v1", headers=headers) as client:
            yield client

    async def token(self) -> str:
        """Of a new user, who has the default tier."""
        users, sessions = await self.ports.open(Users), await self.ports.open(Sessions)
        tokens, name = await self.ports.open(Tokens), uuid4().hex
        user = await users.register(Registration(email=f"{name}@example.org", username=name, password_hash=""))
        session = await sessions.start(user.id, tokens.new_refresh(), call=FIREFOX)
        access = tokens.issue(user_id=user.id, session_id=session.session_id, roles=session.roles, scopes=frozenset())
        return f"Bearer {access.text}"


def _play(settings: Settings, scenario: Callable[[_House], Awaitable[None]], **changed: object) -> None:
    here = dataclasses.replace(settings, **{"default_tier": "free", **changed})  # type: ignore[arg-type]

    async def bounded() -> None:
        app = App([find(name) for name in NAMES], settings=here, overrides={Idempotency: object()})
        async with asyncio.timeout(60), Ports(here) as ports, app.running():
            await scenario(_House(app, ports))

    asyncio.run(bounded())


def _address() -> str:
    """One that no other test has."""
    number = uuid4().int
    return f"10.{number % 250}.{number // 250 % 250}.{number // 62_500 % 250}"


def test_a_free_user_has_ten_requests_at_once_and_is_told_what_is_left(settings: Settings) -> None:
    async def scenario(house: _House) -> None:
        async with house.at("192.0.2.1", authorization=await house.token()) as ada:
            for left in range(9, -1, -1):
                answer = await ada.get("/users/me")
                now = time.time()
                assert answer.status_code == 200
                assert [answer.headers[name] for name in QUOTA[:2]] == ["100", str(left)]
                assert [answer.headers[f"x-{name}"] for name in QUOTA[:2]] == ["100", str(left)]
                reset_s = int(answer.headers["ratelimit-reset"])
                assert (10 - left) * 36 - 5 < reset_s <= (10 - left) * 36
                assert abs(int(answer.headers["x-ratelimit-reset"]) - now - reset_s) <= 2
            # Neither its body nor its shape is looked at.
            refused = await ada.put("/users/me", content=b"no json")
            error, details = refused.json()["error"], refused.json()["error"]["details"]
            assert (refused.status_code, error["code"]) == (429, "RATE_LIMIT_EXCEEDED")
            assert details.keys() == {"limit", "remaining", "reset_at", "retry_after"}
            assert (details["limit"], details["remaining"]) == (100, 0) and 30 < details["retry_after"] <= 36
            assert refused.headers["retry-after"] == str(details["retry_after"])
            assert [refused.headers[name] for name in QUOTA[:2]] == ["100", "0"]
            reset_at = datetime.fromisoformat(details["reset_at"])
            assert reset_at.tzinfo == UTC and 350 < reset_at.timestamp() - time.time() <= 361
        async with house.at("192.0.2.1", authorization=await house.token()) as bob:
            assert (await bob.get("/users/me")).headers["ratelimit-remaining"] == "9"

    _play(settings, scenario)


def test_one_rate_holds_for_all_that_a_user_asks_for(settings: Settings) -> None:
    async def scenario(house: _House) -> None:
        async with house.at("192.0.2.1", authorization=await house.token()) as ada:
            answers = [await ada.request(method, "/users/me", json={}) for method in ("GET", "PUT", "PATCH", "PUT")]
            left = [answer.headers.get("ratelimit-remaining") for answer in answers]
            # What leads nowhere asks nobody who is there.
            assert left == ["9", "8", None, "7"]

    _play(settings, scenario)


def test_who_is_in_an_unlimited_tier_is_told_nothing(settings: Settings) -> None:
    async def scenario(house: _House) -> None:
        async with house.at("192.0.2.1", authorization=await house.token()) as ada:
            for _ in range(30):
                answer = await ada.get("/users/me")
                assert answer.status_code == 200 and "ratelimit" not in str(answer.headers).lower()
        async with house.at(_address()) as nobody:
            answers = [await nobody.post("/auth/login", json={}) for _ in range(30)]
            assert {answer.status_code for answer in answers} == {400}

    _play(settings, scenario, default_tier="enterprise")


@pytest.mark.parametrize(
    "path",
    ["/health", "/health/live", "/health/ready", "/info", "/.well-known/jwks.json", "/api/v1/openapi.json"],
)
def test_what_everybody_looks_at_is_not_counted(settings: Settings, path: str) -> None:
    async def scenario(house: _House) -> None:
        async with house.at(_address()) as nobody:
            for _ in range(15):
                answer = await nobody.get(f"http://here{path}")
                assert answer.status_code in (200, 503) and "ratelimit" not in str(answer.headers).lower()

    _play(settings, scenario)


@pytest.mark.parametrize("path", ["/auth/login", "/auth/refresh"])
def test_strangers_are_counted_by_address(settings: Settings, path: str) -> None:
    async def scenario(house: _House) -> None:
        here, there = _address(), _address()
        async with house.at(here) as nobody:
            answers = [await nobody.post(path, json={}) for _ in range(11)]
            assert [answer.status_code for answer in answers] == [400] * 10 + [429]
        async with house.at(f"::ffff:{here}") as same, house.at(there) as other:
            assert (await same.post(path, json={})).status_code == 429
            assert (await other.post(path, json={})).status_code == 400

    _play(settings, scenario)


def test_an_ipv6_network_of_one_subscriber_is_one_stranger(settings: Settings) -> None:
    async def scenario(house: _House) -> None:
        prefix = f"2001:db8:{uuid4().int % 65_000:x}:{uuid4().int % 65_000:x}"
        for number in range(1, 11):
            async with house.at(f"{prefix}::{number:x}") as nobody:
                assert (await nobody.post("/auth/login", json={})).status_code == 400
        async with house.at(f"{prefix}:ffff::1") as same, house.at("2001:db8:ffff:ffff::1") as other:
            assert (await same.post("/auth/login", json={})).status_code == 429
            assert (await other.post("/auth/login", json={})).status_code == 400

    _play(settings, scenario)


def test_guessing_tokens_is_counted_by_address_and_does_not_touch_their_users(settings: Settings) -> None:
    async def scenario(house: _House) -> None:
        here, token = _address(), await house.token()
        async with house.at(here, authorization=token[:-4] + "AAAA") as guesser, house.at(here) as ada:
            answers = [await guesser.get("/users/me") for _ in range(12)]
            assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
            answer = await ada.get("/users/me", headers={"authorization": token})
            assert (answer.status_code, answer.headers["ratelimit-remaining"]) == (200, "9")

    _play(settings, scenario)


def test_only_a_gateway_of_ours_says_who_is_behind_it(settings: Settings) -> None:
    async def scenario(house: _House) -> None:
        near, far = _address(), _address()
        async with house.at("172.20.0.5") as gateway, house.at(far) as stranger:
            for _ in range(10):
                said = {"x-forwarded-for": f"1.2.3.4, {near}"}
                assert (await gateway.post("/auth/login", json={}, headers=said)).status_code == 400
            # What stands before it is the stranger's own word.
            said = {"x-forwarded-for": f"9.9.9.9, {near}, 172.20.0.9"}
            assert (await gateway.post("/auth/login", json={}, headers=said)).status_code == 429
            said = {"x-forwarded-for": near}
            assert (await stranger.post("/auth/login", json={}, headers=said)).status_code == 400

    _play(settings, scenario, trusted_proxies=(ip_network("172.20.0.0/16"),))


def test_nobody_is_believed_where_no_gateway_is_set(settings: Settings) -> None:
    async def scenario(house: _House) -> None:
        async with house.at(_address()) as stranger:
            statuses = []
            for _ in range(11):
                said = {"x-forwarded-for": _address(), "forwarded": f"for={_address()}", "x-real-ip": _address()}
                statuses.append((await stranger.post("/auth/login", json={}, headers=said)).status_code)
            assert statuses == [400] * 10 + [429]

    _play(settings, scenario)


@pytest.mark.parametrize("text", ["10.0.0.0/33", "proxy", "10.0.0.1/8"])
def test_a_gateway_that_is_no_network_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ConfigurationError, match="SUTAZAI_TRUSTED_PROXIES"):
        Settings.read({"SUTAZAI_TRUSTED_PROXIES": text})


def test_settings_of_limits_are_read() -> None:
    environ = {
        "SUTAZAI_TRUSTED_PROXIES": "10.0.0.0/8, fd00::/8",
        "SUTAZAI_REPLICAS": "4",
        "SUTAZAI_DEFAULT_TIER": "pro",
    }
    read = Settings.read(environ)
    assert read.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert (read.replicas, read.default_tier) == (4, "pro")
    for tier, limits in TIERS.items():
        assert Settings.read({"SUTAZAI_DEFAULT_TIER": tier}).limits_strangers == (limits.per_hour is not None)
    for name, value in (("SUTAZAI_DEFAULT_TIER", "gold"), ("SUTAZAI_REPLICAS", "0")):
        with pytest.raises(ConfigurationError, match=name):
            Settings.read({name: value})
