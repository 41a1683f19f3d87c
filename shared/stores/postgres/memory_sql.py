"""Statements of knowledge graphs. $1 is the user everywhere."""

# The lock waits for whoever is erasing the user; then there is none.
MAKE_GRAPH = """
INSERT INTO memory_graphs (user_id, blind_key) SELECT id, $2 FROM users WHERE id = $1 FOR KEY SHARE
ON CONFLICT DO NOTHING"""
KEY = "SELECT blind_key FROM memory_graphs WHERE user_id = $1"
LOCK_GRAPH = "SELECT * FROM memory_graphs WHERE user_id = $1 FOR NO KEY UPDATE"
DONE = "SELECT done FROM memory_acts WHERE user_id = $1 AND execution_id = $2"
# Nothing is tried again after 30 days.
SETTLE = """
WITH counted AS (
    UPDATE memory_graphs SET entities = entities + $4, observations = observations + $5, relations = relations + $6,
        size_bytes = size_bytes + $7 WHERE user_id = $1
), forgotten AS (
    DELETE FROM memory_acts WHERE user_id = $1 AND at < now() - interval '30 days'
)
INSERT INTO memory_acts (user_id, execution_id, done) VALUES ($1, $2, $3)"""

INSERT_ENTITY = """
INSERT INTO memory_entities (user_id, id, name_key, body, size_bytes, grams) VALUES ($1, $2, $3, $4, $5, $6)"""
INSERT_OBSERVATION = """
INSERT INTO memory_observations (user_id, id, entity_id, content_key, body, size_bytes, grams)
VALUES ($1, $2, $3, $4, $5, $6, $7)"""
INSERT_RELATION = """
INSERT INTO memory_relations (user_id, id, from_key, to_key, type_key, body, size_bytes)
VALUES ($1, $2, $3, $4, $5, $6, $7)"""

KNOWN_NAMES = "SELECT id, name_key FROM memory_entities WHERE user_id = $1 AND name_key = ANY ($2)"
KNOWN_OBSERVATIONS = """
SELECT entity_id, content_key FROM memory_observations
WHERE user_id = $1 AND entity_id = ANY ($2) AND content_key = ANY ($3)"""
KNOWN_RELATIONS = """
SELECT from_key, to_key, type_key FROM memory_relations JOIN unnest($2::bytea[], $3::bytea[], $4::bytea[])
    AS asked (from_key, to_key, type_key) USING (from_key, to_key, type_key) WHERE user_id = $1"""

# Each answers the sizes of what is gone.
DELETE_OBSERVATIONS_OF = """
DELETE FROM memory_observations o USING memory_entities e
WHERE e.user_id = $1 AND e.name_key = ANY ($2) AND o.entity_id = e.id RETURNING o.size_bytes"""
DELETE_ENTITIES = "DELETE FROM memory_entities WHERE user_id = $1 AND name_key = ANY ($2) RETURNING size_bytes"
DELETE_RELATIONS_OF = """
DELETE FROM memory_relations WHERE user_id = $1 AND (from_key = ANY ($2) OR to_key = ANY ($2))
RETURNING size_bytes"""
DELETE_OBSERVATIONS = """
DELETE FROM memory_observations o USING memory_entities e, unnest($2::bytea[], $3::bytea[])
    AS asked (name_key, content_key)
WHERE e.user_id = $1 AND e.name_key = asked.name_key AND o.entity_id = e.id AND o.content_key = asked.content_key
RETURNING o.size_bytes"""
DELETE_RELATIONS = """
DELETE FROM memory_relations r USING unnest($2::bytea[], $3::bytea[], $4::bytea[])
    AS asked (from_key, to_key, type_key)
WHERE r.user_id = $1 AND r.from_key = asked.from_key AND r.to_key = asked.to_key AND r.type_key = asked.type_key
RETURNING r.size_bytes"""

ENTITIES = "SELECT id, body FROM memory_entities WHERE user_id = $1 ORDER BY position"
OBSERVATIONS = "SELECT id, entity_id, body FROM memory_observations WHERE user_id = $1 ORDER BY position"
RELATIONS = "SELECT id, body FROM memory_relations WHERE user_id = $1 ORDER BY position"

CANDIDATES = """
SELECT id FROM memory_entities WHERE user_id = $1 AND grams @> $2::integer[]
UNION SELECT entity_id FROM memory_observations WHERE user_id = $1 AND grams @> $2::integer[]"""
ENTITIES_IN = "SELECT id, name_key, body FROM memory_entities WHERE user_id = $1 AND id = ANY ($2) ORDER BY position"
OBSERVATIONS_IN = """
SELECT id, entity_id, body FROM memory_observations WHERE user_id = $1 AND entity_id = ANY ($2) ORDER BY position"""
RELATIONS_IN = """
SELECT id, body FROM memory_relations
WHERE user_id = $1 AND (from_key = ANY ($2) OR to_key = ANY ($2)) ORDER BY position"""
