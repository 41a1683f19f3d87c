"""What to show when something did not work, and what to do next."""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from ui import session
from ui.client import Refused, SessionEnded, Unreachable
from ui.components.text import plain


def explain(error: Refused | Unreachable) -> None:
    if isinstance(error, Unreachable):
        st.error(
            f"The platform does not answer: {plain(str(error))}. It may be starting again; try once more in a moment.",
            icon=":material/cloud_off:",
        )
        return
    fields = "".join(f"\n- **{plain(name)}**: {plain(why)}" for name, why in error.fields.items())
    st.error(f"{plain(error.message)}{fields}\n\n`{error.code}`", icon=":material/error:")


@contextmanager
def explained() -> Iterator[None]:
    """Shows why the block could not go on. An ended session leads back to signing in."""
    try:
        yield
    except SessionEnded:
        session.forget()
        st.rerun()
    except (Refused, Unreachable) as error:
        explain(error)
