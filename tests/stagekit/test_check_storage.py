"""The check of a data folder: a sound one passes, one that loses changes is refused by name."""

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from stagekit import check_storage


def check(root: Path | str, *arguments: str, wait: str = "300") -> int:
    return check_storage.main(["--data-dir", str(root), "--changes", "20", "--wait", wait, *arguments])


@pytest.fixture(autouse=True)
def _as_in_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stagekit.cli.end_on_signals", lambda: None)  # a process has one call; here it has several
    monkeypatch.setenv("PYTHONPATH", str(Path(check_storage.__file__).parents[1]))


def assert_clean(root: Path) -> None:
    """No check is left; a file that was locked stays."""
    assert not [path for path in (root / check_storage.FOLDER).iterdir() if path.is_dir()]


def test_sound_folder_passes_and_is_left_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["hosts"], line["changes"]) == (1, 40)
    assert line["file_system"] != "unknown"
    assert_clean(tmp_path)


def meet(root: Path, capsys: pytest.CaptureFixture[str]) -> tuple[list[int], str]:
    """Both sides of a check in threads; returns their exit codes, and what both logged."""
    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(lambda _: check(root, "--meet", "monday"), range(2)))
    return codes, capsys.readouterr().err


def test_two_sides_of_a_sound_folder_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes, log = meet(tmp_path, capsys)
    assert codes == [0, 0], log
    assert_clean(tmp_path)
    assert "waiting for another host, which runs the same command" in log


def test_lock_that_both_sides_get_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a file system grants locks on each host alone."""
    monkeypatch.setattr(check_storage, "locked", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(check_storage, "HOLD_S", 0.02)  # neither side is done before the other begins
    codes, log = meet(tmp_path, capsys)
    assert codes == [3, 3]
    assert "changes were lost, because two processes held one lock" in log
    assert "do: use a file system whose locks" in log


@pytest.mark.parametrize(
    ("folder", "arguments", "code", "message"),
    [
        (".", ["--meet", "monday"], 1, "run the same command on the other host"),
        ("/no/such/folder", [], 2, "there is no folder /no/such/folder"),
    ],
)
def test_check_that_cannot_be_made_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str, arguments: list[str], code: int, message: str
) -> None:
    assert check(tmp_path / folder, *arguments, wait="1") == code
    assert message in capsys.readouterr().err


def test_process_that_the_check_starts_itself_is_not_looked_for_on_another_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/true")
    assert check(tmp_path, wait="1") == 1
    message = capsys.readouterr().err
    assert "nobody joined" in message
    assert "other host" not in message
    assert_clean(tmp_path)


def test_word_is_no_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        check(tmp_path, "--meet", "../monday")
    assert "'../monday' is not a word of letters, digits and dashes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("left", "message"),
    [
        (["count"], "the host that was here first does not answer"),
        (["count", "joined", "begun"], "two processes have met at monday already"),
    ],
)
def test_what_a_check_that_was_killed_has_left_is_no_other_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], left: list[str], message: str
) -> None:
    meeting = tmp_path / check_storage.FOLDER / "monday"
    meeting.mkdir(parents=True)
    for name in left:
        (meeting / name).write_text("0")
    assert check(tmp_path, "--meet", "monday", wait="1") == 1
    assert message in capsys.readouterr().err


def test_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        f"2 1 0:9 / {tmp_path} rw - fuse.juicefs JuiceFS:lab rw\n"
        f"3 1 0:9 / {tmp_path}/a\\040b rw - nfs4 server:/x rw\n"
    )
    assert check_storage.file_system(tmp_path, mounts) == "fuse.juicefs"
    assert check_storage.file_system(tmp_path / "a b" / "c", mounts) == "nfs4"
    assert check_storage.file_system(Path("/"), mounts) == "ext4"
