"""Feeds functions from the bus over HTTP, where no broker does it: OpenFaaS, compose."""

import asyncio
import logging
from collections.abc import Collection, Sequence
from functools import partial

from events.base import Envelope
from events.tasks import TaskQueued
from shared import cloud_events
from shared.deadline import to_its_end
from shared.errors import Unavailable
from shared.function import OnEvent, Spec
from shared.ports.bus import Bus, WakeUp
from shared.ports.dead_letters import DeadLetters
from shared.ports.functions import Functions, Refused

logger = logging.getLogger("sutazai.connector")

# Requests at once to one agent; each claims for as long as there is work.
SLOTS = 4
# Longer than an agent's replica works for one wake-up.
WAKE_UP_S = 600.0
DRAIN_S = 20.0


class Connector:
    """Wake-ups are noted and taken off the queue at once, so an agent without a free slot holds up no other."""

    def __init__(self, agents: Collection[str], consumers: Sequence[Spec], *, slots: int = SLOTS) -> None:
        self._agents = tuple(agents)
        self._consumers = tuple(consumers)
        self._slots = slots
        self._wanted = dict.fromkeys(self._agents, 0)
        self._noted = {agent: asyncio.Event() for agent in self._agents}

    async def run(self, bus: Bus, functions: Functions, dead_letters: DeadLetters) -> None:
        """Until cancelled; then what is on its way may still end."""
        async with bus.waking(self._agents, self._note), asyncio.TaskGroup() as group:
            for agent in self._agents:
                for _ in range(self._slots):
                    group.create_task(self._serve(agent, functions))
            for spec in self._consumers:
                assert isinstance(spec.trigger, OnEvent)
                deliver = partial(_deliver, spec, functions, dead_letters)
                group.create_task(bus.consume(spec.deployed, spec.trigger.event.type, deliver))

    def _note(self, wake_up: WakeUp) -> None:
        self._wanted[wake_up.agent] = min(max(self._wanted[wake_up.agent], wake_up.wanted), self._slots)
        self._noted[wake_up.agent].set()

    async def _serve(self, agent: str, functions: Functions) -> None:
        """One slot: whatever was noted while it was busy is its next request."""
        noted = self._noted[agent]
        while True:
            await noted.wait()
            if not self._wanted[agent]:
                # All slots are told at once; the others have taken it.
                noted.clear()
                continue
            self._wanted[agent] -= 1
            await to_its_end(_wake(agent, functions), within_s=DRAIN_S)


async def _wake(agent: str, functions: Functions) -> None:
    """A wake-up that fails is dropped: the keeper reminds for as long as there is work."""
    event = cloud_events.envelope(
        TaskQueued(agent=agent, wanted=1), source="/functions/connect", subject=agent, agent=agent
    )
    try:
        await functions.send(agent, event, timeout_s=WAKE_UP_S)
    except (Unavailable, Refused) as exc:
        logger.warning("agent %s was not woken: %s", agent, exc)


async def _deliver(spec: Spec, functions: Functions, dead_letters: DeadLetters, event: Envelope) -> None:
    try:
        await functions.send(spec.deployed, event, timeout_s=spec.timeout_s)
    except Refused as exc:
        await dead_letters.refuse(spec.deployed, event, reason="refused", error=str(exc))
