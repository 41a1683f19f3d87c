"""Tasks: which there are."""

from datetime import UTC, datetime, timedelta

import streamlit as st

from ui import session
from ui.answers import STATUSES, Task
from ui.components import links
from ui.components.recent import recent
from ui.components.status import badge, label
from ui.components.text import ago, lasting, plain
from ui.components.trouble import explained

_TICK_S = 1.0
_SINCE = {"Last hour": timedelta(hours=1), "Last day": timedelta(days=1), "Last week": timedelta(days=7)}


def page() -> None:
    st.title("Tasks", anchor=False)
    st.caption("What you have asked agents to do, newest first. It moves by itself.")
    _list(*_filters())


def _filters() -> tuple[str | None, str | None, str | None]:
    by_status, by_agent, by_time = st.columns([1, 1, 1])
    status = by_status.selectbox("Status", STATUSES, index=None, format_func=label, placeholder="Any status")
    names: list[str] = []
    with explained():
        names = [agent.id for agent in recent("agents", session.live(), session.client().agents).agents]
    agent = by_agent.selectbox("Agent", names, index=None, placeholder="Any agent")
    since = by_time.selectbox("Created", list(_SINCE), index=None, placeholder="At any time")
    return status, agent, since


@st.fragment(run_every=_TICK_S)
def _list(status: str | None, agent: str | None, since: str | None) -> None:
    # A page that was left behind is known by the cursor of the next.
    asked = f"{status}-{agent}-{since}"
    cursors: list[str] = st.session_state.setdefault(f"cursors-{asked}", [])
    cursor = cursors[-1] if cursors else None
    earliest = (datetime.now(UTC) - _SINCE[since]).isoformat(timespec="seconds") if since else None
    with explained():
        found = recent(
            f"tasks-{asked}-{cursor}",
            session.live(),
            lambda: session.client().tasks(status=status, agent=agent, since=earliest, cursor=cursor),
        )
        if not found.tasks:
            _nothing(is_filtered=any((status, agent, since)))
        for task in found.tasks:
            _row(task)
        with st.container(horizontal=True):
            if cursors:
                st.button("Newer", icon=":material/chevron_left:", on_click=cursors.remove, args=(cursors[-1],))
            if after := found.next_cursor:
                icon = ":material/chevron_right:"
                st.button("Older", icon=icon, icon_position="right", on_click=cursors.append, args=(after,))


def _nothing(*, is_filtered: bool) -> None:
    if is_filtered:
        st.info("No task is like that. Take a filter away to see more.", icon=":material/filter_alt_off:")
    else:
        st.info("There are no tasks yet. Open an agent and run one of its tools.", icon=":material/inbox:")
        links.to("Agents", {}, label="Go to the agents", icon=":material/arrow_forward:")


def _row(task: Task) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
        with st.container(width=112):
            badge(task.status)
        with st.container(width=300):
            links.to("Task", {"task": task.task_id}, label=f"{plain(task.agent_id)} · {plain(task.task)}")
        times = ago(task.created_at)
        if task.execution_time is not None:
            times += f" · ran {lasting(task.execution_time)}"
        elif task.status == "running":
            times += f" · {task.progress:.0f} %"
        st.caption(times, width="content")
