"""Agents: which there are, and how they fare."""

import streamlit as st

from ui import session
from ui.answers import Agent
from ui.components import links
from ui.components.recent import recent
from ui.components.status import badge
from ui.components.text import plain, worded
from ui.components.trouble import explained

_TICK_S = 2.0
_ROW = 3


def page() -> None:
    st.title("Agents", anchor=False)
    st.caption("Each agent is a set of tools. Open one to run a tool and to watch it work.")
    _all()


@st.fragment(run_every=_TICK_S)
def _all() -> None:
    with explained():
        agents = recent("agents", session.live(), session.client().agents).agents
        if not agents:
            st.info("No agent is there yet. They appear here as soon as the platform serves one.")
        for start in range(0, len(agents), _ROW):
            for column, agent in zip(st.columns(_ROW), agents[start : start + _ROW], strict=False):
                with column:
                    _card(agent)


def _card(agent: Agent) -> None:
    with st.container(border=True, height="stretch", key=f"card-{agent.id}"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.subheader(plain(agent.name), anchor=False, width="content")
            badge(agent.status)
        st.markdown(worded(agent.description))
        st.caption(_load(agent))
        links.to("Agent", {"agent": agent.id}, label=f"Open {plain(agent.name)}", icon=":material/arrow_forward:")


def _load(agent: Agent) -> str:
    tools = f"{len(agent.tools)} tool{'s' if len(agent.tools) != 1 else ''}"
    return f"{tools} · {agent.health.active_tasks} running · {agent.health.queued_tasks} queued"
