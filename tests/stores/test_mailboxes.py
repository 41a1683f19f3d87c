"""Messages between processes: whoever has the box gets them, wherever it was opened."""

import asyncio

from shared.config import Settings
from shared.ports.mailboxes import Mailboxes
from shared.wiring import Ports


async def _sent(here: Mailboxes, there: Mailboxes, content: bytes) -> tuple[bool, bytes]:
    async with there.opened("a-box") as box:
        sending = asyncio.create_task(here.send("a-box", content, within_s=20))
        return await sending, await box.receive()


def test_a_message_arrives_in_its_own_process_and_in_another_however_large_it_is(settings: Settings) -> None:
    async def play() -> None:
        async with asyncio.timeout(60), Ports(settings) as one, Ports(settings) as other:
            here, there = await one.open(Mailboxes), await other.open(Mailboxes)
            for content in (b"", b"hello", bytes(range(256)) * 4096):
                assert await _sent(here, here, content) == (True, content)
                assert await _sent(here, there, content) == (True, content)
                assert await _sent(there, here, content) == (True, content)

    asyncio.run(play())


def test_what_nobody_waits_for_is_said_to_be_lost(settings: Settings) -> None:
    async def play() -> list[bool]:
        async with asyncio.timeout(60), Ports(settings) as one, Ports(settings) as other:
            here, there = await one.open(Mailboxes), await other.open(Mailboxes)
            async with there.opened("another-box"):
                missed = await here.send("a-box", b"hello", within_s=0.2)
            async with there.opened("a-box"):
                pass
            return [missed, await here.send("a-box", b"hello", within_s=0.2)]

    assert asyncio.run(play()) == [False, False]


def test_hints_that_are_no_messages_are_passed_over(settings: Settings) -> None:
    async def play() -> bytes:
        from shared.ports.signals import Signals

        async with asyncio.timeout(60), Ports(settings) as ports:
            mailboxes, signals = await ports.open(Mailboxes), await ports.open(Signals)
            async with mailboxes.opened("a-box") as box:
                for wrong in ("", "taken", "taken x", "a-box 1 0 1 !", "a-box 2 x 1 AA==", "a-box 3 7 1 AA==", "a b c"):
                    signals.send("mailbox", wrong)
                await mailboxes.send("a-box", b"hello", within_s=20)
                return await box.receive()

    assert asyncio.run(play()) == b"hello"
