"""Mutants that nothing can notice, by what their names look like, each with the reason."""

import re

_REASONS: tuple[tuple[str, str], ...] = (
    (r"^keeper: line \d+: 0\.0 -> (1\.0|-1)$", "any time before the keeper began"),
    (
        r"-> .*true AND (c\.execution_id|e\.id|q\.execution_id) =",
        "ids are unique: the user only tells in which partition to look",
    ),
    (r"-> .*NOT IN \('queued', 'queued'\)", "no statement that has this leaves a task running"),
    (r"TASK_LETTERS: WHERE .* -> WHERE true", "whoever waits again has no such error, or an attempt left"),
    (r"DISTINCT ON .* -> SELECT \* FROM", "of two ends under one fence the server takes the first, though it need not"),
    (
        r"MAKE_DUE: WHERE .* -> WHERE (true AND rank|status = 'queued' AND true)",
        "only in back-off is it set",
    ),
    (r"LEAVE: .*losses \+ 0 >= 5 .* -> .*losses \+ 0 (> 5|>= 6)", "whoever had five has ended"),
    (r"CLAIM: .* -> .*due_at = e\.due_at", "whatever has a rank has no time to wait for"),
    (r"PARK: .* -> .*due_at = e\.due_at", "nor has what runs"),
    (r"\) AND e\.status = 'queued'( AND e\.rank IS NULL)? -> \) AND ", "said twice: the rows are locked by then"),
    (r"REAP_ORPHANS: .* -> .*r WHERE true AND NOT EXISTS", "said twice: of what they held, what runs is taken back"),
    (r"EXPIRE: .* -> .*WHERE true AND expires_at", "said twice: where rows are picked, and where they are changed"),
)


def reason(mutant: str) -> str | None:
    return next((why for pattern, why in _REASONS if re.search(pattern, mutant)), None)
