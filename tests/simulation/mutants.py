"""Small wrong changes: to the text of a statement, and to the tree of a module. None touches a file."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

# --- statements ----------------------------------------------------------------------------------------------------

# What is looked for, and what it becomes. Some results are no SQL; those are not counted.
_CHANGES: tuple[tuple[str, str], ...] = (
    (r"<=", "<"),
    (r"<=", ">"),
    (r">=", ">"),
    (r">=", "<"),
    (r"(?<![<>])= (?=ANY|\$|[a-z])", "<> "),
    (r"(?<![<>=]) < (?!=)", " >= "),
    (r" > (?!=)", " <= "),
    (r"[\w.]+ (?:=|<=|>=|<|>) (?:ANY\(\S+\)|\$\d+|now\(\)|'\w+'|[a-z]+\.\w+)(?= |\n|\)|$)", "true"),
    (r"[\w.]+ IS (?:NOT )?NULL", "true"),
    (r"[\w.]+ (?:NOT )?IN \('[^)]*'\)", "true"),
    (r" AND (?!NULL)", " OR "),
    (r" OR ", " AND "),
    (r"IS NULL", "IS NOT NULL"),
    (r"IS NOT NULL", "IS NULL"),
    (r"NOT IN", "IN"),
    (r"NOT EXISTS", "EXISTS"),
    (r"(?<!NOT )EXISTS", "NOT EXISTS"),
    (r"(?<=CASE WHEN )NOT ", ""),
    (r"'queued'", "'running'"),
    (r"'running'", "'queued'"),
    (r"'failed'", "'cancelled'"),
    (r"'expired'", "'failed'"),
    (r"'cancelled'", "'expired'"),
    (r"'succeeded'", "'failed'"),
    (r"\+ 1\b", "+ 2"),
    (r" \+ 1\b", ""),
    (r" - 1\b", ""),
    (r" - 1\b", " - 2"),
    (r"(?<=>= )5\b", "6"),
    (r"(?<=>= )5\b", "4"),
    (r"'300 seconds'", "'301 seconds'"),
    (r"'20 milliseconds'", "'21 milliseconds'"),
    (r"- (?=[a-z]+\.priority \*)", "+ "),
    (r"now\(\)", "(now() + interval '1 day')"),
    (r"now\(\)", "(now() - interval '1 day')"),
    (r"greatest\(", "least("),
    (r"least\(", "greatest("),
    (r"greatest\(now\(\), [^)]*\)", "now()"),
    (r"(\w+) = NULL", r"\1 = e.\1"),
    (r"FOR UPDATE SKIP LOCKED", "FOR UPDATE"),
    (r"FOR UPDATE SKIP LOCKED", ""),
    (r"FOR UPDATE OF e", ""),
    (r"FOR UPDATE OF e", "FOR UPDATE OF e SKIP LOCKED"),
    (r"ORDER BY rank", "ORDER BY rank DESC"),
    (r"ORDER BY rank", ""),
    (r"LIMIT \$4", ""),
    (r"'retryable', true", "'retryable', false"),
    (r"DISTINCT ON \([^)]*\) ", ""),
    (r"'[A-Z]+_LOST'", "'TOOL_ERROR'"),
)


@dataclass(frozen=True)
class SqlMutant:
    """`texts`: by name in `queue_sql`, of one statement, or of all that share the changed part."""

    texts: Mapping[str, str]
    name: str
    line: str
    became: str

    def __str__(self) -> str:
        return f"{self.name}: {self.line} -> {self.became}"


def of_statements(statements: Mapping[str, str], shared: Mapping[str, str]) -> Iterator[SqlMutant]:
    """What several statements share, part or line, is changed in all of them at once, as it would be in its source."""
    for name, part in shared.items():
        for line, became in _changed(part):
            changed = part.replace(line, became)
            texts = {at: text.replace(part, changed) for at, text in statements.items() if part in text}
            yield SqlMutant(texts, name, _said(line), _said(became))
    masked = {name: _masked(text, shared) for name, text in statements.items()}
    seen: set[tuple[str, str]] = set()
    for name, text in masked.items():
        for line, became in _changed(text):
            if (line, became) not in seen:
                seen.add((line, became))
                texts = {at: other.replace(line, became) for at, other in masked.items() if line in other.split("\n")}
                texts = {at: _unmasked(text, shared) for at, text in texts.items()}
                yield SqlMutant(texts, name, _said(line), _said(became))


def _masked(text: str, shared: Mapping[str, str]) -> str:
    for name, part in shared.items():
        text = text.replace(part, f"\0{name}\0")
    return text


def _unmasked(text: str, shared: Mapping[str, str]) -> str:
    for name, part in shared.items():
        text = text.replace(f"\0{name}\0", part)
    return text


def _changed(text: str) -> Iterator[tuple[str, str]]:
    """Lines, each before and after one change."""
    for line in text.split("\n"):
        for pattern, becomes in _CHANGES:
            for found in re.finditer(pattern, line):
                yield line, line[: found.start()] + found.expand(becomes) + line[found.end() :]


def _said(line: str) -> str:
    return line.strip().replace("\0", "")


# --- modules -------------------------------------------------------------------------------------------------------

_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add}
_STATUSES = {"queued": "running", "running": "queued", "failed": "succeeded"} | dict.fromkeys(
    ("cancelled", "expired"), "failed"
)
_CALLED = {"max": "min", "min": "max"}


@dataclass(frozen=True)
class TreeMutant:
    """The `change`-th of the `place`-th node of a module's tree."""

    source: str
    place: int
    change: int
    line: int
    was: str
    became: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.was} -> {self.became}"

    def module(self, name: str) -> ModuleType:
        """Run anew, under the name of the original."""
        tree = ast.parse(self.source)
        _changes(list(ast.walk(tree))[self.place])[self.change].make()
        made = ModuleType(name)
        exec(compile(ast.fix_missing_locations(tree), f"<{name}, {self}>", "exec"), made.__dict__)
        return made


def of_module(path: Path, *, without: tuple[str, ...] = ("logger",)) -> Iterator[TreeMutant]:
    """`without`: names of functions and calls that do not count, like what goes to a log."""
    source = path.read_text()
    tree = ast.parse(source)
    places = {id(node): number for number, node in enumerate(ast.walk(tree))}
    seen: set[str] = set()
    for node in _counting(tree, without):
        was = _shown(node)
        for number, change in enumerate(_changes(node)):
            before = change.make()
            became, all_of_it = _shown(node), ast.dump(node)
            setattr(node, change.field, before)
            key = f"{getattr(node, 'lineno', 0)} {getattr(node, 'col_offset', 0)} {all_of_it}"
            if key not in seen:
                seen.add(key)
                yield TreeMutant(source, places[id(node)], number, getattr(node, "lineno", 0), was, became)


def _shown(node: ast.AST) -> str:
    return ast.unparse(node).split("\n")[0][:90]


def _counting(node: ast.AST, without: tuple[str, ...]) -> Iterator[ast.AST]:
    called = node.value if isinstance(node, ast.Expr) else node
    if isinstance(called, ast.Call) and ast.unparse(called.func).startswith(without):
        return
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in without:
        return
    if isinstance(node, ast.Import | ast.ImportFrom | ast.AnnAssign) or _is_declaration(node):
        return
    yield node
    for name, child in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for one in child if isinstance(child, list) else [child]:
            if isinstance(one, ast.AST):
                yield from _counting(one, without)


def _is_declaration(node: ast.AST) -> bool:
    """Of types, and of loggers."""
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.Call)


def _changes(node: ast.AST) -> list["_Change"]:
    """Each changes the node where it stands."""
    match node:
        case ast.Compare(ops=[op]):
            return [_Change(node, "ops", [other()]) for other in _COMPARED.get(type(op), ())]
        case ast.BoolOp(op=op):
            other = ast.Or() if isinstance(op, ast.And) else ast.And()
            dropped = [_Change(node, "values", node.values[:n] + node.values[n + 1 :]) for n in range(len(node.values))]
            return [_Change(node, "op", other), *(dropped if len(node.values) > 1 else [])]
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in _COMPUTED:
            return [_Change(node, "op", _COMPUTED[type(op)]())]
        case ast.UnaryOp(op=ast.Not()):
            return [_Change(node, "op", ast.UAdd())]
        case ast.Constant(value=bool() as value):
            return [_Change(node, "value", not value)]
        case ast.Constant(value=int() | float() as value):
            return [_Change(node, "value", value + 1), _Change(node, "value", value * 2 if value else -1)]
        case ast.Constant(value=str() as value) if value in _STATUSES:
            return [_Change(node, "value", _STATUSES[value])]
        case ast.Call(func=ast.Name(id=name)) if name in ("max", "min"):
            return [_Change(node, "func", ast.Name(_CALLED[name], ast.Load()))]
        case ast.Call(keywords=keywords) if keywords:
            return [_Change(node, "keywords", keywords[:n] + keywords[n + 1 :]) for n in range(len(keywords))]
        case ast.Expr(value=ast.Call() | ast.Await()):
            return [_Change(node, "value", ast.Constant(None))]
    return []


@dataclass(frozen=True)
class _Change:
    node: ast.AST
    field: str
    value: object

    def make(self) -> object:
        """What stood there before."""
        before: object = getattr(self.node, self.field)
        setattr(self.node, self.field, self.value)
        return before
