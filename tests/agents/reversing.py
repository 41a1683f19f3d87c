"""For tests: a codec that makes values unreadable to whoever looks for them in the tables."""

from uuid import UUID

from shared.crypto import Codec


class ReversingCodec(Codec):
    """Binds each value to its place, as a cipher will."""

    def seal(self, value: str | bytes, *, table: str, column: str, row: UUID | str) -> bytes:
        plain = value.encode() if isinstance(value, str) else value
        return f"{table}.{column}.{row}|".encode() + plain[::-1]

    def open(self, sealed: bytes, *, table: str, column: str, row: UUID | str) -> bytes:
        place, _, value = sealed.partition(b"|")
        assert place.decode() == f"{table}.{column}.{row}", "opened at another place than it was sealed at"
        return value[::-1]
