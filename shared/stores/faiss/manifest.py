"""Which snapshots of a space there are, and what each of them is made of."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.ports.vector_engine import Metric

KEPT: Final = 3
MOST_BYTES: Final = 1 << 24
MOST_PART_BYTES: Final = 1 << 27


class PartOf(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0, le=MOST_PART_BYTES)


class Snapshot(BaseModel):
    """`depth` of the base's codes, where it has some."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    folder: str = Field(pattern=r"^[0-9]{20}-[0-9a-f]{32}$")
    applied_seq: int = Field(ge=0)
    depth: int | None = Field(default=None, ge=1)
    parts: tuple[PartOf, ...] = Field(max_length=20_000)


class Manifest(BaseModel):
    """Newest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: Literal[1] = 1
    dimension: int = Field(ge=1, le=4096)
    metric: Metric
    snapshots: tuple[Snapshot, ...] = Field(default=(), max_length=KEPT)
