"""What a path may say: plain names below the user's root, none off limits; and what is said when it fails."""

import errno
import os
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from shared.errors import ToolError, Unavailable

MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 4000
MAX_DEPTH = 64

# Every folder that starts with a dot is off limits; these names are so as files too: `.git` may be one that
# points at a repository elsewhere, and GIT~1 is its other name on some file systems.
_NEVER = frozenset({".git", ".hg", ".svn", ".bzr", ".ssh", ".gnupg", ".aws", ".kube", "git~1"})
# They make a name look like another one in a listing, or break the listing's lines.
_DISGUISES = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_REASONS = {
    errno.ENOENT: "there is no file or folder {path}",
    errno.ENOTDIR: "{path} has a file where a folder is needed",
    errno.EISDIR: "{path} is a folder, not a file",
    errno.EEXIST: "{path} exists already",
    errno.ELOOP: "{path} passes through links that go round in circles or keep changing",
    errno.EXDEV: "{path} is a link that leads outside your files",
    errno.EACCES: "{path} may not be used",
    errno.EPERM: "{path} may not be used",
    errno.ENAMETOOLONG: "{path} is too long a path",
    errno.ENXIO: "{path} is not a regular file",
    errno.ENODEV: "{path} is not a regular file",
    errno.EINVAL: "{path} cannot be put there",
}


def shown(parts: Sequence[str]) -> str:
    """The path as users see it."""
    return "/" + "/".join(parts)


def quoted(path: str) -> str:
    """The path inside a message: escaped, and short however long it is."""
    return repr(path if len(path) <= 200 else f"{path[:200]}...")


def names(path: str) -> tuple[str, ...]:
    """The names that lead from the user's root to `path`, absolute or not; `..` is taken away as text."""
    _must_be_writable_text(path)
    if path == "~" or path.startswith("~/"):
        path = path[1:]
    parts: list[str] = []
    for name in path.split("/"):
        if name == "..":
            if not parts:
                raise ToolError(f"{quoted(path)} leads above your root, which is '/'")
            parts.pop()
        elif name not in ("", "."):
            parts.append(name)
    check(parts)
    return tuple(parts)


def check(parts: Sequence[str], *, folder: bool = False) -> None:
    """Raises ToolError where names are off limits, too long or too many; `folder`: the last is one too."""
    if len(parts) > MAX_DEPTH:
        raise ToolError(f"{quoted(shown(parts))} is deeper than {MAX_DEPTH} folders")
    for position, name in enumerate(parts, start=1):
        if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
            raise ToolError(f"the name {quoted(name)} is longer than {MAX_NAME_BYTES} bytes")
        if off_limits(name, folder=folder or position < len(parts)):
            raise ToolError(f"{quoted(shown(parts))} is off limits, as all folders are that start with a dot")


def off_limits(name: str, *, folder: bool) -> bool:
    """Whether a name is denied, however it is spelled: case, width and invisible characters do not matter."""
    plain = name.lower() if name.isascii() else _plain(name)
    return (folder and plain.startswith(".")) or plain.rstrip(" .") in _NEVER


def speakable(name: str) -> bool:
    """Whether a name found on disk can be asked for."""
    return (name.isascii() and name.isprintable() and "\\" not in name) or not _unspeakable(name)


def _plain(name: str) -> str:
    text = unicodedata.normalize("NFKC", name).casefold()
    return "".join(character for character in text if unicodedata.category(character) != "Cf")


def _unspeakable(text: str) -> bool:
    return "\\" in text or any(
        character in _DISGUISES or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text
    )


def _must_be_writable_text(path: str) -> None:
    if "\\" in path or (path[1:2] == ":" and path[0].isalpha() and path[2:3] in ("", "/")):
        raise ToolError(f"{quoted(path)} looks like a Windows path; write it with '/' and without a drive")
    if not speakable(path):
        raise ToolError(f"{quoted(path)} holds control or direction characters, which no name may have")
    if len(path.encode()) > MAX_PATH_BYTES:
        raise ToolError(f"the path {quoted(path)} is longer than {MAX_PATH_BYTES} bytes")


@contextmanager
def told(parts: tuple[str, ...]) -> Iterator[None]:
    """Say what went wrong with the user's path, never with ours."""
    try:
        yield
    except OSError as exc:
        path = quoted(shown(parts))
        if exc.errno in _REASONS:
            raise ToolError(_REASONS[exc.errno].format(path=path)) from exc
        raise Unavailable(f"the file storage failed at {path}: {os.strerror(exc.errno or errno.EIO)}") from exc
