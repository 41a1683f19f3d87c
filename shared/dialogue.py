"""What an action asks the client that called it, and what has been answered so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from shared.errors import ToolError
from shared.strict_json import Json

# What a client has to declare before it may be asked, by the method of the request.
_CAPABILITY: Final = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
KINDS: Final = frozenset(_CAPABILITY.values())


@dataclass(frozen=True, slots=True)
class Questions:
    """Requests that no answer is known to, by key, as MCP words them."""

    requests: Mapping[str, Json] = field(repr=False)
    state: Json = field(default=None, repr=False)


class AnswersWanted(Exception):
    """Ends an attempt: once all is answered, the action begins anew."""

    def __init__(self, questions: Questions) -> None:
        super().__init__(f"answers are wanted to {', '.join(questions.requests)}")
        self.questions = questions


class Detached(Exception):
    """Ends a call: what it was about goes on as a task, from the beginning and with the same answers."""


class CannotAsk(ToolError):
    """The client has not said that it can answer this; `capability` is what it would have to declare."""

    def __init__(self, capability: str) -> None:
        super().__init__(f"this tool has to ask its client, who has not declared {capability!r}", capability=capability)


@dataclass(frozen=True, slots=True)
class Dialogue:
    """`kinds`: the capabilities that the client has declared. `state`: what the action kept when it asked last.

    `detachable`: the call may go on as a task.
    """

    kinds: frozenset[str] = frozenset()
    answers: Mapping[str, Json] = field(default_factory=dict, repr=False)
    state: Json = field(default=None, repr=False)
    detachable: bool = False

    def ask(self, requests: Mapping[str, Json], keep: Json) -> Mapping[str, Json]:
        """The answers. Raises AnswersWanted while one is missing, and CannotAsk for what may not be asked."""
        missing = {key: request for key, request in requests.items() if key not in self.answers}
        for request in missing.values():
            if (capability := capability_for(request)) not in self.kinds:
                raise CannotAsk(capability)
        if missing:
            raise AnswersWanted(Questions(missing, keep))
        return {key: self.answers[key] for key in requests}


# Of callers who cannot be asked.
SILENT: Final = Dialogue()


def capability_for(request: Json) -> str:
    """Raises ValueError for what is no request to a client."""
    method = request.get("method") if isinstance(request, dict) else None
    if not isinstance(method, str) or method not in _CAPABILITY:
        raise ValueError(f"{method!r} is nothing that a client is asked")
    return _CAPABILITY[method]
