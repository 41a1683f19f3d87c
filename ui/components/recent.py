"""Answers of the API, kept in this window for as long as the socket tells of no change."""

import time
from collections.abc import Callable
from typing import TypeVar

import streamlit as st

from ui.answers import Task
from ui.client import Live

T = TypeVar("T")

# Without a socket, an answer is asked for anew so often.
_ASK_AGAIN_S = 2.0
# With one, it still is now and then: a change that got lost must not stay unseen.
_LOOK_AGAIN_S = 15.0


def recent(key: str, live: Live, ask: Callable[[], T]) -> T:
    """What `ask` answers, asked again once anything has changed."""
    known: tuple[int, float, T] | None = st.session_state.get(f"recent-{key}")
    if known is not None and known[0] == live.version and _is_fresh(known[1], live):
        return known[2]
    version, at = live.version, time.monotonic()
    found = ask()
    st.session_state[f"recent-{key}"] = (version, at, found)
    return found


def task_now(task_id: str, live: Live, ask: Callable[[], Task]) -> Task:
    """One task, asked for again when it has changed its state; its progress comes over the socket alone."""
    change = live.task(task_id)
    known: tuple[object, float, Task] | None = st.session_state.get(f"task-{task_id}")
    if known is not None:
        seen, at, task = known
        if task.has_ended or (seen == change and _is_fresh(at, live)):
            return task
        if change is not None and change.status == task.status == "running" and _is_fresh(at, live):
            return task.model_copy(update={"progress": change.progress, "message": change.message})
    at = time.monotonic()
    task = ask()
    st.session_state[f"task-{task_id}"] = (change, at, task)
    return task


def forget(task_id: str) -> None:
    st.session_state.pop(f"task-{task_id}", None)


def _is_fresh(at: float, live: Live) -> bool:
    return time.monotonic() - at < (_LOOK_AGAIN_S if live.connected else _ASK_AGAIN_S)
