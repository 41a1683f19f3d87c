"""The fields that say when a schedule runs."""

from typing import Annotated

from pydantic import Field

Name = Annotated[str, Field(max_length=200)]
Cron = Annotated[str, Field(min_length=1, max_length=200, description="minute, hour, day, month and weekday")]
# Up to a leap year; what comes more rarely is better said as a date, by cron.
EveryS = Annotated[int, Field(ge=1, le=366 * 86_400)]
Timezone = Annotated[str, Field(max_length=64, description="IANA's name, as in Europe/Berlin; it is cron's")]
