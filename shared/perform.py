"""One attempt at a task: from parameters to an outcome. The same in the worker's process and in a child."""

import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from shared import strict_json
from shared.deadline import Deadline
from shared.dialogue import SILENT, AnswersWanted, Detached, Dialogue, Questions
from shared.errors import Invalid, RecordAway, SutazaiError
from shared.function import MIB, Log, LogLevel, Run, Spec
from shared.ports.tasks import Outcome, TaskError
from shared.strict_json import Json

logger = logging.getLogger("sutazai.run")

RESULT_BYTES = 10 * MIB
_MESSAGE_CHARACTERS = 2000


@dataclass
class RunContext:
    """Behind the ports Run and Log. `latest` is what progress was last reported and not yet written."""

    user_id: UUID
    execution_id: UUID
    attempt: int
    latest: tuple[float, str] | None = field(default=None)
    dialogue: Dialogue = SILENT

    @property
    def askable(self) -> frozenset[str]:
        return self.dialogue.kinds

    @property
    def state(self) -> Json:
        return self.dialogue.state

    def ask(self, requests: Mapping[str, Json], *, keep: Json = None) -> Mapping[str, Json]:
        return self.dialogue.ask(requests, keep)

    def detach(self) -> None:
        if self.dialogue.detachable:
            raise Detached

    def key(self, step: str) -> str:
        return f"{self.execution_id}:{step}"

    def progress(self, percent: float, message: str = "") -> None:
        # In this order what is no number counts as 0.
        self.latest = (min(max(0.0, percent), 100.0), strict_json.plain(message[:_MESSAGE_CHARACTERS]))

    def log(self, level: LogLevel, data: Json, *, logger: str = "") -> None:
        """Nobody listens."""


@cache
def _results(module: str, result: Any) -> TypeAdapter[Any]:
    return TypeAdapter(result)


async def perform(
    spec: Spec,
    parameters: Mapping[str, Json],
    *,
    run: RunContext,
    ports: Mapping[str, object],
    timeout_s: float,
    attempts_left: bool,
) -> Outcome:
    """Never raises but CancelledError: every other end is an outcome. `timeout_s` bounds an async action only."""
    try:
        own: dict[type, object] = {Run: run, Log: run.log}
        given = {name: own[port] if port in own else ports[name] for name, port in spec.ports.items()}
        if spec.payload is None and parameters:
            raise Invalid("this tool takes no parameters")
        arguments = () if spec.payload is None else (spec.payload.model_validate_json(to_json(parameters)),)
        with Deadline(timeout_s):
            result = spec.handler(*arguments, **given)
            if spec.is_async:
                result = await result
        return Outcome("succeeded", written=_json(spec, result))
    except ValidationError as error:
        return failed(_not_as_declared(error))
    except TimeoutError:
        return timed_out(timeout_s)
    except AnswersWanted as wanted:
        return asking(wanted.questions)
    except Detached:
        return Outcome("failed", error=TaskError(code="DETACHED", message="the call goes on as a task"), detaches=True)
    except SutazaiError as error:
        return failed(error, attempt=run.attempt if attempts_left else None)
    except Exception:
        logger.exception("%s failed (execution %s)", spec.module, run.execution_id)
        return failed(SutazaiError("something went wrong in this tool"))


def _json(spec: Spec, result: object) -> bytes:
    results = _results(spec.module, spec.result)
    try:
        written = results.dump_json(result, by_alias=True, exclude_none=True)
        # It may stand for a number that is none.
        if b"null" in written:
            written = strict_json.dump(results.dump_python(result, mode="json", by_alias=True, exclude_none=True))
        strict_json.check_written(written, string_bytes=RESULT_BYTES)
    except (ValueError, RecursionError, Invalid) as exc:
        raise SutazaiError("the tool's result is not JSON") from exc
    if len(written) > RESULT_BYTES:
        raise SutazaiError(f"the tool's result is larger than {RESULT_BYTES} bytes")
    return written


def _not_as_declared(error: ValidationError) -> Invalid:
    """Where and why, for whoever reads no more than a message: a model that is to do better."""
    places = [(".".join(map(str, item["loc"])), item["msg"]) for item in error.errors(include_input=False)]
    said = "; ".join(f"{place}: {message}" if place else message for place, message in places)
    return Invalid(f"the parameters are not as declared: {said}")


def failed(error: SutazaiError, *, attempt: int | None = None) -> Outcome:
    """The end of the task, or, where `attempt` counts and the error passes by itself, of this attempt."""
    retry_in_s = None
    if error.retryable and attempt is not None:
        retry_in_s = min(2.0**attempt, 60.0) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter hides nothing
    # A tool quotes what it has read, and names of files need not even be text.
    message = strict_json.plain(error.message[:_MESSAGE_CHARACTERS])
    said = TaskError(code=error.code, message=message, retryable=error.retryable)
    return Outcome("failed", error=said, retry_in_s=retry_in_s, record_away=isinstance(error, RecordAway))


def asking(questions: Questions) -> Outcome:
    """For whoever cannot be asked, it is a failure."""
    said = TaskError(code="INPUT_REQUIRED", message="the tool waits for answers of its client")
    return Outcome("failed", error=said, asks=questions)


def timed_out(timeout_s: float) -> Outcome:
    return Outcome("failed", error=TaskError(code="TIMEOUT", message=f"the tool took longer than {timeout_s:g} s"))
