"""For tests: the record with an engine of the graph that follows it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from shared.config import Settings
from shared.ports.graph import Facts, Gathering, Graph, GraphEngine
from shared.stores.postgres.database import Database
from shared.wiring import Ports
from tests.contract.graph import Here


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Here]:
    async with Ports(settings) as ports:
        database = await ports.open(Database)
        ada, bob = await person(database), await person(database)
        # Rebuilding takes all users; these are for the scenario to say.
        here = Here(
            database=database,
            facts=await ports.open(Facts),
            gathering=await ports.open(Gathering),
            engine=await ports.open(GraphEngine),
            graph=await ports.open(Graph),
            ada=ada,
            bob=bob,
        )
        yield here


async def person(database: Database) -> UUID:
    user_id = uuid4()
    await database.execute(
        "INSERT INTO users (id, email, email_index, username, password_hash, tier) VALUES ($1, $2, $3, $4, '', 'free')",
        user_id,
        b"\x00nobody",
        user_id.bytes,
        f"u{user_id.hex[:20]}",
    )
    return user_id
