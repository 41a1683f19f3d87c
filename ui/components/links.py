"""Links from one page to another: pages do not import one another."""

from collections.abc import Mapping
from typing import cast

import streamlit as st

_PAGES = "pages"


def remember(pages: list[st.Page]) -> None:
    st.session_state[_PAGES] = {page.title: page for page in pages}


def to(title: str, query: Mapping[str, str], *, label: str, icon: str | None = None) -> None:
    st.page_link(_page(title), label=label, icon=icon, query_params=dict(query))


def go(title: str, query: Mapping[str, str]) -> None:
    st.switch_page(_page(title), query_params=dict(query))


def _page(title: str) -> st.Page:
    return cast(Mapping[str, st.Page], st.session_state[_PAGES])[title]
