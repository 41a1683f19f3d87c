"""A socket from its first frame to its end, over a real wire."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

import functions.realtime._entrance
import shared.sockets
import shared.stores.tokens
from shared.config import Settings
from tests.realtime.served import House, at_home, served


def test_a_token_opens_a_socket_and_says_where_its_user_is(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        async with house.socket() as socket:
            ready = await socket.ask(type="auth", token=ada.token)
            assert ready == {"type": "ready", "user_id": str(ada.user_id), "last_seq": ready["last_seq"]}
            assert await socket.ask(type="ping") == {"type": "pong"}

    at_home(settings, scenario)


@pytest.mark.parametrize(
    "first, reason",
    [
        ('{"type": "ping"}', "the first frame has to be auth"),
        ("not JSON", "the first frame has to be auth"),
        ('{"type": "auth", "token": "nonsense"}', "token_invalid"),
        ('{"type": "auth", "token": "sz_nonsense"}', "api_key_invalid"),
    ],
)
def test_whoever_proves_nothing_is_closed_out(settings: Settings, first: str, reason: str) -> None:
    async def scenario(house: House) -> None:
        async with house.socket() as socket:
            await socket.wire.send(first)
            assert await socket.closed() == (4401, reason)

    at_home(settings, scenario)


def test_whoever_says_nothing_is_closed_out(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions.realtime._entrance, "FIRST_FRAME_S", 0.2)

    async def scenario(house: House) -> None:
        async with house.socket() as socket:
            assert await socket.closed() == (4401, "no auth frame came within 0.2 s")

    at_home(settings, scenario)


def test_a_logout_closes_the_sockets_of_its_session_only(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        elsewhere = await house.login(ada.user_id)
        async with house.socket(ada) as first, house.socket(ada) as second, house.socket(elsewhere) as other:
            async with house.client(ada) as client:
                assert (await client.post("/api/v1/auth/logout")).status_code == 200
            began = time.monotonic()
            for socket in (first, second):
                assert await socket.closed() == (4401, "the session has ended")
            assert time.monotonic() - began < 1.5
            assert await other.ask(type="ping") == {"type": "pong"}

    at_home(settings, scenario)


def test_a_disabled_user_is_closed_out_and_so_is_one_with_other_roles(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada, bob, root = await house.person("ada"), await house.person("bob"), await house.person("root", "admin")
        async with house.socket(ada) as hers, house.socket(bob) as his, house.socket(root) as roots:
            await house.users.set_access(ada.user_id, actor=root.user_id, roles=None, is_active=False)
            await house.users.set_access(bob.user_id, actor=root.user_id, roles=("auditor",), is_active=None)
            assert await hers.closed(within_s=1.5) == (4401, "the session has ended")
            assert await his.closed(within_s=1.5) == (4401, "the roles have changed")
            assert await roots.ask(type="ping") == {"type": "pong"}

    at_home(settings, scenario)


def test_a_socket_ends_with_its_token_unless_a_newer_one_comes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared.stores.tokens, "LIFETIME_S", 3)

    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        async with house.socket(ada) as ends, house.socket(ada) as goes_on:
            monkeypatch.setattr(shared.stores.tokens, "LIFETIME_S", 600)
            newer = await house.login(ada.user_id)
            ready = await goes_on.ask(type="auth", token=newer.token)
            assert (ready["type"], ready["user_id"]) == ("ready", str(ada.user_id))
            assert await ends.closed() == (4401, "the token has expired")
            assert await goes_on.ask(type="ping") == {"type": "pong"}

    at_home(settings, scenario)


def test_an_api_key_opens_a_socket_for_what_it_may_do_and_ends_it_when_it_is_deleted(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        made = await house.keys.create(ada.user_id, name="script", scopes=frozenset({"tasks:read"}), expires_at=None)
        async with house.socket() as socket:
            assert (await socket.ask(type="auth", token=made.key))["user_id"] == str(ada.user_id)
            assert (await socket.ask(type="subscribe", channels=["task_status"]))["type"] == "subscribed"
            refused = await socket.ask(type="subscribe", channels=["agent_updates"])
            assert (refused["code"], refused["details"]) == ("FORBIDDEN", {"scope": "agents:read"})
            executed = await socket.ask(type="execute", command="agent.status", request_id="r")
            assert executed["error"]["code"] == "FORBIDDEN"
            assert await house.keys.delete(ada.user_id, made.id)
            assert await socket.closed(within_s=1.5) == (4401, "the session has ended")

    at_home(settings, scenario)


def test_a_socket_stays_with_its_user(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada, bob = await house.person("ada"), await house.person("bob")
        async with house.socket(ada) as socket:
            await socket.send(type="auth", token=bob.token)
            assert await socket.closed() == (4401, "this token is another user's")

    at_home(settings, scenario)


@pytest.mark.parametrize(
    "origin, opens", [("{http}", True), ("https://elsewhere.example", True), ("http://evil", False)]
)
def test_a_page_may_open_a_socket_from_here_or_where_the_operator_says(
    settings: Settings, origin: str, opens: bool
) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        async with house.socket(origin=origin.format(http=house.http)) as socket:
            if opens:
                assert (await socket.ask(type="auth", token=ada.token))["type"] == "ready"
            else:
                assert await socket.closed() == (4403, "this origin is not allowed")

    at_home(replace(settings, origins=frozenset({"https://elsewhere.example"})), scenario)


def test_no_more_sockets_are_open_than_the_tier_allows(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada, bob = await house.person("ada", tier="basic"), await house.person("bob", tier="free")
        async with house.socket(bob):
            sockets = [house.socket(ada) for _ in range(5)]
            opened = [await socket.__aenter__() for socket in sockets]
            async with house.socket() as sixth:
                await sixth.send(type="auth", token=ada.token)
                assert await sixth.closed() == (4429, "too many sockets are open")
            await sockets[0].__aexit__(None, None, None)
            async with asyncio.timeout(5):
                while True:
                    async with house.socket() as again:
                        await again.send(type="auth", token=ada.token)
                        if json.loads(await again.wire.recv())["type"] == "ready":
                            break
            for socket in sockets[1:]:
                await socket.__aexit__(None, None, None)
            assert len(opened) == 5

    at_home(settings, scenario)


def test_a_frame_that_is_none_of_ours_is_an_error_and_the_socket_goes_on(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        async with house.socket(ada) as socket:
            for text in (
                "{",
                "[]",
                '{"type": "shout"}',
                '{"type": "ping", "more": 1}',
                '{"type": "ping", "type": "ping"}',
            ):
                await socket.wire.send(text)
                error = await socket.next()
                assert (error["type"], error["code"]) == ("error", "VALIDATION_ERROR"), text
            named = await socket.ask(type="execute", command="rm -rf", request_id="r1")
            assert (named["type"], named["code"], named["request_id"]) == ("error", "VALIDATION_ERROR", "r1")
            assert await socket.ask(type="ping") == {"type": "pong"}

    at_home(settings, scenario)


def test_frames_are_text_of_at_most_64_kibibytes(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")

        async def pieces(count: int) -> AsyncIterator[str]:
            for _ in range(count):
                yield " " * 1024

        whole, split, binary = "x" * (64 * 1024 + 1), pieces(65), b"{}"
        sends: list[tuple[Any, int]] = [(whole, 1009), (split, 1009), (binary, 1003)]
        for sent, code in sends:
            async with house.socket(ada) as socket:
                await socket.wire.send(sent)
                assert (await socket.closed())[0] == code
        async with house.socket(ada) as socket:
            await socket.wire.send('{"type": "ping"' + " " * (64 * 1024 - 16) + "}")
            assert await socket.next() == {"type": "pong"}

    at_home(settings, scenario)


def test_a_message_comes_in_a_bounded_number_of_fragments(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")

        async def nothing() -> AsyncIterator[str]:
            for _ in range(2000):
                yield ""

        async with house.socket(ada) as socket:
            await socket.wire.send(nothing())
            assert await socket.closed() == (1009, "too many fragments")

    at_home(settings, scenario)


@pytest.mark.parametrize("path", ["/", "/ws/", "/wss", "/api/v1/users/me"])
def test_elsewhere_no_socket_opens(settings: Settings, path: str) -> None:
    async def scenario(house: House) -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with connect(house.ws.removesuffix("/ws") + path, proxy=None):
                raise AssertionError("it opened")
        assert refused.value.response.status_code == 404
        assert json.loads(refused.value.response.body or b"")["error"]["code"] == "NOT_FOUND"

    at_home(settings, scenario)


def test_sockets_are_told_when_the_server_goes(settings: Settings) -> None:
    async def play() -> None:
        async with asyncio.timeout(60), AsyncExitStack() as left_open:
            async with served(settings) as house:
                socket = await left_open.enter_async_context(house.socket(await house.person("ada")))
                began = time.monotonic()
            assert time.monotonic() - began < 4
            assert (await socket.closed())[0] == 1012

    asyncio.run(play())


def test_a_process_has_no_more_sockets_than_half_its_descriptors(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared.sockets, "_descriptors", lambda: 5)

    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        async with house.socket(ada), house.socket(), house.socket() as third:
            assert await third.closed() == (1013, "too many sockets are open here")

    at_home(settings, scenario)
