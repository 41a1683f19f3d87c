"""Rows of `events` as the envelopes they are."""

from typing import Any

from events.base import Envelope

ENVELOPE = "id, type, source, subject, user_id, agent, sequence, data, at"


def envelope_of(row: Any) -> Envelope:
    """`row` has the columns of ENVELOPE."""
    return Envelope(
        id=str(row["id"]),
        type=row["type"],
        source=row["source"],
        subject=row["subject"],
        userid=row["user_id"],
        agent=row["agent"],
        sequence=row["sequence"],
        time=row["at"],
        data=row["data"],
    )
