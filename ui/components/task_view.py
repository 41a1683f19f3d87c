"""One task: how it fares while it runs, and how it has ended."""

import streamlit as st

from ui import session
from ui.answers import Task
from ui.components import result
from ui.components.recent import forget, task_now
from ui.components.status import badge
from ui.components.text import ago, exact, lasting, plain
from ui.components.trouble import explained

_TICK_S = 0.5


def watched(task_id: str, *, key: str) -> None:
    """Where it stands, as it happens, until it has ended."""
    with explained():
        task = now(task_id)
        if task.has_ended:
            outcome(task, key=key)
        else:
            _watch(task_id, key=key)


@st.fragment(run_every=_TICK_S)
def _watch(task_id: str, *, key: str) -> None:
    with explained():
        task = now(task_id)
        if task.has_ended:
            # The whole page, so that this is not asked any more and what may be done next is offered.
            st.rerun()
        outcome(task, key=key)
        if st.button("Cancel", icon=":material/stop_circle:", key=f"{key}-cancel"):
            session.client().cancel(task_id)
            forget(task_id)
            st.rerun()


def now(task_id: str) -> Task:
    return task_now(task_id, session.live(), lambda: session.client().task(task_id))


def outcome(task: Task, *, key: str) -> None:
    """Where it stands, and what came of it."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        badge(task.status)
        if task.execution_time is not None:
            st.caption(f"in {lasting(task.execution_time)}", width="content")
    if not task.has_ended:
        words = task.message or ("Waiting for its turn" if task.status == "queued" else "At work")
        st.progress(min(max(task.progress / 100, 0.0), 1.0), text=plain(words))
        return
    if task.error is not None:
        again = " Trying again may help." if task.error.retryable else ""
        st.error(f"{plain(task.error.message)}{again}\n\n`{task.error.code}`", icon=":material/error:")
    elif task.status == "succeeded":
        shown, raw = st.tabs(["Result", "JSON"])
        with shown:
            result.show(task.result, key=key)
        with raw:
            result.show_json(task.result)
    elif task.status == "cancelled":
        st.info("It was cancelled. Retry runs it once more.", icon=":material/cancel:")
    else:
        st.warning("Nothing was free to run it before it expired. Retry queues it again.", icon=":material/timer_off:")


def timings(task: Task) -> None:
    rows = {
        "Created": f"{exact(task.created_at)} ({ago(task.created_at)})",
        "Started": exact(task.started_at) if task.started_at else "not yet",
        "Finished": exact(task.finished_at) if task.finished_at else "not yet",
        "Waited": lasting((task.started_at - task.created_at).total_seconds() * 1000) if task.started_at else "-",
        "Ran": lasting(task.execution_time) if task.execution_time is not None else "-",
        "Attempts": f"{task.attempts} of at most {task.max_attempts}",
        "Workers lost": str(task.losses),
        "Time limit": lasting(task.timeout),
        "Expires": exact(task.expires_at),
        "Priority": str(task.priority),
    }
    st.table({name: plain(value) for name, value in rows.items()}, border="horizontal")


def events(task: Task) -> None:
    if not task.events:
        st.caption("Nothing was noted yet.")
        return
    rows = [
        {"No.": str(event.sequence), "Event": f"`{event.type}`", "At": plain(exact(event.at))} for event in task.events
    ]
    st.table(rows, border="horizontal")
