"""Every second: tells those who asked for it that their task has ended."""

import asyncio
import time

from functions.webhooks._callback import call_back
from shared.function import every
from shared.ports.callbacks import Callbacks
from shared.ports.dead_letters import DeadLetters
from shared.ports.egress import Egress
from shared.ports.signatures import Signatures
from shared.ports.tasks import Tasks

AT_ONCE = 16
PER_PEER = 2
# Longer than one attempt; whoever dies during it is made up for after it.
LEASE_S = 30.0
LOOK_S = 0.25
# A turn begins nothing that its timeout would cut off.
TURN_S = 570.0


@every(1, timeout_s=600)
async def deliver_callbacks(
    *, callbacks: Callbacks, tasks: Tasks, egress: Egress, signatures: Signatures, dead_letters: DeadLetters
) -> None:
    """POSTs the end of tasks to whoever asked for it, 16 at once and 2 to one peer, until nothing is due."""
    turn_ends_at = time.monotonic() + TURN_S
    under_way: dict[asyncio.Task[None], bytes] = {}
    async with asyncio.TaskGroup() as group:
        while True:
            free = AT_ONCE - len(under_way)
            if free and time.monotonic() < turn_ends_at:
                busy = list(under_way.values())
                for callback in await callbacks.lease(free, per_peer=PER_PEER, busy=busy, lease_s=LEASE_S):
                    call = call_back(callback, callbacks, tasks, egress, signatures, dead_letters)
                    under_way[group.create_task(call)] = callback.peer
            if not under_way:
                return
            done, _ = await asyncio.wait(under_way, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            for call_task in done:
                del under_way[call_task]
