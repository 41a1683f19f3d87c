"""A point as the metadata of one record of Chroma's."""

import json
from collections.abc import Mapping
from typing import Any

from shared.ports.vector_engine import Point, Wanted
from shared.stores.chroma.filters import compared
from shared.vectors.filters import passes


def metadata_of(point: Point, held: Mapping[str, Any]) -> dict[str, Any]:
    """An upsert keeps what it does not name: that is taken away by name."""
    fresh = {
        "number": point.number,
        "seq": point.seq,
        "id": point.vector_id,
        "metadata": json.dumps({key: _plain(one) for key, one in point.metadata.items()}),
        "created_at": float(point.created_at),
        **compared(point.metadata, point.created_at),
    }
    return dict.fromkeys(held.keys() - fresh.keys()) | fresh


def _plain(held: Any) -> Any:
    return list(held) if isinstance(held, list | tuple) else held


def point_of(held: Mapping[str, Any], vector: Any) -> Point:
    return Point(
        number=int(held["number"]),
        vector_id=held["id"],
        seq=int(held["seq"]),
        vector=vector,
        metadata=json.loads(held["metadata"]),
        created_at=float(held["created_at"]),
    )


def is_wanted(held: Mapping[str, Any], text: str, wanted: Wanted) -> bool:
    if wanted.contains and wanted.contains not in text:
        return False
    return wanted.filter is None or passes(wanted.filter, json.loads(held["metadata"]), float(held["created_at"]))
