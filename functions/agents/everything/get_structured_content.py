"""everything/get-structured-content: an answer with fields of its own."""

from typing import Literal

from pydantic import BaseModel, Field

from shared.function import tool
from shared.payload import Payload

City = Literal["New York", "Chicago", "Los Angeles"]


class GetStructuredContent(Payload):
    location: City


class Weather(BaseModel):
    """`temperature` in degrees Celsius, `humidity` in percent."""

    temperature: float
    conditions: str
    humidity: float = Field(ge=0, le=100)


_WEATHER: dict[City, Weather] = {
    "New York": Weather(temperature=12, conditions="Overcast", humidity=71),
    "Chicago": Weather(temperature=4, conditions="Light rain", humidity=85),
    "Los Angeles": Weather(temperature=23, conditions="Sunny", humidity=44),
}


@tool(name="get-structured-content", effect="read", timeout_s=5)
async def get_structured_content(request: GetStructuredContent) -> Weather:
    """Return made-up weather of a city as fields, to see that structured answers arrive."""
    return _WEATHER[request.location]
