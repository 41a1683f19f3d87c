"""The embedders that are here, the default one first."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.config import Settings
from shared.ports.egress import Egress
from shared.ports.embedders import Embedder
from shared.ports.vector_service import Model
from shared.stores.embedders import hashed, minilm, static
from shared.stores.embedders.openai import OpenAi


class Opened(Embedder, Protocol):
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """`is_slow`: to ask Redis takes less than to ask it."""

    model: Model
    open: Callable[[], Awaitable[Opened]]
    is_slow: bool = False


def tiers(settings: Settings, egress: Egress) -> Sequence[Tier]:
    """The default one is the same everywhere: where its package is missing, no lesser one takes its place unasked.

    Raises ConfigurationError where a model elsewhere is configured in part.
    """
    folder = settings.home / "models"
    found = [
        Tier(
            model=Model(name="minilm-int8", id=minilm.MODEL_ID, dimension=minilm.DIMENSION),
            open=lambda: minilm.MiniLm.load(folder),
            is_slow=True,
        ),
        Tier(
            model=Model(name="static", id=static.MODEL_ID, dimension=static.DIMENSION),
            open=static.Static.load,
        ),
        Tier(
            model=Model(name="hash", id=hashed.MODEL_ID, dimension=hashed.DIMENSION),
            open=hashed.Hashed.load,
        ),
    ]
    if (remote := OpenAi.of(settings, egress)) is not None:
        model = Model(name="openai", id=remote.model_id, dimension=remote.dimension)
        found.append(Tier(model=model, open=remote.opened, is_slow=True))
    return found
