"""The difference between two texts, in the form that git and models know.

Shortest edit script after E. Myers, "An O(ND) difference algorithm and its variations" (1986).
"""

from collections.abc import Sequence

_CONTEXT_LINES = 4
# The cost grows with the square of the differences; beyond so many, all between first and last is replaced.
_MOST_DIFFERENCES = 1500
_RULE = "=" * 67

Marked = tuple[str, str]


def fenced_diff(before: str, after: str, path: str) -> str:
    """A unified diff in a Markdown fence that is longer than any run of backticks within."""
    head = [f"Index: {path}", _RULE, f"--- {path}\toriginal", f"+++ {path}\tmodified"]
    diff = "\n".join([*head, *_hunks(_marked(_lines(before), _lines(after)))]) + "\n"
    fence = "```"
    while fence in diff:
        fence += "`"
    return f"{fence}diff\n{diff}{fence}\n\n"


def _lines(text: str) -> list[str]:
    """Lines with the feed that ends each; the last may have none."""
    lines = [f"{line}\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _hunks(lines: Sequence[Marked]) -> list[str]:
    changed = [place for place, (mark, _) in enumerate(lines) if mark != " "]
    spans: list[tuple[int, int]] = []
    for place in changed:
        start, end = max(0, place - _CONTEXT_LINES), min(len(lines), place + _CONTEXT_LINES + 1)
        if spans and start <= spans[-1][1]:
            start = spans.pop()[0]
        spans.append((start, end))
    found: list[str] = []
    old = new = done = 0
    for start, end in spans:
        old += sum(mark != "+" for mark, _ in lines[done:start])
        new += sum(mark != "-" for mark, _ in lines[done:start])
        olds = sum(mark != "+" for mark, _ in lines[start:end])
        news = sum(mark != "-" for mark, _ in lines[start:end])
        found.append(f"@@ -{old + (olds > 0)},{olds} +{new + (news > 0)},{news} @@")
        found += [_shown(mark, line) for mark, line in lines[start:end]]
        old, new, done = old + olds, new + news, end
    return found


def _shown(mark: str, line: str) -> str:
    return mark + (line[:-1] if line.endswith("\n") else f"{line}\n\\ No newline at end of file")


def _marked(old: Sequence[str], new: Sequence[str]) -> list[Marked]:
    """All lines of both texts in one order, each kept (` `), gone (`-`) or new (`+`), gone before new."""
    start, most = 0, min(len(old), len(new))
    while start < most and old[start] == new[start]:
        start += 1
    end = 0
    while end < most - start and old[-1 - end] == new[-1 - end]:
        end += 1
    kept = [(" ", line) for line in old[:start]]
    gone: list[Marked] = []
    fresh: list[Marked] = []
    for mark, line in _script(old[start : len(old) - end], new[start : len(new) - end]):
        if mark == " ":
            kept += [*gone, *fresh, (mark, line)]
            gone, fresh = [], []
        else:
            (gone if mark == "-" else fresh).append((mark, line))
    return [*kept, *gone, *fresh, *((" ", line) for line in old[len(old) - end :])]


def _script(old: Sequence[str], new: Sequence[str]) -> list[Marked]:
    trace = _trace(old, new)
    if trace is None:
        return [*(("-", line) for line in old), *(("+", line) for line in new)]
    x, y = len(old), len(new)
    script: list[Marked] = []
    for step in range(len(trace) - 1, -1, -1):
        furthest = trace[step]
        down = _is_down(furthest, step, x - y)
        before_x = furthest.get(x - y + (1 if down else -1), 0) if step else 0
        before_y = before_x - (x - y + (1 if down else -1)) if step else 0
        while x > before_x and y > before_y:
            x, y = x - 1, y - 1
            script.append((" ", old[x]))
        if step and down:
            y -= 1
            script.append(("+", new[y]))
        elif step:
            x -= 1
            script.append(("-", old[x]))
    return script[::-1]


def _trace(old: Sequence[str], new: Sequence[str]) -> list[dict[int, int]] | None:
    """How far each diagonal reached before every further difference; None where there are too many."""
    furthest = {1: 0}
    trace: list[dict[int, int]] = []
    for step in range(min(len(old) + len(new), _MOST_DIFFERENCES) + 1):
        trace.append({k: x for k, x in furthest.items() if abs(k) <= step + 1})
        for k in range(-step, step + 1, 2):
            x = furthest[k + 1] if _is_down(furthest, step, k) else furthest[k - 1] + 1
            while x < len(old) and x - k < len(new) and old[x] == new[x - k]:
                x += 1
            furthest[k] = x
            if x >= len(old) and x - k >= len(new):
                return trace
    return None


def _is_down(furthest: dict[int, int], step: int, k: int) -> bool:
    return k == -step or (k != step and furthest[k - 1] < furthest[k + 1])
