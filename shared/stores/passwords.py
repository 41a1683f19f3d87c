"""Argon2id in a pool of two threads, and the judgement of new passwords."""

import asyncio
import importlib
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeVar

from shared.errors import Invalid, RateLimited

if TYPE_CHECKING:
    from argon2 import PasswordHasher

T = TypeVar("T")

SHORTEST, LONGEST = 8, 128
_MEMORY_KIB = 46 * 1024
_THREADS = 2
# About 45 ms each on two threads: who comes last waits a second and a half.
_WAITING = 64
# 10^6 guesses: what a throttled login stands for years.
_LEAST_SCORE = 2
# zxcvbn takes a second for 50 characters of leetspeak: it only sees either end of a long password.
_JUDGED = 16
# A salt and a tag of zeros under today's parameters: comparing with it costs as much, and nothing matches it.
_NOBODY = f"$argon2id$v=19$m={_MEMORY_KIB},t=1,p=1${'A' * 22}${'A' * 43}"


class Argon2Passwords:
    """Two hashes at a time use two cores and 92 MiB; more would only take memory from everything else."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="passwords")
        self._places = threading.BoundedSemaphore(_WAITING)
        self._judging = threading.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str, *, personal: tuple[str, ...] = ()) -> str:
        text = _normal(password)
        if text is None:
            raise Invalid(f"a password has {SHORTEST} to {LONGEST} characters", field="password")
        return await self._run(lambda: self._judged_hash(text, personal))

    async def rehash(self, password: str) -> str:
        return await self._run(lambda: self._hasher.hash(_normal(password) or ""))

    async def verify(self, password: str, hashed: str) -> bool:
        text = _normal(password)
        matches = await self._run(lambda: self._matches(hashed, text or ""))
        return matches and text is not None

    async def verify_unknown(self, password: str) -> None:
        await self.verify(password, _NOBODY)

    def needs_rehash(self, hashed: str) -> bool:
        return self._hasher.check_needs_rehash(hashed)

    @cached_property
    def _hasher(self) -> "PasswordHasher":
        from argon2 import PasswordHasher

        return PasswordHasher(time_cost=1, memory_cost=_MEMORY_KIB, parallelism=1, hash_len=32, salt_len=16)

    def _matches(self, hashed: str, text: str) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError

        try:
            return self._hasher.verify(hashed, text)
        except (VerificationError, InvalidHashError):
            return False

    def _judged_hash(self, text: str, personal: tuple[str, ...]) -> str:
        # zxcvbn keeps the personal words in a global of its own.
        with self._judging:
            _judge(text, personal)
        return self._hasher.hash(text)

    async def _run(self, work: Callable[[], T]) -> T:
        if not self._places.acquire(blocking=False):
            raise RateLimited("too many passwords are being checked", limit=_WAITING, retry_after=1)
        future = self._pool.submit(work)
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def _leave(self, _: "Future[T]") -> None:
        """Runs when the work is over, also where its caller has long gone."""
        self._places.release()


def _normal(password: str) -> str | None:
    """NFKC, so that one password typed on two keyboards is one; None for what no account can have."""
    text = unicodedata.normalize("NFKC", password) if len(password) <= 4 * LONGEST else ""
    encodable = not any("\ud800" <= character <= "\udfff" for character in text)
    return text if SHORTEST <= len(text) <= LONGEST and encodable else None


def _judge(text: str, personal: tuple[str, ...]) -> None:
    """Raises Invalid for a common or easily guessed password."""
    zxcvbn: Any = importlib.import_module("zxcvbn")
    common: dict[str, dict[str, int]] = zxcvbn.matching.RANKED_DICTIONARIES
    words = [word for part in personal for word in (part, part.partition("@")[0]) if word]
    if text.lower() in common["passwords"] or text.lower() in {word.lower() for word in words}:
        raise Invalid("that password is one of the first to be guessed", field="password")
    ends = dict.fromkeys((text[:_JUDGED], text[-_JUDGED:]))
    found = [zxcvbn.zxcvbn(end, user_inputs=words) for end in ends]
    if max(result["score"] for result in found) < _LEAST_SCORE:
        hint = found[0]["feedback"]["warning"] or "a longer one of unrelated words would do"
        raise Invalid(f"that password is easily guessed: {hint}", field="password")
