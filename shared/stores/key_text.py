"""How an API key is written: a prefix that scanners for secrets find, 256 random bits, a check on both."""

import re
import secrets
from zlib import crc32

from shared.ports.api_keys import PREFIX

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# The fewest base62 digits that hold 256 bits, and 32.
_SECRET, _CHECK = 43, 6
_FORM = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_SECRET + _CHECK}}}", re.ASCII)
HINT = len(PREFIX) + 4


def new_key() -> str:
    text = PREFIX + _digits(secrets.randbits(256), _SECRET)
    return text + _check(text)


def is_key(text: str) -> bool:
    """Whether it may be a key: what was cut, mistyped or made up is told without looking it up."""
    return _FORM.fullmatch(text) is not None and text[-_CHECK:] == _check(text[:-_CHECK])


def _check(text: str) -> str:
    return _digits(crc32(text.encode()), _CHECK)


def _digits(number: int, count: int) -> str:
    digits = ""
    for _ in range(count):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
