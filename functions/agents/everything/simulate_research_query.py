"""everything/simulate-research-query: stages that take time, a question between them, and a report."""

import asyncio

from pydantic import Field

from shared.asking import filled_in, form
from shared.content import Content, text
from shared.function import Log, Run, tool
from shared.payload import Payload
from shared.strict_json import Json

_STAGES = ("Gathering sources", "Analyzing content", "Synthesizing findings", "Writing the report")
_STAGE_S = 0.25
_MEANINGS: tuple[Json, ...] = ("a technical overview", "its history", "what is being done today")


class SimulateResearchQuery(Payload):
    topic: str = Field(min_length=1, max_length=1000, description="What to look into")
    ambiguous: bool = Field(default=False, description="Ask the client which side of the topic is meant")


@tool(name="simulate-research-query", effect="read", timeout_s=30, task="optional")
async def simulate_research_query(request: SimulateResearchQuery, *, run: Run, log: Log) -> Content:
    """Pretend to look into a topic, in stages with progress; nothing is looked up."""
    meant = _meant(request.topic, run) if request.ambiguous else None
    for number, stage in enumerate(_STAGES, 1):
        log("info", f"{stage}: {request.topic}", logger="research")
        await asyncio.sleep(_STAGE_S)
        run.progress(100 * number / len(_STAGES), stage)
    side = f", as to {meant}" if meant else ""
    stages = "\n".join(f"- {stage}" for stage in _STAGES)
    return text(f"# Report on {request.topic}{side}\n\nThis report is made up. Its stages were:\n\n{stages}\n")


def _meant(topic: str, run: Run) -> Json:
    choice: Json = {"type": "string", "title": "Side", "enum": [*_MEANINGS]}
    asked = form(f"Which side of {topic!r} is meant?", {"side": choice}, required=["side"])
    content = filled_in(run.ask({"side": asked})["side"])
    return _MEANINGS[0] if content is None else content["side"]
