"""What a project or a file may be called: one plain name, in one spelling."""

import unicodedata

from shared.errors import ToolError

MAX_NAME_BYTES = 255
_MARKS = frozenset("_-. ")
# Letters and accents by their category, and yet nothing is seen of them: two names would look like one.
_INVISIBLE = frozenset(
    chr(code)
    for first, last in (
        (0x034F, 0x034F),
        (0x115F, 0x1160),
        (0x17B4, 0x17B5),
        (0x180B, 0x180F),
        (0x3164, 0x3164),
        (0xFE00, 0xFE0F),
        (0xFFA0, 0xFFA0),
        (0xE0100, 0xE01EF),
    )
    for code in range(first, last + 1)
)


def name_of(text: str, what: str) -> str:
    """The name as it is stored: NFKC, so that no other spelling of a character means another thing.

    `what` it names begins the message of the ToolError.
    """
    # Nothing gets shorter by more than this; what is longer need not be looked at.
    if len(text) > 4 * MAX_NAME_BYTES:
        raise ToolError(f"{what} is longer than {MAX_NAME_BYTES} bytes")
    name = unicodedata.normalize("NFKC", text)
    if not name:
        raise ToolError(f"{what} is empty")
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        raise ToolError(f"{what} is longer than {MAX_NAME_BYTES} bytes: {text[:50]!r}...")
    if not all(map(_allowed, name)):
        raise ToolError(
            f"{what} {text!r} is no plain name: letters, digits, '_', '-', '.' and single spaces make one, '/' does not"
        )
    if ".." in name or "  " in name or name[0] in ". " or name[-1] in ". " or unicodedata.combining(name[0]):
        raise ToolError(f"{what} {text!r} may neither begin nor end with a dot or a blank, nor hold two in a row")
    return name


def project_of(text: str) -> str:
    return name_of(text, "projectName")


def file_of(text: str) -> str:
    return name_of(text, "fileName")


def _allowed(character: str) -> bool:
    if character in _MARKS:
        return True
    return unicodedata.category(character)[0] in "LMN" and character not in _INVISIBLE
