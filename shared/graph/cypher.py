"""Which Cypher only reads.

The server refuses to write in a transaction that reads; what it does not refuse there is loading from URLs and files,
administration, and procedures. So a query is taken apart into words, and each of them that begins a clause has to be
one of those below; names that are spelt like others stand in backquotes.
"""

import re
from collections.abc import Iterator

from shared.errors import Invalid

LONGEST = 10_000
PROCEDURES = frozenset({"db.labels", "db.relationshiptypes", "db.propertykeys"})
_FIRST = frozenset({"CALL", "MATCH", "OPTIONAL", "RETURN", "UNWIND", "WITH"})
_REFUSED = frozenset(
    {
        *("ALTER", "CREATE", "CYPHER", "DEALLOCATE", "DELETE", "DENY", "DETACH", "DROP", "DRYRUN", "ENABLE", "EXPLAIN"),
        *("FOREACH", "GRANT", "INSERT", "LOAD", "MERGE", "NODETACH", "PROFILE", "REALLOCATE", "REMOVE", "RENAME"),
        *("REVOKE", "SET", "SHOW", "START", "STOP", "TERMINATE", "TRANSACTION", "TRANSACTIONS", "USE"),
    }
)
_NAMESPACES = frozenset(
    {"date", "datetime", "duration", "localdatetime", "localtime", "point", "time", "vector.similarity"}
)
_TOKEN = re.compile(
    r"""
    (?P<blank>[ \t\r\n]+|//[^\r\n]*|/\*.*?\*/)
  | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
  | (?P<quoted>`(?:[^`]|``)*`)
  | (?P<parameter>\$[A-Za-z_][A-Za-z0-9_]*)
  | (?P<number>(?:0[xX][0-9a-fA-F]+|0[oO][0-7]+|[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![A-Za-z0-9_]))
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<sign>[()\[\]{}<>=+\-*%^,.:|&!]|/(?!\*))
    """,
    re.VERBOSE | re.DOTALL,
)
_Token = tuple[str, str]


def check_reads(query: str) -> None:
    """Raises Invalid for everything that does not certainly only read."""
    if len(query) > LONGEST:
        raise Invalid(f"a query has {LONGEST} characters at most", field="query")
    # The server turns such escapes into characters before it looks for words and the ends of texts.
    if re.search(r"\\+[uU]", query):
        raise Invalid(r"a query spells no character as \u....", field="query")
    tokens = list(_tokens(query))
    if not tokens or tokens[0][0] != "word" or tokens[0][1].upper() not in _FIRST:
        raise Invalid(f"a query begins with one of {', '.join(sorted(_FIRST))}", field="query")
    for at, (kind, text) in enumerate(tokens):
        if kind == "word" and not _is_name(tokens, at):
            _check_word(tokens, at, text.upper())
        if text == "(" and at and tokens[at - 1][0] in ("word", "quoted"):
            _check_called(tokens, at)


def _tokens(query: str) -> Iterator[_Token]:
    at = 0
    while at < len(query):
        found = _TOKEN.match(query, at)
        if found is None:
            raise Invalid(f"the query has a {query[at]!r} where none is understood", field="query", position=at)
        if found.lastgroup != "blank":
            yield str(found.lastgroup), found[0]
        at = found.end()


def _is_name(tokens: list[_Token], at: int) -> bool:
    """Of a label, a type or a property, whatever it is spelt like."""
    before = tokens[at - 1][1] if at else ""
    after = tokens[at + 1][1] if at + 1 < len(tokens) else ""
    return before in (".", ":") and not (before == ":" and after == "(")


def _check_word(tokens: list[_Token], at: int, word: str) -> None:
    if word in _REFUSED:
        raise Invalid(f"a query here only reads: {word} is not for it; a name is written as `{word}`", field="query")
    following = tokens[at + 1 :]
    if word == "CALL" and following and following[0][1] not in ("{", "("):
        name = _name(following)
        if name.lower() not in PROCEDURES:
            allowed = ", ".join(sorted(PROCEDURES))
            raise Invalid(f"the procedure {name!r} is not among {allowed}", field="query")


def _check_called(tokens: list[_Token], at: int) -> None:
    """Functions of plugins have namespaces, as procedures do; what neither is looks like neither."""
    start = at - 1
    while start >= 2 and tokens[start - 1][1] == "." and tokens[start - 2][0] in ("word", "quoted"):
        start -= 2
    path = [text for _, text in tokens[start:at] if text != "."]
    if len(path) == 1 or (start and tokens[start - 1][1].upper() == "CALL"):
        return
    if any(text.startswith("`") for text in path):
        raise Invalid("the name of a function stands in no backquotes", field="query")
    if ".".join(path[:-1]).lower() not in _NAMESPACES:
        raise Invalid(f"the function {'.'.join(path)!r} is not for a query here", field="query")


def _name(tokens: list[_Token]) -> str:
    found = []
    for kind, text in tokens:
        if kind != "word" and text != ".":
            break
        found.append(text)
    return "".join(found)
