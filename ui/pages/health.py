"""Health: how every part is."""

import streamlit as st

from ui import session
from ui.answers import Part
from ui.client import Unreachable
from ui.components.status import badge
from ui.components.text import plain
from ui.components.trouble import explain, explained

_TICK_S = 3.0
_WORDS = {
    "ok": "Everything works.",
    "degraded": "The platform works, but a part of it does not. What needs that part may be slow or refused.",
    "down": "The record cannot be reached: nothing new is taken until it can. What was accepted is safe.",
}


def page() -> None:
    st.title("Health", anchor=False)
    st.caption("Every part of the platform, looked at every few seconds.")
    _parts()


@st.fragment(run_every=_TICK_S)
def _parts() -> None:
    with explained():
        live = session.live()
        try:
            health = session.gateway().health()
        except Unreachable as error:
            explain(error)
            return
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            badge(health.status)
            st.markdown(f"{_WORDS.get(health.status, '')} Version {plain(health.version)}.", width="stretch")
        for name, part in sorted(health.services.items()):
            _part(name, part)
        told = Part(status="ok" if live.connected else "degraded", detail="" if live.connected else "connecting again")
        _part("live updates", told)


def _part(name: str, part: Part) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        with st.container(width=112):
            badge(part.status)
        st.markdown(f"**{plain(name.replace('_', ' ').capitalize())}**", width="content")
        if part.detail:
            st.caption(plain(part.detail), width="content")
