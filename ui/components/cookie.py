"""Lets the browser itself ask the gateway for its cookie, and to take it away: no script ever sees what is in it."""

from collections.abc import Mapping

import streamlit as st

# A text body makes this a request that browsers send without asking first; the gateway checks the page's origin, and
# lets none but ours see the answer. A page gets a new cookie to its server only by being loaded anew.
_SCRIPT = """
const sent = new Set();
export default function ({ data, setTriggerValue }) {
  if (sent.has(data.key)) return;
  sent.add(data.key);
  fetch(data.url, { method: "POST", mode: "cors", credentials: "include", cache: "no-store",
                    headers: { "Content-Type": "text/plain" }, body: JSON.stringify(data.body) })
    .then((answer) => {
      if (!answer.ok) throw new Error(String(answer.status));
      window.location.replace(window.location.pathname + (data.keep ? window.location.search : ""));
    })
    .catch(() => setTriggerValue("failed", true));
}
"""


def send(url: str, body: Mapping[str, str], *, key: str, keep: bool = False) -> bool:
    """Sends once per `key`, then loads the page anew. True where the gateway did not do it."""
    mount = st.components.v2.component("sutazai_cookie", js=_SCRIPT)
    asked = {"url": url, "body": dict(body), "key": key, "keep": keep}
    return bool(mount(data=asked, key=f"cookie-{key}", on_failed_change=lambda: None).get("failed"))
