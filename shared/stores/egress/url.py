"""URLs of strangers: read once, and only where every reader would see the same host and port."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Self
from urllib.parse import quote, urljoin

from shared.errors import ToolError
from shared.url_ports import DEFAULT_PORTS

_URL_CHARACTERS = 8192
_HOST_CHARACTERS = 253
_URL = re.compile(r"(https?)://([^/?#]*)(.*)", re.ASCII | re.IGNORECASE | re.DOTALL)
# No userinfo, no percent-escapes, no empty port, no zone; the port in one spelling.
_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^:@%\[\]]+))(?::([1-9][0-9]{0,4}))?")
# An underscore is no letter of host names, but stands in some that are in use.
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# What resolvers take for a number, of which they then make an address.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_OTHER_DOTS = re.compile("[\u3002\uff0e\uff61]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A URL, parsed once: what is checked is what is connected to. `host` and `path` are ASCII."""

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises ToolError for all but http(s) to a plain name or address, without user or password."""
        if len(url) > _URL_CHARACTERS:
            raise ToolError(f"the URL is refused: it is longer than {_URL_CHARACTERS} characters")
        # Printable leaves out blanks, control and format characters, and halves of surrogate pairs.
        if not url.isprintable() or " " in url or "\\" in url:
            raise ToolError("the URL is refused: it holds a blank, a backslash or an invisible character; escape it")
        matched = _URL.fullmatch(url)
        if matched is None:
            raise ToolError("the URL is refused: give a whole one that begins with http:// or https://")
        scheme, authority, rest = matched[1].lower(), matched[2], matched[3].partition("#")[0]
        host, port = _authority(authority)
        path = rest if rest.startswith("/") else f"/{rest}"
        return cls(scheme=scheme, host=host, port=port or DEFAULT_PORTS[scheme], path=_ascii(path))

    def joined(self, location: str) -> "Target":
        """Where a redirect from here leads. Raises ToolError as `parse` does."""
        if not location.isprintable() or " " in location or "\\" in location:
            raise ToolError(f"{self.origin} redirects to a URL that holds blanks, backslashes or invisible characters")
        try:
            return Target.parse(urljoin(self.url, location))
        except ValueError as exc:
            raise ToolError(f"{self.origin} redirects to what is no URL") from exc

    @property
    def is_address(self) -> bool:
        return ":" in self.host or _NUMBER.fullmatch(self.host.rpartition(".")[2]) is not None

    @property
    def netloc(self) -> str:
        """As the Host header has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.netloc}"

    @property
    def url(self) -> str:
        return f"{self.origin}{self.path}"


def _authority(text: str) -> tuple[str, int | None]:
    matched = _AUTHORITY.fullmatch(text)
    if matched is None:
        raise ToolError(
            "the URL is refused: between // and the path belong a host and perhaps a port, no user, password or escape"
        )
    v6, name, port = matched.groups()
    if port and int(port) > 65535:
        raise ToolError(f"there is no port {port}")
    return (_address(v6) if v6 else _name(name)), int(port) if port else None


def _name(text: str) -> str:
    host = text.lower()
    if _OTHER_DOTS.search(host):
        raise ToolError(f"the host {text!r} is refused: between its parts belong plain dots")
    if not text.isascii():
        host = _encoded(host, text)
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _address(host)
    if len(host) > _HOST_CHARACTERS or not all(map(_LABEL.fullmatch, labels)):
        raise ToolError(f"the host {text[:300]!r} is refused: it is no plain host name or IP address")
    return host


def _encoded(host: str, text: str) -> str:
    """An international name in its ASCII form; one that has to be bent into shape first is refused."""
    import idna

    # Some letters are ASCII once they are lower case, and then look like another name.
    disguised = any(
        part.isascii() != label.isascii() for part, label in zip(host.split("."), text.split("."), strict=True)
    )
    if disguised or len(host) > _HOST_CHARACTERS:
        raise ToolError(f"the host {text[:300]!r} is refused: it is no plain host name")
    try:
        return idna.encode(host).decode()
    except UnicodeError:
        raise ToolError(f"the host {text!r} is refused: it is no international host name") from None


def _address(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        raise ToolError(f"the host {text[:300]!r} is refused: it is neither a host name nor an IP address") from None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        raise ToolError(f"the host {text!r} is refused: give {str(address.ipv4_mapped)!r} instead")
    if str(address) != text:
        raise ToolError(f"the host {text!r} is refused: the plain spelling is {str(address)!r}")
    return text


def _ascii(path: str) -> str:
    return path if path.isascii() else quote(path, safe="".join(map(chr, range(0x21, 0x7F))))
