"""JSON from strangers: what goes in comes out, so whatever another reader might read differently is refused."""

import json
import re
from collections.abc import Callable, Iterable
from json import encoder
from math import isfinite

from shared.errors import Invalid

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

DEPTH = 64
KEYS = 10_000
STRING_BYTES = 256 * 1024
_INT64 = range(-(1 << 63), 1 << 63)
# The parser recurses in C; this bounds it before it starts, strings with brackets in them included.
_BRACKETS = 100_000
_UNHEARD_OF = re.compile("[\0\ud800-\udfff]")


def _whole(text: str) -> int:
    if len(text) > 20 or (number := int(text)) not in _INT64:
        raise Invalid("a whole number does not fit into 64 bits")
    return number


def _real(text: str) -> float:
    if not isfinite(number := float(text)):
        raise Invalid("a number is too large")
    return number


def _constant(text: str) -> float:
    raise Invalid(f"{text} is not JSON")


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Invalid("an object has the same key twice")
    return found


# The functions of `json` make a new one for each call that has options.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_whole, parse_float=_real, parse_constant=_constant)
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
# `encode` makes one of these for each call, which costs more than small values do. It looks for no cycles.
_MAKE_CHUNKS = getattr(encoder, "c_make_encoder", None)
_CHUNKS: Callable[[Json, int], Iterable[str]] | None = _MAKE_CHUNKS and _MAKE_CHUNKS(
    None, _ENCODER.default, encoder.encode_basestring, None, ":", ",", False, False, False
)


def parse(body: bytes, *, string_bytes: int = STRING_BYTES) -> Json:
    """Raises Invalid for bad syntax or encoding, doubled keys, numbers beyond 64 bits, NUL, lone surrogates, sizes."""
    nested = body.count(b"[") + body.count(b"{")
    if nested > _BRACKETS:
        raise Invalid("the JSON has too many parts")
    try:
        value: Json = _DECODER.decode(body.decode())
    except UnicodeDecodeError:
        raise Invalid("the body is not UTF-8") from None
    except json.JSONDecodeError as exc:
        raise Invalid(f"the body is not JSON: {exc.msg} at character {exc.pos}") from None
    except RecursionError:
        raise Invalid(f"the JSON is nested deeper than {DEPTH}") from None
    # Counting bytes already proves of nearly every body that nothing can be wrong.
    if nested > DEPTH or len(body) > min(string_bytes, KEYS) or b"\\u" in body:
        check(value, string_bytes=string_bytes)
    return value


def check_written(written: bytes, *, string_bytes: int = STRING_BYTES) -> None:
    """As `check`, for JSON of our own, whose bytes mostly prove it already. Raises Invalid."""
    nested = written.count(b"[") + written.count(b"{")
    if nested > DEPTH or len(written) > min(string_bytes, KEYS) or b"\\u0000" in written:
        check(load(written), string_bytes=string_bytes)


def check(value: Json, *, string_bytes: int = STRING_BYTES) -> None:
    """The same rules for a value that was parsed elsewhere. Raises Invalid."""
    keys = 0
    level = [value]
    for _ in range(DEPTH + 1):
        below: list[Json] = []
        for item in level:
            if isinstance(item, str):
                _check_string(item, string_bytes)
            elif isinstance(item, dict):
                keys += len(item)
                for key in item:
                    _check_string(key, string_bytes)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if keys > KEYS:
            raise Invalid(f"the JSON has more than {KEYS} keys")
        if not below:
            return
        level = below
    raise Invalid(f"the JSON is nested deeper than {DEPTH}")


def _check_string(text: str, string_bytes: int) -> None:
    if "\0" in text:
        raise Invalid("a string holds a NUL character")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise Invalid("a string holds half of a surrogate pair") from None
    if size > string_bytes:
        raise Invalid(f"a string is longer than {string_bytes} bytes")


def plain(text: str) -> str:
    """`text` as the rules above allow it: what they refuse becomes U+FFFD."""
    return _UNHEARD_OF.sub("\ufffd", text)


def dump(value: Json) -> bytes:
    text = _ENCODER.encode(value) if _CHUNKS is None or isinstance(value, str) else "".join(_CHUNKS(value, 0))
    return text.encode()


def load(body: bytes) -> Json:
    """What `dump` made: nothing is checked again."""
    value: Json = json.loads(body)
    return value
