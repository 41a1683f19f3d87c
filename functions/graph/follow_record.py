"""The always-on loop that keeps the knowledge graph at what the record says. One is active, others stand by."""

import asyncio
import logging

from shared.errors import Unavailable
from shared.function import Scale, service
from shared.graph.following import Follower
from shared.ports.graph import Facts, Gathering, GraphEngine
from shared.ports.signals import Signals

logger = logging.getLogger("sutazai.graph")


@service(scale=Scale(min=1, max=2))
async def follow_record(*, facts: Facts, gathering: Gathering, engine: GraphEngine, signals: Signals) -> None:
    """Runs until cancelled; when the record cannot be reached it starts over."""
    while True:
        try:
            async with facts.active():
                await Follower(facts=facts, gathering=gathering, engine=engine).run(signals)
        except* Unavailable as errors:
            logger.warning("the graph waits for the record: %s", errors.exceptions[0])
        await asyncio.sleep(0.5)
