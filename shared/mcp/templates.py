"""URI templates (RFC 6570) as far as resources need them: `{name}` without a slash, `{+name}` with any characters."""

import re
from typing import Final
from urllib.parse import quote, unquote

_EXPRESSION: Final = re.compile(r"\{(\+?)([A-Za-z_][A-Za-z0-9_]*)\}")


class Template:
    def __init__(self, text: str) -> None:
        """Raises ValueError for what is no such template."""
        rest = _EXPRESSION.sub("", text)
        if "{" in rest or "}" in rest:
            raise ValueError(f"{text!r} is more than a template of '{{name}}' and '{{+name}}'")
        self.names = tuple(found[2] for found in _EXPRESSION.finditer(text))
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"{text!r} has a name twice")
        self._text = text
        pattern, end = "", 0
        for found in _EXPRESSION.finditer(text):
            value = ".+?" if found[1] else "[^/?#]+?"
            pattern += f"{re.escape(text[end : found.start()])}(?P<{found[2]}>{value})"
            end = found.end()
        self._pattern = re.compile(pattern + re.escape(text[end:]), re.DOTALL)

    def filled(self, value: str) -> str:
        """The URI of a template of one name."""
        return _EXPRESSION.sub(lambda found: quote(value, safe="/:" if found[1] else ""), self._text)

    def values(self, uri: str) -> dict[str, str] | None:
        """What the names stand for in a URI, decoded; None where it is not of this template."""
        found = self._pattern.fullmatch(uri)
        if found is None:
            return None
        try:
            return {name: unquote(value, errors="strict") for name, value in found.groupdict().items()}
        except UnicodeDecodeError:
            return None
