"""One agent: choose a tool, fill in its form, watch it work."""

import streamlit as st
from pydantic import JsonValue

from ui import session
from ui.answers import AgentWithTools, Tool
from ui.components import links, snippets, task_view
from ui.components.schema_form import schema_form
from ui.components.status import badge
from ui.components.text import plain, worded
from ui.components.trouble import explained


def page() -> None:
    links.to("Agents", {}, label="All agents", icon=":material/arrow_back:")
    agent_id = st.query_params.get("agent")
    if not agent_id:
        st.info("No agent was named. Choose one from the list.", icon=":material/search_off:")
        return
    with explained():
        _tools(session.client().agent(agent_id))


def _tools(found: AgentWithTools) -> None:
    agent = found.agent
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.title(plain(agent.name), anchor=False, width="content")
        badge(agent.status)
    st.markdown(worded(agent.description))
    tool = _chosen(found.tools)
    if tool is None:
        st.info("This agent has no tool of that name. Choose another one.", icon=":material/search_off:")
        return
    left, right = st.columns([1, 1], gap="large")
    with left:
        _form(agent.id, tool)
    with right:
        _run_of(agent.id, tool)


def _chosen(tools: list[Tool]) -> Tool | None:
    by_name = {tool.name: tool for tool in tools}
    asked = st.query_params.get("tool")
    names = list(by_name)
    name = st.selectbox(
        "Tool",
        names,
        index=names.index(asked) if asked in by_name else (0 if asked is None else None),
        format_func=lambda name: f"{by_name[name].title} ({name})",
        placeholder="Choose a tool",
    )
    if name is not None:
        st.query_params["tool"] = name
    return by_name.get(name or "")


def _form(agent_id: str, tool: Tool) -> None:
    st.markdown(worded(tool.description))
    with st.container(horizontal=True, gap="small"):
        badge(tool.effect)
        if tool.destructive:
            st.badge("May destroy", color="red", icon=":material/warning:")
    key = f"{agent_id}-{tool.name}"
    before: dict[str, JsonValue] | None = st.session_state.get(f"again-{key}")
    parameters = schema_form(tool.input_schema, key=f"form-{key}", submit="Run", before=before)
    if parameters is not None:
        with explained():
            task_id = session.client().execute(agent_id, tool.name, parameters, timeout_ms=tool.timeout_ms)
            st.session_state[f"run-{key}"] = (task_id, parameters)


def _run_of(agent_id: str, tool: Tool) -> None:
    run: tuple[str, dict[str, JsonValue]] | None = st.session_state.get(f"run-{agent_id}-{tool.name}")
    with st.container(border=True):
        if run is None:
            st.subheader("Result", anchor=False)
            st.caption("Fill in the form and press Run. What happens shows up here as it happens.")
            return
        task_id, parameters = run
        _watch(task_id, f"{agent_id}-{tool.name}")
    with st.expander("Copy this call", icon=":material/content_copy:"):
        st.caption("An API key goes into `SUTAZAI_API_KEY`.")
        for_shell, for_python = st.tabs(["curl", "Python"])
        call = (session.public_origin(), agent_id, tool.name, parameters)
        for_shell.code(snippets.curl(*call), language="bash", wrap_lines=True)
        for_python.code(snippets.python(*call), language="python", wrap_lines=True)


def _watch(task_id: str, key: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Result", anchor=False, width="content")
        links.to("Task", {"task": task_id}, label="Open the task", icon=":material/open_in_new:")
    task_view.watched(task_id, key=key)
