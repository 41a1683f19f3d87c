"""What days there are: how often each step comes, and which faults have to be met."""

FAULTS = (
    "answer lost after the commit",
    "broker down",
    "broker wiped",
    "caller lost",
    "clock skewed",
    "connection cut before a statement",
    "end refused",
    "five workers lost",
    "keeper killed",
    "record restarted",
    "redis wiped",
    "transaction left open",
    "two keepers at once",
    "wake-up duplicated",
    "wake-up lost",
    "wake-up reordered",
    "worker declared dead while it lived",
    "worker killed",
    "worker killed by its task",
    "worker stopped",
)
# How often each step comes, among all.
STEPS: dict[str, int] = {
    "submit": 22,
    "submit_again": 8,
    "cancel": 9,
    "cancel_all": 1,
    "answer": 6,
    "tail": 5,
    "keep": 36,
    "deliver": 22,
    "claim": 24,
    "work": 34,
    "beat": 22,
    "attach": 3,
    "note": 1,
    "boot": 9,
    "hear_cancel": 3,
    "keeper_notices": 4,
    "commit": 7,
    "pause": 16,
    "go_on": 6,
    "kill": 5,
    "stall": 4,
    "leave": 2,
    "skew": 2,
    "keeper_dies": 2,
    "keeper_is_cut_off": 2,
    "restart": 2,
    "drop": 2,
    "duplicate": 2,
    "wipe_broker": 2,
    "switch_broker": 1,
    "wipe_redis": 3,
}
STEP_BYTES = 3
# What is more frequent on some days than on others: rare courses need many of the same.
DAYS: tuple[dict[str, int], ...] = (
    {},
    {},
    {},
    {"crash_loop": 60},
    {"cancel": 40, "cancel_all": 4, "hear_cancel": 10},
    {"drop": 12, "duplicate": 12, "wipe_broker": 8, "switch_broker": 6, "wipe_redis": 10},
    {"stall": 20, "go_on": 20, "pause": 30, "beat": 30},
    {"nap": 16, "go_on": 24, "claim": 60, "work": 50, "deliver": 40, "beat": 4, "kill": 1},
    {"restart": 8, "commit": 3, "keeper_dies": 8, "keeper_is_cut_off": 8},
)


def day_of(byte: int) -> int:
    return byte * len(DAYS) >> 8
