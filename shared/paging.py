"""Cursors: where a list goes on, opaque to callers."""

from datetime import UTC, datetime
from uuid import UUID

from shared import base64url
from shared.errors import Invalid


def cursor_of(at: datetime, row_id: UUID) -> str:
    return base64url.written(f"{at.isoformat()}|{row_id}".encode())


def cursor_values(cursor: str) -> tuple[datetime, UUID]:
    """Raises Invalid for what `cursor_of` cannot have made."""
    try:
        text = base64url.read(cursor).decode("ascii")
        at, _, row_id = text.partition("|")
        moment = datetime.fromisoformat(at)
        # What it cannot turn into UTC, the database could not either.
        return moment.astimezone(UTC), UUID(row_id)
    except (ValueError, OverflowError):
        raise Invalid("this cursor is none of ours") from None


def cursor_of_name(name: str) -> str:
    return base64url.written(name.encode())


def name_before(cursor: str | None) -> str:
    """The name to go on after, "" from the start. Raises Invalid for what `cursor_of_name` cannot have made."""
    if cursor is None:
        return ""
    try:
        name = base64url.read(cursor).decode("ascii")
    except ValueError:
        name = ""
    if not name or not name.isprintable():
        raise Invalid("this cursor is none of ours")
    return name
