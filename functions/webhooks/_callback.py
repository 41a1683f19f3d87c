"""One attempt at telling a receiver how its task ended."""

import logging
import random
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared.cloud_events import STRUCTURED, encode
from shared.errors import ConfigurationError, ToolError, Unavailable
from shared.function import MIB
from shared.ports.callbacks import Callback, Callbacks
from shared.ports.dead_letters import DeadLetters
from shared.ports.egress import Egress
from shared.ports.signatures import Signatures
from shared.ports.tasks import Task, Tasks

logger = logging.getLogger("sutazai.callbacks")

CONSUMER = "webhooks-deliver-callbacks"
ATTEMPT_S = 15.0
# After each failed attempt but the last.
DELAYS_S = (5.0, 30.0, 120.0, 600.0, 1800.0, 7200.0)
BODY_BYTES = MIB
_GONE = 410


@dataclass(frozen=True, slots=True)
class _Failure:
    why: str
    final: bool = False


async def call_back(
    callback: Callback,
    callbacks: Callbacks,
    tasks: Tasks,
    egress: Egress,
    signatures: Signatures,
    dead_letters: DeadLetters,
) -> None:
    """Never raises: what could not be recorded is made up for once the lease has passed."""
    try:
        failure = await _attempt(callback, tasks, egress, signatures)
        if failure is None:
            await callbacks.done(callback)
        elif not failure.final and callback.attempts < len(DELAYS_S):
            delay_s = DELAYS_S[callback.attempts] * random.uniform(0.8, 1.2)  # noqa: S311 - jitter hides nothing
            await callbacks.put_off(callback, delay_s)
        # Whoever has the lease by now decides, and knows more.
        elif await callbacks.is_held(callback):
            # In this order a crash in between repeats both, and the letter is kept once.
            await dead_letters.refuse(
                CONSUMER, callback.event, reason="callback", error=failure.why, attempts=callback.attempts + 1
            )
            await callbacks.give_up(callback)
    except Unavailable as exc:
        logger.warning("the callback of task %s has to be repeated: %s", callback.execution_id, exc)
    except Exception:
        logger.exception("the callback of task %s failed", callback.execution_id)


async def _attempt(callback: Callback, tasks: Tasks, egress: Egress, signatures: Signatures) -> _Failure | None:
    if callback.url is None:
        return _Failure("the URL cannot be read", final=True)
    try:
        task = await tasks.get(callback.user_id, callback.execution_id)
    except ConfigurationError:
        logger.exception("task %s cannot be read", callback.execution_id)
        return _Failure("the task cannot be read", final=True)
    return None if task is None else await _post(callback, task, callback.url, egress, signatures)


async def _post(callback: Callback, task: Task, url: str, egress: Egress, signatures: Signatures) -> _Failure | None:
    body = body_of(callback, task)
    headers = {"content-type": STRUCTURED, **signatures.headers(callback.event.id, body)}
    try:
        answer = await egress.request("POST", url, headers=headers, body=body, timeout_s=ATTEMPT_S)
    except ToolError as exc:
        return _Failure(_without_host(exc.message, url), final=True)
    except Unavailable as exc:
        return _Failure(_without_host(exc.message, url))
    if 200 <= answer.status < 300:
        return None
    return _Failure(f"the receiver answered {answer.status}", final=answer.status == _GONE)


def _without_host(message: str, url: str) -> str:
    """What users give as a URL is in no letter in plain."""
    host = re.escape(urlsplit(url).hostname or url)
    return re.sub(rf"(?<![\w.-]){host}(?![\w.-])", "the receiver", message, flags=re.IGNORECASE)


def body_of(callback: Callback, task: Task) -> bytes:
    """The event with the task as its data; what would make it larger than 1 MiB is left out and listed in `omitted`."""
    data = task.model_dump(mode="json")
    body = encode(callback.event.model_copy(update={"data": data}))
    omitted: list[str] = []
    for name in ("parameters", "result"):
        if len(body) <= BODY_BYTES:
            break
        del data[name]
        omitted.append(name)
        body = encode(callback.event.model_copy(update={"data": {**data, "omitted": omitted}}))
    return body
