"""Unpacking what a stranger has packed, with a bound on what comes out."""

import zlib

from shared.errors import ToolError

ACCEPTED = "gzip, deflate"
MOST_RATIO = 100
# Below this a ratio says nothing: a page of blanks is no attack.
_HARMLESS_BYTES = 64 * 1024
# Hardly anyone sends more than one; each costs a copy of what follows it.
_MOST_MEMBERS = 16
_GZIP = b"\x1f\x8b"


def unpacked(packed: bytes, coding: str, *, limit_bytes: int, peer: str) -> bytes:
    """`coding` is a Content-Encoding. Raises ToolError where it is another, broken, or unpacks to too much."""
    coding = coding.strip().lower()
    if not packed or coding in ("", "identity"):
        return packed
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise ToolError(f"{peer} answered in an encoding that was not asked for: {coding[:100]!r}")
    limit = min(limit_bytes, max(_HARMLESS_BYTES, MOST_RATIO * len(packed)))
    unpacked, rest = bytearray(), packed
    for _ in range(_MOST_MEMBERS):
        rest = _member(rest, _window_bits(coding, rest), unpacked, limit, peer)
        # After a whole stream may come another one of gzip's; anything else is padding.
        if coding == "deflate" or not rest.startswith(_GZIP):
            return bytes(unpacked)
    raise ToolError(f"the answer of {peer} is packed in more than {_MOST_MEMBERS} pieces")


def _window_bits(coding: str, packed: bytes) -> int:
    if coding != "deflate":
        return 16 + zlib.MAX_WBITS
    # Some servers leave out the frame that the standard wants around the stream.
    framed = len(packed) >= 2 and packed[0] & 0x0F == 8 and (packed[0] << 8 | packed[1]) % 31 == 0
    return zlib.MAX_WBITS if framed else -zlib.MAX_WBITS


def _member(packed: bytes, window_bits: int, unpacked: bytearray, limit: int, peer: str) -> bytes:
    """Adds one stream to `unpacked`, and returns what follows it."""
    engine = zlib.decompressobj(window_bits)
    try:
        unpacked += engine.decompress(packed, limit - len(unpacked) + 1)
    except zlib.error as exc:
        raise ToolError(f"the answer of {peer} is not packed as it says") from exc
    if len(unpacked) > limit:
        raise ToolError(f"the answer of {peer} unpacks to more than {limit} bytes")
    if not engine.eof:
        raise ToolError(f"the answer of {peer} is packed, and its end is missing")
    return engine.unused_data
