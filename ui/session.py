"""Who is signed in here: the handle in the browser's cookie, exchanged for a token that stays in this process."""

import os
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import streamlit as st

from ui.answers import User
from ui.client import Client, Gateway, Live, SessionEnded, Visitor

COOKIE = "sutazai_ui"
# A token is renewed so long before it lapses.
_AHEAD_S = 60.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@st.cache_resource(show_spinner=False)
def gateway() -> Gateway:
    """Raises RuntimeError where the environment names no key."""
    path = os.environ.get("SUTAZAI_UI_KEY_FILE")
    if not path:
        raise RuntimeError("SUTAZAI_UI_KEY_FILE is not set")
    origin = os.environ.get("SUTAZAI_API_URL") or "http://127.0.0.1:10008"
    return Gateway(origin, Path(path).read_bytes().hex())


def public_origin() -> str:
    """Where the browser finds the gateway. On one machine under the name that the page goes by: cookies know no
    ports, but they do know names."""
    origin = os.environ.get("SUTAZAI_PUBLIC_API_URL") or gateway().origin
    there, here = urlsplit(origin), urlsplit(st.context.url or "")
    if there.hostname in _LOOPBACK and here.hostname in _LOOPBACK and here.hostname != there.hostname:
        name = f"[{here.hostname}]" if ":" in here.hostname else here.hostname
        origin = urlunsplit(there._replace(netloc=f"{name}:{there.port}" if there.port else name))
    return origin.rstrip("/")


def visitor() -> Visitor:
    return Visitor(address=st.context.ip_address or "", user_agent=st.context.headers.get("User-Agent", "")[:200])


def handle() -> str | None:
    return st.context.cookies.get(COOKIE) or None


def signed_in() -> User | None:
    """Asks the gateway once per window; afterwards each call of the API shows whether the session still holds."""
    if handle() is None or st.session_state.get("signed_out"):
        return None
    if "user" not in st.session_state:
        try:
            st.session_state["user"] = client().me()
        except SessionEnded:
            st.session_state["signed_out"] = True
            return None
    user: User = st.session_state["user"]
    return user


def client() -> Client:
    return Client(gateway(), _token)


def live() -> Live:
    """Raises SessionEnded once the gateway has said so."""
    own = handle()
    assert own is not None, "only where somebody is signed in"
    found = gateway().live(own).look()
    if found.ended:
        raise SessionEnded(401, "UNAUTHORIZED", "the session has ended", {})
    return found


def forget() -> None:
    """Nothing of whoever was signed in stays in this window."""
    st.session_state.clear()
    st.session_state["signed_out"] = True


def _token() -> str:
    """Raises SessionEnded."""
    text, until = st.session_state.get("token", ("", 0.0))
    if time.monotonic() > until:
        found = gateway().exchange(handle() or "")
        text, until = found.access_token, time.monotonic() + found.expires_in - _AHEAD_S
        st.session_state["token"] = (text, until)
    return str(text)
