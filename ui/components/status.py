"""States in colour and in words."""

from typing import Literal

import streamlit as st

from ui.components.text import plain

Colour = Literal["red", "orange", "yellow", "blue", "green", "violet", "gray", "grey", "primary"]

_BADGES: dict[str, tuple[str, Colour, str]] = {
    "queued": ("Queued", "gray", ":material/schedule:"),
    "running": ("Running", "blue", ":material/sync:"),
    "succeeded": ("Succeeded", "green", ":material/check_circle:"),
    "failed": ("Failed", "red", ":material/error:"),
    "cancelled": ("Cancelled", "orange", ":material/cancel:"),
    "expired": ("Expired", "violet", ":material/timer_off:"),
    "ready": ("Ready", "green", ":material/check_circle:"),
    "busy": ("Busy", "blue", ":material/sync:"),
    "idle": ("Idle", "gray", ":material/bedtime:"),
    "failing": ("Failing", "red", ":material/error:"),
    "ok": ("OK", "green", ":material/check_circle:"),
    "degraded": ("Degraded", "orange", ":material/warning:"),
    "down": ("Down", "red", ":material/error:"),
    "read": ("Reads", "gray", ":material/visibility:"),
    "write": ("Writes", "orange", ":material/edit:"),
    "network": ("Uses the network", "violet", ":material/public:"),
    "exec": ("Runs code", "red", ":material/terminal:"),
}


def label(state: str) -> str:
    return _BADGES[state][0] if state in _BADGES else state.capitalize()


def badge(state: str) -> None:
    text, colour, icon = _BADGES.get(state, (plain(state), "gray", ":material/help:"))
    st.badge(text, color=colour, icon=icon)
