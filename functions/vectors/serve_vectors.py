"""The vector service: holds every engine and every embedder, and keeps the engines at what the record says."""

import asyncio
import logging

from shared.config import Settings
from shared.door import Door
from shared.function import Scale, service
from shared.gauges import Gauges
from shared.ports.signals import Signals
from shared.ports.vectors import Truth
from shared.vectors.embedding import Embedding
from shared.vectors.serving.engines import Engines

logger = logging.getLogger("sutazai.vectors")


# Its disk is for engines that are no server elsewhere; each replica holds all that it answers from.
@service(disk_gib=20, scale=Scale(min=1, max=3, target=1000, metric="queue"))
async def serve_vectors(
    *,
    engines: Engines,
    truth: Truth,
    signals: Signals,
    embedding: Embedding,
    door: Door,
    gauges: Gauges,
    settings: Settings,
) -> None:
    """Runs until cancelled. Whoever asks it signs with a key of this platform's: it is never public."""
    from shared.vectors.serving.desk import Desk
    from shared.vectors.serving.endpoints import Endpoints
    from shared.vectors.serving.signing import Signer

    desk = Desk(engines=engines, truth=truth, signals=signals, embedding=embedding)
    endpoints = Endpoints(desk, Signer(settings.keys_dir))
    gauges.show("sutazai_queue_depth", "Requests that are not answered yet.", lambda: {"": endpoints.waiting})

    async def open_when_settled() -> None:
        await desk.settled()
        door.open(endpoints)
        logger.info("every engine is where the record was")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(desk.run())
            group.create_task(open_when_settled())
    finally:
        door.shut()
