"""What has to stand in Neo4j before the graph does; numbered, forward only, each done once."""

from shared.ports.graph import KINDS
from shared.stores.neo4j.link import Neo4jLink

# Each is repeatable, since changes of the schema are no part of the transaction that notes them.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE CONSTRAINT graph_schema IF NOT EXISTS FOR (s:GraphSchema) REQUIRE s.id IS UNIQUE",
        "CREATE CONSTRAINT graph_generation IF NOT EXISTS FOR (g:GraphGeneration) REQUIRE g.number IS UNIQUE",
        "CREATE CONSTRAINT graph_live IF NOT EXISTS FOR (g:GraphLive) REQUIRE g.id IS UNIQUE",
        "CREATE CONSTRAINT graph_node IF NOT EXISTS FOR (n:Node) REQUIRE n.key IS UNIQUE",
        "CREATE INDEX graph_star IF NOT EXISTS FOR (n:Node) ON (n.generation, n.star)",
        "CREATE INDEX graph_user IF NOT EXISTS FOR (n:Node) ON (n.user_id)",
        *(f"CREATE INDEX graph_{kind.lower()} IF NOT EXISTS FOR (n:{kind}) ON (n.id)" for kind in KINDS),
    ),
    # An index over embeddings was here, which the vector engines are for.
    (),
    ("DROP INDEX graph_embedding IF EXISTS",),
)
_VERSION = "MATCH (s:GraphSchema {id: 'graph'}) RETURN s.version AS version"
_DONE = "MERGE (s:GraphSchema {id: 'graph'}) SET s.version = $version"
_AWAIT = "CALL db.awaitIndexes(120)"


async def migrate(link: Neo4jLink) -> None:
    rows = await link.alone(_VERSION)
    done: int = rows[0]["version"] if rows else 0
    for version, statements in enumerate(_MIGRATIONS[done:], done + 1):
        for statement in statements:
            await link.alone(statement)
        await link.alone(_AWAIT)
        await link.alone(_DONE, version=version)
