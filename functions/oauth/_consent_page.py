"""The pages that people see: no script, nothing from elsewhere, everything escaped, in nobody's frame."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from html import escape
from typing import Final

from shared.function import Page
from shared.ports.oauth import Asked
from shared.redirect_uris import is_loopback, origin_of

_STYLE: Final = """
:root { color-scheme: light dark; --line: light-dark(#8c959f, #6e7681); --soft: light-dark(#f6f8fa, #161b22);
  --text: light-dark(#1f2328, #e6edf3); --back: light-dark(#ffffff, #0d1117); --key: light-dark(#0550ae, #79c0ff);
  --bad: light-dark(#a40e26, #ff9492) }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 34rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif;
  color: var(--text); background: var(--back) }
code { font-family: ui-monospace, monospace; overflow-wrap: anywhere; background: var(--soft) }
dt { font-weight: 600 } dd { margin: 0 0 .6rem }
label { display: block; font-weight: 600; margin-top: .8rem }
input { width: 100%; font: inherit; padding: .5rem; color: inherit; background: var(--back);
  border: 1px solid var(--line); border-radius: .3rem }
button { font: inherit; padding: .5rem 1.2rem; margin: 1.2rem .6rem 0 0; border-radius: .3rem; min-height: 2.75rem;
  border: 1px solid var(--key); color: var(--key); background: var(--back); cursor: pointer }
button.main { color: var(--back); background: var(--key) }
:focus-visible { outline: 3px solid var(--key); outline-offset: 2px }
.note { border-left: 4px solid var(--line); padding: .2rem .8rem; background: var(--soft) }
.bad { border-left-color: var(--bad); color: var(--bad) }
a { color: var(--key) }
"""

_MEANINGS: Final = {
    "agents:execute": "Use the agents' tools, with all that lies in your account there",
    "agents:read": "See the agents and how they are",
    "tasks:read": "See your tasks and what came of them",
    "tasks:write": "Cancel your tasks, and run them again",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """`wrong` and `name`: what came of the last attempt, and who made it."""

    asked: Asked
    carried: Mapping[str, str]
    seal: str
    wrong: str = ""
    name: str = ""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


def consent_page(consent: Consent) -> Page:
    asked = consent.asked
    target = origin_of(asked.redirect_uri)
    hidden = {**consent.carried, "seal": consent.seal}
    body = f"""<h1>Let {_text(asked.client.name)} in?</h1>
{_wrong(consent.wrong)}<dl>
<dt>Program</dt><dd>{_text(asked.client.name)}<br>{_origin_of_name(asked)}</dd>
<dt>Sends you back to</dt><dd><code>{_text(target)}</code></dd>
<dt>Wants to use</dt><dd><code>{_text(asked.resource)}</code></dd>
<dt>May then</dt><dd><ul>{"".join(map(_meaning, sorted(asked.scopes)))}</ul></dd>
</dl>
{_warning(asked)}<form method="post" action="/oauth/authorize">
{"".join(f'<input type="hidden" name="{_text(name)}" value="{_text(value)}">' for name, value in hidden.items())}
{_fields(consent.name)}
<p><button class="main" type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="deny" formnovalidate>Deny</button></p>
</form>
<p>What you allow appears among your sessions, where you can end it.</p>"""
    headers = (*_guards(f"'self' {target}"), *consent.headers)
    return Page(body=_html("Let a program in", body), status=consent.status, headers=headers)


def refusal_page(status: int, message: str, *, back: str | None = None, to: str = "") -> Page:
    """`back` leads to the client, if its user wants to go there: nobody is sent on unasked."""
    link = f'<p><a href="{_text(back)}" rel="noreferrer">Go back to {_text(to)}</a></p>' if back else ""
    body = f'<h1>This cannot be done</h1><p class="note bad" role="alert">{_text(message)}</p>{link}'
    return Page(body=_html("This cannot be done", body), status=status, headers=_guards("'none'"))


def sent_to(uri: str) -> Page:
    return Page(body=b"", status=303, headers=(("Location", uri), *_guards("'none'")))


def _guards(form_action: str) -> tuple[tuple[str, str], ...]:
    policy = (
        f"default-src 'none'; style-src 'sha256-{_style_hash()}'; form-action {form_action}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    return (
        ("Content-Security-Policy", policy),
        ("X-Frame-Options", "DENY"),
        # Not stricter: a browser then would not say either which page a form was on.
        ("Referrer-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    )


@cache
def _style_hash() -> str:
    return base64.b64encode(sha256(_STYLE.encode()).digest()).decode()


def _html(title: str, body: str) -> bytes:
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title} - SutazAI</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">
<style>{_STYLE}</style></head>
<body><main>{body}</main></body></html>
""".encode()


def _text(text: str) -> str:
    return escape(text, quote=True)


def _meaning(scope: str) -> str:
    return f"<li>{_text(_MEANINGS[scope])} (<code>{_text(scope)}</code>)</li>" if scope in _MEANINGS else _plain(scope)


def _plain(scope: str) -> str:
    return f"<li><code>{_text(scope)}</code></li>"


def _origin_of_name(asked: Asked) -> str:
    if asked.client.host:
        return f"described by <code>{_text(asked.client.host)}</code>"
    return "which calls itself so: nobody has checked it"


def _warning(asked: Asked) -> str:
    if not is_loopback(asked.redirect_uri):
        return ""
    said = "It runs on this very machine, where any program can say that it is this one."
    return f'<p class="note">{said} Go on only if you have just started it yourself.</p>\n'


def _wrong(message: str) -> str:
    return f'<p class="note bad" role="alert">{_text(message)}</p>\n' if message else ""


def _fields(name: str) -> str:
    return f"""<label for="name">E-mail address or user name</label>
<input id="name" name="name" value="{_text(name)}" autocomplete="username" autocapitalize="none" spellcheck="false"
 maxlength="254" required>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" maxlength="512" required>"""
