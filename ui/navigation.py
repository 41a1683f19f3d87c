"""The pages, for the menu and for links from one to another."""

import streamlit as st

from ui.pages import agent, agents, health, task, tasks


def pages() -> list[st.Page]:
    """What is hidden is one of its list: it is reached from there."""
    return [
        st.Page(agents.page, title="Agents", icon=":material/smart_toy:", url_path="agents", default=True),
        st.Page(agent.page, title="Agent", icon=":material/smart_toy:", url_path="agent", visibility="hidden"),
        st.Page(tasks.page, title="Tasks", icon=":material/checklist:", url_path="tasks"),
        st.Page(task.page, title="Task", icon=":material/receipt_long:", url_path="task", visibility="hidden"),
        st.Page(health.page, title="Health", icon=":material/monitor_heart:", url_path="health"),
    ]
