"""The always-on loop that keeps the knowledge graph at what the record says. One is active, others stand by."""

import asyncio
import logging

from shared.catalog import agent_names
from shared.errors import Unavailable
from shared.function import Scale, service
from shared.graph.following import Follower
from shared.graph.relating import Relating
from shared.ports.document_ties import DocumentTies
from shared.ports.graph import Facts, Gathering, GraphEngine
from shared.ports.signals import Signals
from shared.ports.vector_service import VectorService
from shared.ports.vectors import Collections, Vectors

logger = logging.getLogger("sutazai.graph")


@service(scale=Scale(min=1, max=2))
async def follow_record(
    *,
    facts: Facts,
    gathering: Gathering,
    engine: GraphEngine,
    signals: Signals,
    ties: DocumentTies,
    collections: Collections,
    vectors: Vectors,
    vector_service: VectorService,
) -> None:
    """Runs until cancelled; when the record cannot be reached it starts over."""
    while True:
        try:
            async with facts.active(), asyncio.TaskGroup() as group:
                group.create_task(Follower(facts=facts, gathering=gathering, engine=engine).run(signals))
                group.create_task(
                    Relating(
                        ties=ties,
                        collections=collections,
                        vectors=vectors,
                        service=vector_service,
                        agents=agent_names(),
                    ).run()
                )
        except* Unavailable as errors:
            logger.warning("the graph waits for the record: %s", _first(errors))
        await asyncio.sleep(0.5)


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
