"""A worker's process: follows the wake-ups of all agents."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from shared.config import Settings
from shared.errors import Unavailable
from shared.function import Spec, Tool
from shared.local.lock import ended_by_signals
from shared.local.mcp_listener import listening
from shared.ports.bus import Bus, WakeUp
from shared.telemetry import log_lines
from shared.wiring import Ports
from shared.worker import Worker

logger = logging.getLogger("sutazai.worker")

_TRY_AGAIN_S = 0.5


def main(specs: Sequence[Spec], *, ready: Path) -> None:
    """Works until SIGTERM, then drains. Writes to `ready` where it answers MCP, once it can claim."""
    log_lines()
    actions = [spec for spec in specs if isinstance(spec.trigger, Tool)]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work(actions, ready))


async def _work(actions: Sequence[Spec], ready: Path) -> None:
    with ended_by_signals():
        async with Ports(Settings.read()) as ports, AsyncExitStack() as stack:
            worker = await _joined(stack, actions, ports)
            # Set from the start: what was accepted before is waiting.
            woken = {agent: asyncio.Event() for agent in worker.agents}

            def hear(wake_up: WakeUp) -> None:
                woken[wake_up.agent].set()

            bus = await ports.open(Bus)
            async with (
                bus.waking(worker.agents, hear),
                listening(actions, worker=worker, ports=ports) as address,
                asyncio.TaskGroup() as group,
            ):
                for agent, event in woken.items():
                    event.set()
                    group.create_task(worker.follow(agent, event, full=_passing_on(bus, group)))
                ready.write_text(address)


async def _joined(stack: AsyncExitStack, actions: Sequence[Spec], ports: Ports) -> Worker:
    """Once the record can be reached: another process would have to be started all over, and no sooner."""
    while True:
        try:
            return await stack.enter_async_context(Worker(actions, ports=ports))
        except Unavailable as exc:
            logger.warning("it claims nothing yet: %s", exc)
            await asyncio.sleep(_TRY_AGAIN_S)


def _passing_on(bus: Bus, group: asyncio.TaskGroup) -> Callable[[str], object]:
    return lambda agent: group.create_task(bus.pass_on(agent))
