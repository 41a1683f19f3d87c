"""One task, whole: what came of it, and what may be done next."""

import streamlit as st

from ui import session
from ui.answers import Task
from ui.client import Refused
from ui.components import links, result, task_view
from ui.components.text import ago, plain
from ui.components.trouble import explained


def page() -> None:
    links.to("Tasks", {}, label="All tasks", icon=":material/arrow_back:")
    task_id = st.query_params.get("task")
    if not task_id:
        st.info("No task was named. Choose one from the list.", icon=":material/search_off:")
        return
    with explained():
        _one(task_id)


def _one(task_id: str) -> None:
    try:
        task = task_view.now(task_id)
    except Refused as error:
        if error.status not in (400, 404):
            raise
        st.warning("There is no such task, or it is not yours. Choose one from the list.", icon=":material/search_off:")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.title(f"{plain(task.agent_id)} · {plain(task.task)}", anchor=False, width="content")
    st.caption(f"`{task.task_id}` · created {ago(task.created_at)}")
    if task.has_ended:
        _next(task)
    with st.container(border=True):
        task_view.watched(task_id, key=f"task-{task_id}")
    about, times, happened = st.tabs(["Parameters", "Attempts and timings", "Events"])
    with about:
        result.show_json(task.parameters)
    with times:
        task_view.timings(task)
    with happened:
        task_view.events(task)


def _next(task: Task) -> None:
    with st.container(horizontal=True):
        if st.button("Retry", icon=":material/replay:", help="Runs it once more, with the same parameters."):
            with explained():
                links.go("Task", {"task": session.client().retry(task.task_id)})
        if st.button("Change and run", icon=":material/edit:", help="Opens the form with these parameters."):
            st.session_state[f"again-{task.agent_id}-{task.task}"] = task.parameters
            links.go("Agent", {"agent": task.agent_id, "tool": task.task})
        if task.retry_of:
            links.to("Task", {"task": task.retry_of}, label="What it retries", icon=":material/history:")
