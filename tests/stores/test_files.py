"""FolderFiles: one folder a user, an exact quota, and nothing half written."""

import multiprocessing
import os
import signal
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.config import Settings
from shared.errors import ToolError
from shared.ports.files import Files, UserFiles
from shared.stores import _account, _beneath, _paths
from shared.stores.files import FolderFiles, UserFolder

USER, OTHER = UUID(int=1), UUID(int=2)
QUOTA_BYTES = 10_000


def adapter(folder: Path) -> FolderFiles:
    settings = Settings(home=folder, keys_dir=folder, files_dir=folder / "files", files_quota_bytes=QUOTA_BYTES)
    return FolderFiles(settings=settings)


@pytest.fixture
def files(tmp_path: Path) -> UserFolder:
    return adapter(tmp_path).root(USER)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return adapter(tmp_path).folders(USER)[0]


def text(files: UserFiles, path: str) -> bytes:
    return files.read_bytes(path, limit_bytes=QUOTA_BYTES)


def in_processes(work: Callable[[Path, int], None], folder: Path, count: int = 4) -> None:
    started = [
        multiprocessing.get_context("fork").Process(target=work, args=(folder, number)) for number in range(count)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
    assert [process.exitcode for process in started] == [0] * count


def test_the_adapter_is_the_port(tmp_path: Path) -> None:
    port: Files = adapter(tmp_path)
    assert port.root(USER).usage().size_bytes == 0


def test_what_is_written_is_read(files: UserFolder) -> None:
    files.write("a.txt", b"one")
    files.write("/a.txt", b"three")
    assert text(files, "./x/../a.txt") == b"three"


def test_a_user_does_not_see_the_files_of_another(tmp_path: Path) -> None:
    both = adapter(tmp_path)
    both.root(USER).write("a.txt", b"mine")
    with pytest.raises(ToolError, match=r"no file or folder '/a.txt'"):
        text(both.root(OTHER), "a.txt")


def test_a_replaced_file_keeps_its_permissions_and_a_reader_its_old_content(files: UserFolder, root: Path) -> None:
    files.write("run.sh", b"old")
    (root / "run.sh").chmod(0o4750)
    with files.open("run.sh") as reader:
        files.write("run.sh", b"new!")
        assert reader.read() == b"old"
    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o750


def test_a_new_file_needs_its_folder_and_the_error_names_it(files: UserFolder) -> None:
    with pytest.raises(ToolError, match="no file or folder '/no'"):
        files.write("no/a.txt", b"")


def test_a_file_over_the_limit_is_refused(files: UserFolder) -> None:
    files.write("a.txt", b"12345")
    assert files.read_bytes("a.txt", limit_bytes=5) == b"12345"
    with pytest.raises(ToolError, match="larger than 4 bytes"):
        files.read_bytes("a.txt", limit_bytes=4)


def test_folders_are_made_with_those_above_and_again_without_effect(files: UserFolder) -> None:
    files.make_directory("a/b/c")
    files.make_directory("a/b/c")
    files.make_directory("/")
    assert [entry.path for entry in files.walk("/")] == ["a", "a/b", "a/b/c"]
    assert files.usage().entries == 3


def test_a_move_takes_all_along_and_replaces_nothing(files: UserFolder) -> None:
    files.make_directory("a/b")
    files.write("a/b/c.txt", b"c")
    files.write("d.txt", b"d")
    files.move("a", "e")
    assert text(files, "e/b/c.txt") == b"c"
    with pytest.raises(ToolError, match=r"'/e/b/c.txt' exists already"):
        files.move("d.txt", "e/b/c.txt")
    with pytest.raises(ToolError, match="no file or folder '/no'"):
        files.move("no", "x")


def test_a_move_on_a_file_system_that_cannot_refuse_to_replace_still_does(
    files: UserFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_beneath, "_NUMBERS", {})
    files.write("a", b"a")
    files.write("b", b"b")
    with pytest.raises(ToolError, match="exists already"):
        files.move("a", "b")
    files.move("a", "c")
    assert (text(files, "b"), text(files, "c")) == (b"b", b"a")


def test_folders_cannot_be_moved_deeper_than_paths_can_say(files: UserFolder) -> None:
    half = "/".join(["d"] * 40)
    files.make_directory(f"one/{half}")
    files.make_directory(f"two/{half}")
    with pytest.raises(ToolError, match="deeper than 64"):
        files.move("one", f"two/{half}/one")


def test_pages_of_a_big_folder_hold_each_name_once_in_order(files: UserFolder, root: Path) -> None:
    wanted = sorted(f"n{number}" for number in range(250))
    for name in wanted:
        (root / name).touch()
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = files.entries("/", limit=100, cursor=cursor)
        found += [entry.name for entry in page.entries]
        cursor = page.next_cursor
    assert found == wanted


def test_a_walk_leaves_out_what_is_skipped_and_stops_at_its_limit(files: UserFolder) -> None:
    files.make_directory("a/b")
    files.make_directory("c/d")
    assert [entry.path for entry in files.walk("/", skip=lambda path: path == "a")] == ["c", "c/d"]
    with pytest.raises(ToolError, match="too many files"):
        list(files.walk("/", limit=3))


def test_names_that_cannot_be_asked_for_are_not_listed(files: UserFolder, root: Path) -> None:
    for name in (b"a\n[FILE] forged", b"\xff\xfe", b"b\\c", "x\u202ey".encode(), b"fine"):
        (root / os.fsdecode(name)).touch()
    assert [entry.name for entry in files.entries("/").entries] == ["fine"]


def test_facts_about_a_file_are_its_own(files: UserFolder) -> None:
    files.write("a.txt", b"12345")
    info = files.info("a.txt")
    assert (info.kind, info.size_bytes, info.permissions) == ("file", 5, 0o644)
    assert abs(info.created - datetime.now(UTC)) < timedelta(minutes=1)
    assert files.info("/").kind == "directory"


def test_the_quota_is_exact(files: UserFolder) -> None:
    files.write("a", b"x" * (QUOTA_BYTES - 1))
    files.write("b", b"x")
    with pytest.raises(ToolError, match="leaves 0; this takes 1 more"):
        files.write("c", b"x")
    files.write("a", b"")
    files.write("c", b"x")
    assert files.usage().size_bytes == 2


def test_the_number_of_files_is_bounded(files: UserFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_account, "MAX_ENTRIES", 3)
    files.make_directory("a/b/c")
    with pytest.raises(ToolError, match="no more than 3"):
        files.write("d", b"")
    with pytest.raises(ToolError, match="no more than 3"):
        files.make_directory("e")


def _fill(folder: Path, number: int) -> None:
    files = adapter(folder).root(USER)
    for step in range(40):
        try:
            files.write(f"{number}-{step}", b"x" * 100)
        except ToolError:
            return


def test_the_quota_is_exact_when_processes_write_at_once(tmp_path: Path) -> None:
    in_processes(_fill, tmp_path)
    files = adapter(tmp_path).root(USER)
    kept = sum(entry.size_bytes for entry in files.walk("/"))
    assert kept == QUOTA_BYTES == files.usage().size_bytes == files.recount().size_bytes


def _increment(folder: Path, _number: int) -> None:
    files = adapter(folder).root(USER)
    for _ in range(50):
        files.rewrite("count", lambda old: b"%d" % (int(old) + 1), limit_bytes=100)


def test_no_edit_is_lost_when_processes_edit_at_once(tmp_path: Path) -> None:
    files = adapter(tmp_path).root(USER)
    files.write("count", b"0")
    in_processes(_increment, tmp_path)
    assert text(files, "count") == b"200"


def test_an_edit_that_fails_changes_nothing(files: UserFolder) -> None:
    files.write("a", b"old")

    def fail(_old: bytes) -> bytes:
        raise ToolError("no")

    with pytest.raises(ToolError):
        files.rewrite("a", fail, limit_bytes=10)
    assert text(files, "a") == b"old"


def _die_at(step: str) -> Callable[[Path, int], None]:
    def work(folder: Path, _number: int) -> None:
        def die(*_arguments: object, **_named: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(os, step, die)
        adapter(folder).root(USER).write("a", b"new content")

    return work


@pytest.mark.parametrize("step", ["fsync", "fdatasync", "rename"])
def test_a_writer_killed_anywhere_leaves_the_old_file_and_a_right_count(step: str, tmp_path: Path) -> None:
    files = adapter(tmp_path).root(USER)
    files.write("a", b"old")
    process = multiprocessing.get_context("fork").Process(target=_die_at(step), args=(tmp_path, 0))
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert text(files, "a") == b"old"
    assert files.usage().size_bytes == 3
    files.write("b", b"12")
    assert files.usage().size_bytes == files.recount().size_bytes == 5
    assert os.listdir(tmp_path / "files/.accounts" / USER.hex) == ["usage"]


def test_a_writer_killed_after_the_rename_is_counted_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = adapter(tmp_path).root(USER)
    files.write("a", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(_account.Account, "publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            files.write("a", b"longer")
    files.write("b", b"12")
    assert files.usage().size_bytes == 5


@pytest.mark.parametrize("record", [b"", b"clean 1", b"clean x y\n", b"clean -5 -5\n", b"\xff" * 64])
def test_a_damaged_record_is_counted_anew(record: bytes, files: UserFolder, tmp_path: Path) -> None:
    files.write("a", b"123")
    (tmp_path / "files/.accounts" / USER.hex / "usage").write_bytes(record)
    assert (files.usage().size_bytes, files.usage().entries) == (3, 1)


def test_what_others_wrote_counts_after_a_recount_and_a_hard_link_once(files: UserFolder, root: Path) -> None:
    files.write("a", b"123")
    (root / ".git").mkdir()
    (root / ".git/pack").write_bytes(b"12345")
    os.link(root / ".git/pack", root / "again")
    assert files.recount().size_bytes == 8


def test_an_erased_user_has_nothing_left(tmp_path: Path) -> None:
    both = adapter(tmp_path)
    both.root(USER).write("a", b"x")
    both.root(OTHER).write("a", b"x")
    both.erase(USER)
    both.erase(USER)
    left = {str(path.relative_to(tmp_path / "files")) for path in (tmp_path / "files").rglob("*") if path.is_file()}
    assert left == {f"{OTHER.hex}/a", f".accounts/{OTHER.hex}/usage"}


def test_a_root_that_is_a_link_is_refused(tmp_path: Path) -> None:
    both = adapter(tmp_path)
    both.root(OTHER).write("a", b"theirs")
    mine = both.folders(USER)[0]
    mine.rmdir()
    mine.symlink_to(OTHER.hex)
    with pytest.raises(ToolError, match=r"where a folder is needed|links"):
        text(both.root(USER), "a")


@given(st.text(max_size=60))
def test_any_path_becomes_plain_names_or_an_error(path: str) -> None:
    refusal = ""
    try:
        names = _paths.names(path)
    except ToolError as exc:
        refusal = exc.message
    assert refusal.isprintable()
    if not refusal:
        assert not {"", ".", ".."} & set(names)
        assert not any("/" in name or "\0" in name for name in names)
        assert _paths.names(_paths.shown(names)) == names
