"""The UI: what every page stands in. Streamlit runs it anew for each click."""

import streamlit as st

from ui import session
from ui.answers import User
from ui.client import Refused, Unreachable
from ui.components import cookie, links
from ui.components.text import plain
from ui.components.trouble import explain, explained
from ui.navigation import pages
from ui.pages import sign_in
from ui.theme import ICON, WORDMARK


def main() -> None:
    st.set_page_config(page_title="SutazAI", page_icon=ICON, layout="wide")
    if leaving := st.session_state.get("leaving"):
        _leave(leaving)
        return
    try:
        user = session.signed_in()
    except (Refused, Unreachable) as error:
        st.navigation(pages(), position="hidden")
        explain(error)
        st.button("Try again", icon=":material/refresh:")
        return
    if user is not None:
        _show(user)
        return
    # With all pages known, an address that was asked for is shown once somebody has signed in.
    st.navigation(pages(), position="hidden")
    sign_in.page()


def _show(user: User) -> None:
    found = pages()
    links.remember(found)
    chosen = st.navigation(found)
    st.logo(WORDMARK, size="large", icon_image=ICON)
    with st.sidebar:
        st.caption("Signed in as")
        st.markdown(f"**{plain(user.username)}**")
        if st.button("Sign out", icon=":material/logout:", width="stretch"):
            with explained():
                session.client().logout()
                session.forget()
                st.session_state["leaving"] = "1"
                st.rerun()
    with explained():
        chosen.run()


def _leave(key: str) -> None:
    """The session has ended already; what is left is the cookie."""
    st.navigation(pages(), position="hidden")
    st.markdown("Signing out ...")
    if cookie.send(f"{session.public_origin()}/ui/session/end", {}, key=f"end-{key}"):
        session.forget()
        st.rerun()


main()
