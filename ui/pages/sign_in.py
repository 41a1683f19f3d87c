"""Signing in, and making an account."""

import secrets

import streamlit as st

from ui import session
from ui.client import Refused, Unreachable
from ui.components import cookie
from ui.components.trouble import explain
from ui.theme import ICON


def page() -> None:
    _, middle, _ = st.columns([1, 1.3, 1])
    with middle:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.image(ICON, width=40)
            st.title("SutazAI", anchor=False, width="content")
        st.caption("Agents that work for you. Sign in to run their tools and to follow their tasks.")
        if offered := st.session_state.get("offered"):
            _enter(*offered)
            return
        if st.session_state.get("signed_out"):
            st.info("Your session has ended. Sign in to go on.", icon=":material/lock:")
        known, new = st.tabs(["Sign in", "Create account"])
        with known:
            _sign_in()
        with new:
            _register()


def _sign_in() -> None:
    with st.form("sign-in", border=False):
        name = st.text_input("Email or username", autocomplete="username", key="name")
        password = st.text_input("Password", type="password", autocomplete="current-password", key="password")
        sent = st.form_submit_button("Sign in", type="primary", width="stretch")
    if sent and not (name and password):
        st.error("Both are needed: your email or username, and your password.", icon=":material/error:")
    elif sent:
        _try(name, password)


def _register() -> None:
    with st.form("register", border=False):
        email = st.text_input("Email", autocomplete="email")
        username = st.text_input("Username", autocomplete="username")
        password = st.text_input(
            "Password", type="password", autocomplete="new-password", help="At least 8 characters, and hard to guess."
        )
        confirmed = st.text_input("Password once more", type="password", autocomplete="new-password")
        sent = st.form_submit_button("Create account", type="primary", width="stretch")
    if not sent:
        return
    if not (email and username and password and confirmed):
        st.error("All four fields are needed.", icon=":material/error:")
        return
    try:
        session.gateway().register(email, username, password, confirmed, session.visitor())
    except (Refused, Unreachable) as error:
        explain(error)
        return
    _try(username, password)


def _try(name: str, password: str) -> None:
    try:
        with st.spinner("Signing in ..."):
            token = session.gateway().login(name, password, session.visitor())
            code = session.gateway().code(token)
    except (Refused, Unreachable) as error:
        explain(error)
        return
    # Without what was typed: nothing here needs the password any more.
    st.session_state.clear()
    st.session_state["offered"] = (code, secrets.token_urlsafe(8))
    st.rerun()


def _enter(code: str, key: str) -> None:
    st.markdown("Signing in ...")
    if cookie.send(f"{session.public_origin()}/ui/session", {"code": code}, key=key, keep=True):
        del st.session_state["offered"]
        st.error(
            "Your browser could not reach the platform to finish signing in. Sign in again.",
            icon=":material/cloud_off:",
        )
        st.button("Back")
