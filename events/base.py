"""The base of event models, and the envelope (CloudEvents 1.0) they travel in."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class Event(BaseModel):
    """The data of one type of event: `<subject>.<past tense>.v<n>`."""

    # Most processes import models of events that they never meet.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)
    type: ClassVar[str]
    # Whether the record tells of it, and brokers bring it to those who consume it.
    carried: ClassVar[bool] = True


class Envelope(BaseModel):
    """A CloudEvent. `subject` is the aggregate's id; `sequence` counts its changes, so one can drop older ones."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    specversion: str = Field(default="1.0", pattern=r"^1\.0$")
    id: str = Field(min_length=1, max_length=200)
    source: str = Field(min_length=1, max_length=200)
    type: str = Field(min_length=1, max_length=200)
    subject: str | None = Field(default=None, max_length=200)
    time: datetime | None = None
    datacontenttype: str = "application/json"
    agent: str | None = None
    sequence: int | None = Field(default=None, ge=0)
    user_id: UUID | None = Field(default=None, alias="userid")
    data: dict[str, Any] = Field(default_factory=dict)
