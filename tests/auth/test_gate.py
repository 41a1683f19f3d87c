"""The door remembers for a moment whom a header has proven; nothing that ends the proof waits for it to forget."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

import pytest

from functions.auth.logout import logout
from shared.asgi import Request
from shared.config import Settings
from shared.crypto import rotate_signing_key
from shared.errors import Unauthorized
from shared.gate import Gate
from shared.ports.sessions import Sessions
from shared.wiring import Ports
from tests.people import Place, at, within_a_second


def _asking(authorization: str) -> Request:
    """A request with this header, and nothing else."""

    async def receive() -> NoReturn:
        raise AssertionError("nobody reads a body here")

    headers = [(b"authorization", authorization.encode())]
    return Request({"method": "GET", "path": "/", "query_string": b"", "headers": headers}, receive)


def _at_the_gate(
    settings: Settings, end: Callable[[Place, Ports, Gate, str], Awaitable[None]], *, wrong: str | None
) -> None:
    """Somebody is let in twice; then `end` happens in the same process, and they are refused for what is `wrong`."""

    async def scenario(here: Place) -> None:
        await here.register("ada")
        header = f"Bearer {(await here.login('ada')).access_token}"
        async with Ports(settings) as ports:
            gate = Gate("agents:read", limited=False)
            await gate.open(ports)
            first = await gate.caller(_asking(header))
            assert await gate.caller(_asking(header)) is first
            await end(here, ports, gate, header)

            async def is_out() -> bool:
                try:
                    await gate.caller(_asking(header))
                except Unauthorized as refusal:
                    return refusal.details["reason"] == wrong
                return False

            if wrong is not None:
                await within_a_second(is_out)

    at(settings, scenario)


def test_who_has_logged_out_here_is_out_at_once(settings: Settings) -> None:
    async def end(here: Place, ports: Ports, gate: Gate, header: str) -> None:
        await logout(caller=await gate.caller(_asking(header)), sessions=await ports.open(Sessions))
        with pytest.raises(Unauthorized):
            await gate.caller(_asking(header))

    _at_the_gate(settings, end, wrong="session_ended")


def test_who_has_logged_out_elsewhere_is_out_within_a_second(settings: Settings) -> None:
    async def end(here: Place, ports: Ports, gate: Gate, header: str) -> None:
        await logout(caller=await gate.caller(_asking(header)), sessions=here.sessions)

    _at_the_gate(settings, end, wrong="session_ended")


def test_a_role_that_is_given_counts_within_a_second(settings: Settings) -> None:
    async def end(here: Place, ports: Ports, gate: Gate, header: str) -> None:
        caller = await gate.caller(_asking(header))
        await here.database.execute("UPDATE users SET roles = '{user,operator}' WHERE id = $1", caller.user_id)

        async def is_operator() -> bool:
            return "operator" in (await gate.caller(_asking(header))).roles

        await within_a_second(is_operator)

    _at_the_gate(settings, end, wrong=None)


def test_a_token_of_a_key_that_was_withdrawn_is_refused(settings: Settings, tmp_path: Path) -> None:
    async def end(here: Place, ports: Ports, gate: Gate, header: str) -> None:
        # The second rotation deletes the key that has signed it.
        rotate_signing_key(settings.keys_dir)
        rotate_signing_key(settings.keys_dir)

        async def is_refused() -> bool:
            try:
                await gate.caller(_asking(header))
            except Unauthorized as refusal:
                return refusal.details["reason"] == "token_invalid"
            return False

        async with asyncio.timeout(10):
            while not await is_refused():
                await asyncio.sleep(0.01)

    _at_the_gate(dataclasses.replace(settings, keys_dir=tmp_path / "keys"), end, wrong="token_invalid")
