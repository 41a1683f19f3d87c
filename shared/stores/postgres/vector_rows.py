"""One vector's row, found by what it is called."""

from typing import Literal


def at(key: Literal["vector_id", "number"], value: str, *, user: str = "$1", name: str = "$2") -> str:
    """SQL to join with `AS v` on `is_at`: the row under that key, or the next.

    Three indexes begin with a user and a collection. Of one that has grown since PostgreSQL last counted, it would read
    all for a single row, by whichever of them; in this order only the right one has it.
    """
    columns = f"user_id, collection_name, {key}"
    return f"""LATERAL (
    SELECT *, ctid FROM vectors WHERE ({columns}) >= ({user}, {name}, {value}) ORDER BY {columns} LIMIT 1
)"""


def is_at(key: Literal["vector_id", "number"], value: str, *, user: str = "$1", name: str = "$2") -> str:
    return f"v.user_id = {user} AND v.collection_name = {name} AND v.{key} = {value}"
