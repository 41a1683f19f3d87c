"""A model elsewhere: whatever answers POST /embeddings as OpenAI's server does."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from shared import strict_json
from shared.batch import Batcher
from shared.breaker import Breaker
from shared.config import Settings
from shared.errors import ConfigurationError, Invalid, ToolError, Unavailable
from shared.ports.egress import Egress, Response
from shared.ports.embedders import Kind
from shared.stores.embedders.openai_answer import OtherDimension, retry_after_s, vectors_in

# What comes after so many characters is not sent: no such model looks at more.
MOST_CHARACTERS: Final = 32_768
_PARALLEL: Final = 4
_TEXTS_AT_ONCE: Final = 64
# As many as an answer of 5 MiB has room for, at 24 characters each.
_NUMBERS_AT_ONCE: Final = 200_000
_ATTEMPT_S: Final = 15.0
_TOTAL_S: Final = 30.0
_TRIES: Final = 4
_FIRST_WAIT_S: Final = 0.5
# A server that wants to be left alone for longer is not waited for.
_LONGEST_WAIT_S: Final = 10.0
# Texts that are refused are looked for among the others so often, in one batch.
_MOST_REFUSALS: Final = 20
_REFUSED: Final = frozenset({400, 413, 422})
_PASSING: Final = frozenset({408, 425, 429, *range(500, 600)})


class _Failed(Exception):
    """This time: it is worth trying again, after so long where the server has said it."""

    def __init__(self, why: str, *, wait_s: float | None = None, is_alive: bool = False) -> None:
        super().__init__(why)
        self.wait_s = wait_s
        self.is_alive = is_alive


class OpenAi:
    """Texts that come while requests are under way make up the next. Vectors are brought to length 1."""

    def __init__(
        self,
        *,
        url: str,
        key: str,
        model: str,
        dimension: int,
        egress: Egress,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Where it is asked does not matter: the same model behind another address is the same.
        self.model_id = f"openai:{model}:{dimension}"
        self.dimension = dimension
        self._url = url if url.endswith("/embeddings") else f"{url.rstrip('/')}/embeddings"
        self._headers = {"content-type": "application/json", "accept": "application/json"}
        if key:
            self._headers["authorization"] = f"Bearer {key}"
        self._model = model
        self._egress = egress
        self._sleep = sleep
        self._clock = clock
        self._breaker = Breaker(f"the embedder {model}", clock=clock)
        # Many servers refuse to be told what most of them do by themselves.
        self._tells_dimension = False
        size = max(1, min(_TEXTS_AT_ONCE, _NUMBERS_AT_ONCE // dimension))
        self._batches: Batcher[str, NDArray[np.float32]] = Batcher(self._embedded, size=size, parallel=_PARALLEL)
        self._is_closing = False

    @classmethod
    def of(cls, settings: Settings, egress: Egress) -> Self | None:
        """None where none is configured. Raises ConfigurationError where one is in part."""
        url, model, dimension = settings.embeddings_url, settings.embeddings_model, settings.embeddings_dimension
        if not url:
            return None
        if not model or not dimension:
            raise ConfigurationError(
                "SUTAZAI_EMBEDDINGS_URL needs SUTAZAI_EMBEDDINGS_MODEL and SUTAZAI_EMBEDDINGS_DIMENSION beside it"
            )
        return cls(url=url, key=settings.embeddings_key, model=model, dimension=dimension, egress=egress)

    async def opened(self) -> Self:
        return self

    async def embed(self, texts: Sequence[str], *, kind: Kind = "passage") -> NDArray[np.float32]:
        """Queries and passages are sent alike. Raises Invalid for a text that the server refuses, and Unavailable."""
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        # Such servers refuse an empty text, and take one of spaces.
        return np.stack(await asyncio.gather(*(self._batches.submit(text[:MOST_CHARACTERS] or " ") for text in texts)))

    async def close(self) -> None:
        """What has not been sent yet is not sent any more."""
        self._is_closing = True
        await self._batches.close()

    async def _embedded(self, texts: Sequence[str]) -> Sequence[NDArray[np.float32] | Exception]:
        """One text that is refused takes none of the others with it: those of several callers are sent together."""
        found: list[NDArray[np.float32] | Exception] = [Unavailable("nobody was asked")] * len(texts)
        parts, refusals = [slice(0, len(texts))], 0
        while parts:
            part = parts.pop()
            size = part.stop - part.start
            try:
                found[part] = list(await self._asked(texts[part]))
            except Invalid as exc:
                refusals += 1
                if size == 1 or refusals > _MOST_REFUSALS:
                    found[part] = [exc] * size
                    continue
                middle = part.start + size // 2
                parts += [slice(middle, part.stop), slice(part.start, middle)]
        return found

    async def _asked(self, texts: Sequence[str]) -> NDArray[np.float32]:
        until = self._clock() + _TOTAL_S
        for attempt in count():
            if self._is_closing:
                raise Unavailable(f"{self.model_id!r} is being closed")
            self._breaker.admit()
            try:
                vectors = await self._attempted(texts)
            except _Failed as exc:
                (self._breaker.left if exc.is_alive else self._breaker.failed)()
                wait_s = _FIRST_WAIT_S * 2**attempt if exc.wait_s is None else exc.wait_s
                if attempt + 1 == _TRIES or wait_s > _LONGEST_WAIT_S or self._clock() + wait_s > until:
                    raise Unavailable(f"{self.model_id!r} cannot be asked: {exc}", retry_after=wait_s) from exc
            except Invalid:
                self._breaker.succeeded()
                raise
            except Unavailable:
                self._breaker.failed()
                raise
            except BaseException:
                self._breaker.left()
                raise
            else:
                self._breaker.succeeded()
                return vectors
            await self._sleep(wait_s)
        raise AssertionError("the tries end before the numbers do")

    async def _attempted(self, texts: Sequence[str]) -> NDArray[np.float32]:
        tells_dimension = self._tells_dimension
        answer = await self._answered(texts, tells_dimension)
        if answer.status in _REFUSED:
            raise Invalid(f"{self.model_id!r} refuses a text (status {answer.status})")
        if answer.status in _PASSING:
            wait_s = retry_after_s(answer.headers.get("retry-after", ""))
            raise _Failed(f"status {answer.status}", wait_s=wait_s, is_alive=answer.status == 429)
        if answer.status != 200:
            raise Unavailable(f"{self.model_id!r} does not serve us: status {answer.status}")
        try:
            # Megabytes of numbers are read elsewhere than in the loop.
            return await asyncio.to_thread(vectors_in, answer.body, len(texts), self.dimension)
        except OtherDimension as exc:
            if tells_dimension:
                raise Unavailable(f"{self.model_id!r} {exc}") from exc
            self._tells_dimension = True
            raise _Failed(str(exc), wait_s=0, is_alive=True) from exc
        except ValueError as exc:
            raise _Failed(str(exc)) from exc

    async def _answered(self, texts: Sequence[str], tells_dimension: bool) -> Response:
        asked: dict[str, Any] = {"model": self._model, "input": list(texts), "encoding_format": "float"}
        if tells_dimension:
            asked["dimensions"] = self.dimension
        try:
            return await self._egress.request(
                "POST", self._url, headers=self._headers, body=strict_json.dump(asked), timeout_s=_ATTEMPT_S
            )
        except Unavailable as exc:
            raise _Failed(exc.message) from exc
        except ToolError as exc:
            raise Unavailable(f"{self.model_id!r} cannot be asked: {exc.message}") from exc
