"""What is published is read back whole, and nothing else ever is."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from stagekit import META, BadInput, NotReady, Publication, StageError, UsageError, partition_name, read_partition
from stagekit.lineage import Reader
from stagekit.locks import LOCK, claim

NAME, MODEL = "raw/2026-11-21", "models/2026-11-21"
# What Publication of earlier revisions wrote, by revision.
MARKS = Path(__file__).with_name("marks")


def publish(root: Path, text: str, *, step: str = "generate", file: str = "data.csv", **options: object) -> None:
    with Publication(root, NAME, step, **options) as publication:  # type: ignore[arg-type]
        publication.path(file).write_text(text)
        publication.rows[file] = text.count("\n")


def in_child(act: Callable[[], None]) -> int:
    """Run `act` in a forked process that ends without any clean-up; returns its exit code."""
    child = os.fork()
    if child == 0:
        act()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_publication_is_read_back_with_hashes_and_rows(tmp_path: Path) -> None:
    publish(tmp_path, "a\nb\n", parameters={"rows": 2}, seed=7)
    partition = read_partition(tmp_path, NAME, ["data.csv"])
    assert (partition / "data.csv").read_text() == "a\nb\n"
    assert partition.rows("data.csv") == 2
    assert list(partition.hashes) == [f"{NAME}/data.csv"]
    assert partition.hashes[f"{NAME}/data.csv"] == hashlib.sha256(b"a\nb\n").hexdigest()
    step = partition.meta["steps"]["generate"]
    assert step["parameters"] == {"rows": 2}
    assert step["seed"] == 7


def test_meta_names_image_and_dag_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "ML_IMAGE": "airflow-ml-x:1",
        "ML_IMAGE_ID": "sha256:12",
        "ML_REVISION": "abc123",
        "ML_RUN_ID": "manual__1",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    publish(tmp_path, "a\n")
    step = read_partition(tmp_path, NAME, []).meta["steps"]["generate"]
    assert step["image"] == {"name": "airflow-ml-x:1", "id": "sha256:12", "revision": "abc123"}
    assert step["run"]["run_id"] == "manual__1"


def test_meta_holds_nothing_that_nobody_gave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand an image knows its own name alone; an empty variable is no id."""
    for name in ("ML_IMAGE", "ML_IMAGE_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ML_REVISION", "")
    publish(tmp_path, "a\n")
    step = read_partition(tmp_path, NAME, []).meta["steps"]["generate"]
    assert step["image"] == {"name": None, "id": None, "revision": None}
    assert step["call"] == {"stage": None, "command": None, "arguments": None}
    assert set(step["run"].values()) == {None}


def test_failed_publication_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="oops"), Publication(tmp_path, NAME, "generate") as publication:
        publication.path("data.csv").write_text("half")
        raise ValueError("oops")
    assert not (tmp_path / NAME).exists()


def test_failed_publication_keeps_what_was_there(tmp_path: Path) -> None:
    publish(tmp_path, "old\n")
    before = sorted((p.name, p.read_bytes()) for p in (tmp_path / NAME).iterdir())
    with pytest.raises(ValueError, match="oops"), Publication(tmp_path, NAME, "generate") as publication:
        publication.path("data.csv").write_text("half")
        raise ValueError("oops")
    assert sorted((p.name, p.read_bytes()) for p in (tmp_path / NAME).iterdir()) == before


@pytest.mark.parametrize("there_before", [False, True])
def test_crash_at_every_step_leaves_old_or_new_or_a_refusal(
    tmp_path: Path, there_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ends the publishing process at each of its fsyncs and renames in turn, as a power cut would."""
    allowed = {"new\n"} | ({"old\n"} if there_before else set())
    real = {"fsync": os.fsync, "replace": Path.replace}
    for crash_at in range(1, 50):
        root = tmp_path / str(crash_at)
        if there_before:
            publish(root, "old\n")

        def crash(limit: int = crash_at, folder: Path = root) -> None:
            calls = 0

            def counted(function: Callable[..., object]) -> Callable[..., object]:
                def call(*arguments: object) -> object:
                    nonlocal calls
                    calls += 1
                    if calls == limit:
                        os._exit(9)
                    return function(*arguments)

                return call

            os.fsync = counted(real["fsync"])  # type: ignore[assignment]
            Path.replace = counted(real["replace"])  # type: ignore[assignment,method-assign]
            publish(folder, "new\n")

        code = in_child(crash)
        try:
            seen = (read_partition(root, NAME, ["data.csv"]) / "data.csv").read_text()
        except NotReady:
            seen = None
        assert seen in allowed | {None}
        if code == 0:
            assert seen == "new\n"
            break
        publish(root, "new\n")  # the retry succeeds and leaves no trace of the crash
        assert sorted(p.name for p in (root / NAME).iterdir()) == [META, "data.csv"]
    else:
        pytest.fail("publishing never ended without a crash")
    assert crash_at > 4


def test_leftovers_of_a_killed_writer_are_removed_but_not_those_of_a_living_one(tmp_path: Path) -> None:
    def be_killed() -> None:
        publication = Publication(tmp_path, NAME, "generate").__enter__()
        publication.path("data.csv").write_text("half")
        os._exit(9)

    assert in_child(be_killed) == 9
    (left,) = (tmp_path / NAME).glob(".*.tmp")
    with Publication(tmp_path, NAME, "generate") as living:
        living.path("data.csv").write_text("a\n")
        assert not left.exists()
        publish(tmp_path, "b\n", step="other", file="other.csv")
        assert living.path("data.csv").exists()
    assert read_partition(tmp_path, NAME, ["data.csv", "other.csv"]).files == ("data.csv", "other.csv")


def test_same_bytes_again_leave_the_file_untouched(tmp_path: Path) -> None:
    publish(tmp_path, "a\n")
    inode = (tmp_path / NAME / "data.csv").stat().st_ino
    publish(tmp_path, "a\n")
    assert (tmp_path / NAME / "data.csv").stat().st_ino == inode


def derive(root: Path) -> None:
    source = read_partition(root, NAME, ["data.csv"])
    publish(root, "derived\n", step="split", file="train.csv", inputs=[source])
    publish(root, "fitted\n", step="fit", file="model.txt", inputs=[read_partition(root, NAME, ["train.csv"])])


def test_steps_made_from_unchanged_bytes_stay_valid(tmp_path: Path) -> None:
    publish(tmp_path, "a\n")
    derive(tmp_path)
    publish(tmp_path, "a\n")
    assert read_partition(tmp_path, NAME, ["train.csv", "model.txt"])


def test_steps_made_from_replaced_bytes_are_no_longer_ready(tmp_path: Path) -> None:
    publish(tmp_path, "a\n")
    derive(tmp_path)
    publish(tmp_path, "b\n")
    for file in ("train.csv", "model.txt"):
        with pytest.raises(NotReady, match=file):
            read_partition(tmp_path, NAME, [file])


@pytest.mark.parametrize("attempt", range(6))
def test_steps_that_run_at_once_are_all_recorded(tmp_path: Path, attempt: int) -> None:
    """Also while other writers give up and remove what they made."""

    def give_up() -> None:
        with contextlib.suppress(ZeroDivisionError), Publication(tmp_path, NAME, "failing"):
            raise ZeroDivisionError

    steps = [f"step{number}" for number in range(8)]
    with ThreadPoolExecutor(16) as pool:
        futures = [pool.submit(give_up) for _ in steps]
        futures += [pool.submit(publish, tmp_path, f"{step}\n", step=step, file=f"{step}.csv") for step in steps]
        for future in futures:
            future.result()
    partition = read_partition(tmp_path, NAME, [f"{step}.csv" for step in steps])
    assert set(partition.meta["steps"]) == set(steps)


def edit_meta(folder: Path, **changes: object) -> None:
    meta = json.loads((folder / META).read_text())
    (folder / META).write_text(json.dumps({**meta, **changes}))


def step(**facts: object) -> dict[str, object]:
    return {"generate": {"inputs": {}, **facts}}


OUTPUT = {"sha256": "0" * 64, "size": 2, "step": "generate"}


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda d: (d / META).unlink(), NotReady, "holds data.csv but no _meta.json"),
        (lambda d: (d / META).write_text("{"), BadInput, "is damaged"),
        (lambda d: (d / META).write_text("[]"), BadInput, "is damaged"),
        (lambda d: (d / META).write_bytes(b"\xff\xfe"), BadInput, "is damaged"),
        (lambda d: edit_meta(d, version=99), BadInput, "version 99"),
        (lambda d: edit_meta(d, version="1"), BadInput, "version is a text"),
        (lambda d: edit_meta(d, outputs=[]), BadInput, "is damaged"),
        (lambda d: edit_meta(d, outputs={"data.csv": {"size": 2, "step": "a"}}), BadInput, r"data\.csv has no sha256"),
        (lambda d: edit_meta(d, outputs={"data.csv": "x"}), BadInput, r"outputs\.data\.csv is a text"),
        (
            lambda d: edit_meta(d, outputs={"../../a": OUTPUT}),
            BadInput,
            r"outputs names .\.\./\.\./a",
        ),
        (lambda d: edit_meta(d, outputs={"/etc/passwd": OUTPUT}), BadInput, "outputs names '/etc/passwd'"),
        (lambda d: edit_meta(d, outputs={"..": OUTPUT}), BadInput, r"outputs names '\.\.'"),
        (lambda d: edit_meta(d, outputs={"": OUTPUT}), BadInput, "outputs names ''"),
        (lambda d: edit_meta(d, outputs={"a\0": OUTPUT}), BadInput, "outputs names 'a"),
        (lambda d: edit_meta(d, outputs={"\ud800": OUTPUT}), BadInput, "outputs names"),
        (lambda d: edit_meta(d, outputs={"x" * 256: OUTPUT}), BadInput, "outputs names 'xxx"),
        (lambda d: edit_meta(d, steps=[]), BadInput, "steps is a list"),
        (lambda d: edit_meta(d, steps={"generate": []}), BadInput, r"steps\.generate is a list"),
        (lambda d: edit_meta(d, steps={"generate": {}}), BadInput, r"steps\.generate has no inputs"),
        (
            lambda d: edit_meta(d, steps=step(started="x")),
            BadInput,
            "started is 'x'",
        ),
        (lambda d: edit_meta(d, steps=step(started="2026-99-21T04:00:00Z")), BadInput, "started is '2026-99"),
        (lambda d: edit_meta(d, steps=step(image="a:1")), BadInput, r"steps\.generate\.image is a text"),
        (lambda d: edit_meta(d, steps=step(inputs={"raw/a": None})), BadInput, r"inputs\.raw/a is null"),
        (lambda d: (d / META).write_text("[" * 200_000), BadInput, "nested too deeply"),
        (lambda d: (d / META).write_text('{"version": 1, "version": 1}'), BadInput, "'version' twice"),
        (lambda d: edit_meta(d, partition="raw/2026-11-20"), BadInput, "mark of another partition, raw/2026-11-20"),
        (lambda d: (d / "data.csv").write_text("A\n"), BadInput, "has sha256"),
        (lambda d: (d / "data.csv").write_text("longer\n"), BadInput, "has 7 bytes; expected: 2 bytes"),
        (lambda d: (d / "data.csv").unlink(), BadInput, "is gone"),
        (lambda d: edit_meta(d, outputs={}), NotReady, "has no data.csv yet"),
    ],
)
def test_damaged_partition_is_refused_by_name(
    tmp_path: Path, damage: Callable[[Path], None], error: type[StageError], message: str
) -> None:
    publish(tmp_path, "a\n")
    damage(tmp_path / NAME)
    with pytest.raises(error, match=message) as caught:
        read_partition(tmp_path, NAME, ["data.csv"])
    assert NAME in str(caught.value)
    assert caught.value.expected
    assert caught.value.do


def test_partition_knows_the_step_that_wrote_a_file_and_what_it_read(tmp_path: Path) -> None:
    publish(tmp_path, "a\n")
    derive(tmp_path)
    partition = read_partition(tmp_path, NAME, ["data.csv", "train.csv"])
    assert partition.step("train.csv") == partition.meta["steps"]["split"]
    assert partition.inputs("train.csv") == {f"{NAME}/data.csv": partition.hashes[f"{NAME}/data.csv"]}
    assert partition.inputs("data.csv") == {}
    assert partition.step("unknown.csv") == {}
    edit_meta(tmp_path / NAME, steps={})
    assert read_partition(tmp_path, NAME, []).step("train.csv") == {}


@pytest.mark.parametrize("revision", sorted(path.name for path in MARKS.iterdir()))
def test_partitions_that_an_earlier_revision_wrote_are_read_and_followed(tmp_path: Path, revision: str) -> None:
    """The oldest, the first that recorded a call, and the first that recorded a result."""
    shutil.copytree(MARKS / revision, tmp_path, dirs_exist_ok=True)
    raw, model = read_partition(tmp_path, NAME, ["data.csv"]), read_partition(tmp_path, MODEL, ["model.txt"])
    assert raw.rows("data.csv") == 2
    assert model.inputs("model.txt") == raw.hashes
    assert model.step("model.txt")["parameters"] == {"rounds": 20}
    lineage = Reader(tmp_path, verify=True).follow([f"{MODEL}/model.txt"])
    assert [step.id for step in lineage.in_order()] == [f"{NAME}#generate", f"{MODEL}#train"]
    assert lineage.problems == []
    publish(tmp_path, "a\n", file="more.csv", step="more")
    assert read_partition(tmp_path, NAME, ["data.csv", "more.csv"]).hashes.items() > raw.hashes.items()


def test_mark_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    """It had no call, and neither image id nor revision."""
    publish(tmp_path, "a\n")
    edit_meta(tmp_path / NAME, steps=step(parameters={}, image={"name": None}))
    assert read_partition(tmp_path, NAME, ["data.csv"]).step("data.csv")["image"] == {"name": None}


def test_mark_may_hold_any_parameter_and_any_argument(tmp_path: Path) -> None:
    parameters = {"most": float("inf"), "text": "\udcff"}
    publish(tmp_path, "a\n", parameters=parameters)
    assert read_partition(tmp_path, NAME, []).step("data.csv")["parameters"] == parameters


def test_missing_partition_is_not_ready(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match=r"raw/2026-11-21 is not ready .* there is no such partition"):
        read_partition(tmp_path, NAME, ["data.csv"])


def test_damaged_mark_is_replaced(tmp_path: Path) -> None:
    publish(tmp_path, "a\n")
    (tmp_path / NAME / META).write_text("{")
    publish(tmp_path, "a\n")
    assert read_partition(tmp_path, NAME, ["data.csv"]).rows("data.csv") == 1


@pytest.mark.parametrize("text", ["/data/models/2026-11-21", "models/2026-11-21", "models/2026-11-21/"])
def test_partition_name_takes_absolute_and_relative_paths(text: str) -> None:
    assert partition_name(Path("/data"), text) == "models/2026-11-21"


@pytest.mark.parametrize("text", ["/etc", "../etc", "models/../../etc", "", "."])
def test_partition_name_refuses_what_is_not_below_the_data_folder(text: str) -> None:
    with pytest.raises(UsageError):
        partition_name(Path("/data"), text)


def test_reader_that_meets_a_publication_reads_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer replaces two files over and over, a reader verifies both: it never sees a mix, nor fails."""
    # So that many publications meet many looks.
    monkeypatch.setattr(os, "fsync", lambda _: None)
    texts = ["a\n", "longer\n"]

    def write(text: str) -> None:
        with Publication(tmp_path, NAME, "generate") as publication:
            for file in ("data.csv", "target.csv"):
                publication.path(file).write_text(text)

    def write_all() -> None:
        for turn in range(100):
            write(texts[turn % 2])

    write(texts[1])
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write_all)
        looks = 0
        while not writing.done():
            partition = read_partition(tmp_path, NAME, ["data.csv", "target.csv"])
            assert len(set(partition.hashes.values())) == 1
            looks += 1
        writing.result()
    assert looks


@pytest.mark.parametrize("lock_of_an_earlier_release", [False, True])
def test_living_writer_keeps_its_workspace_and_a_dead_one_loses_it(
    tmp_path: Path, lock_of_an_earlier_release: bool
) -> None:
    """An image of an earlier release claims its folder by a lock of the folder itself."""
    left = tmp_path / NAME / ".fit-x.tmp"
    left.mkdir(parents=True)
    descriptor = os.open(left, os.O_RDONLY) if lock_of_an_earlier_release else claim(left)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    publish(tmp_path, "a\n")
    assert left.is_dir()
    os.close(descriptor)
    publish(tmp_path, "b\n")
    assert not left.exists()


def test_lock_of_a_kind_can_be_taken_by_every_user_who_may_write_there(tmp_path: Path) -> None:
    publish(tmp_path, "a\n")
    assert (tmp_path / "raw" / LOCK).stat().st_mode & 0o777 == 0o666


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE])
def test_file_that_is_replaced_between_its_name_and_its_content_is_read_again(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a shared file system, which finds the old file's name and then no content."""
    publish(tmp_path, "a\n")
    real, failures = Path.read_bytes, [number]

    def read_bytes(path: Path) -> bytes:
        if failures:
            raise OSError(failures.pop(), os.strerror(number))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert read_partition(tmp_path, NAME, ["data.csv"]).files == ("data.csv",)
    assert not failures
