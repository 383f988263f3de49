"""Tags name content: what changes an image changes its tag, and nothing else does."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from airflow_ml.common import AirflowMlError
from airflow_ml.images import tags as image_tags
from airflow_ml.images.context import read_context, write_context
from airflow_ml.images.explain import differences
from airflow_ml.images.tags import discover, parse_platforms, tag_of
from hypothesis import given
from hypothesis import strategies as st

from tests.image_tree import make_tree

Tree = dict[str, tuple[bytes, bool]]
# In the image folder itself, these never reach the image.
NOISE = [
    "README.md", "requirements.in", ".hidden", ".cache/x.py", ".mypy_cache/3.13/x.json",
    "__pycache__/one.pyc", "old.pyc", "sub/__pycache__/x.py", "sub/.git",
]  # fmt: skip


def tags(root: Path) -> dict[str, str]:
    return {name: image.tag for name, image in discover(root).items()}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "one.py").write_text("print(2)\n"),
        lambda folder: (folder / "one.py").write_bytes(b"print('one', 1)\r\n"),
        lambda folder: (folder / "Dockerfile").write_text("FROM y\n"),
        lambda folder: (folder / "requirements.txt").write_text("a==2\n"),
        lambda folder: (folder / "one.py").rename(folder / "uno.py"),
        lambda folder: (folder / "one.py").chmod(0o755),
        lambda folder: (folder / "untracked.py").touch(),
        lambda folder: (folder / "größe.py").touch(),
        lambda folder: (folder / os.fsdecode(b"not-utf8-\xff")).touch(),
        lambda folder: (folder / "one.py").unlink(),
        lambda folder: ((folder / "sub").mkdir(), (folder / "sub/README.md").touch()),
    ],
)
def test_changed_stage_gets_a_new_tag_and_no_other_does(tmp_path: Path, change: Callable[[Path], object]) -> None:
    before = tags(make_tree(tmp_path))
    change(tmp_path / "stages/one")
    assert changed(before, tags(tmp_path)) == {"one"}


def test_changed_base_gives_every_image_a_new_tag(tmp_path: Path) -> None:
    before = tags(make_tree(tmp_path))
    (tmp_path / "base-image/tool").write_text("another\n")
    assert changed(before, tags(tmp_path)) == set(before)


def test_changed_build_argument_gives_every_image_a_new_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tags(make_tree(tmp_path))
    monkeypatch.setitem(image_tags.BUILD_ARGS, "SOURCE_DATE_EPOCH", "1")
    assert changed(before, tags(tmp_path)) == set(before)


def test_platform_is_part_of_every_tag(tmp_path: Path) -> None:
    root = make_tree(tmp_path)
    found = [
        {name: image.tag for name, image in discover(root, parse_platforms(text)).items()}
        for text in ("linux/amd64", "linux/arm64", "linux/amd64,linux/arm64", "linux/arm64, linux/amd64")
    ]
    assert found[2] == found[3]
    assert all(len({tags[name] for tags in found}) == 3 for name in found[0])


@pytest.mark.parametrize("name", ["Try-", "try", "try_", "-", "host/try-"])
def test_prefix_that_cannot_begin_a_name_is_refused(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    image = discover(make_tree(tmp_path))["one"]
    monkeypatch.setenv("ML_IMAGE_PREFIX", "try-it-")
    assert image.reference == f"try-it-one:{image.tag}"
    monkeypatch.setenv("ML_IMAGE_PREFIX", name)
    with pytest.raises(AirflowMlError, match=r"ML_IMAGE_PREFIX is .*\n +expected: lower-case words"):
        _ = image.reference


@pytest.mark.parametrize("text", ["", "arm64", "linux/", "linux/amd64,", "linux/amd64;linux/arm64", "LINUX/amd64"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(AirflowMlError, match=r"is no platform\n +expected: such as linux/amd64"):
        parse_platforms(text)


def add_noise(folder: Path, content: str = "x") -> None:
    for name in NOISE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    (folder / "empty").mkdir(exist_ok=True)
    (folder / ".link").symlink_to("nowhere")


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: os.utime(folder / "one.py", (0, 0)),
        lambda folder: (folder / "one.py").chmod(0o664),
        lambda folder: (folder / "one.py").chmod(0o611),
        lambda folder: folder.chmod(0o777),
        add_noise,
    ],
)
def test_what_does_not_reach_the_image_keeps_the_tag(tmp_path: Path, change: Callable[[Path], object]) -> None:
    before = tags(make_tree(tmp_path))
    change(tmp_path / "stages/one")
    assert tags(tmp_path) == before


def test_noise_is_not_in_the_build_context(tmp_path: Path) -> None:
    folder = make_tree(tmp_path) / "stages/one"
    add_noise(folder)
    write_context(read_context(folder), tmp_path / "context")
    assert {path.name for path in (tmp_path / "context").rglob("*")} == {"Dockerfile", "one.py", "requirements.txt"}


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.symlink_to("one.py"),
        lambda path: path.symlink_to("/etc"),
        lambda path: path.symlink_to("nowhere"),
        os.mkfifo,
    ],
)
def test_what_is_no_file_is_refused_by_name(tmp_path: Path, make: Callable[[Path], object]) -> None:
    odd = make_tree(tmp_path) / "stages/one/odd"
    make(odd)
    with pytest.raises(AirflowMlError) as error:
        discover(tmp_path)
    assert str(odd) in str(error.value)
    assert "expected: files and folders only\n       do: put a copy" in str(error.value)


def test_two_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    root = make_tree(tmp_path)
    shutil.copytree(root / "stages/one", root / "services/one")
    with pytest.raises(AirflowMlError, match="/one has the name of another image"):
        discover(root)


def test_debug_image_is_found_where_the_base_has_that_target(tmp_path: Path) -> None:
    dockerfile = make_tree(tmp_path) / "base-image/Dockerfile"
    assert "debug" not in discover(tmp_path)
    dockerfile.write_text(f"{dockerfile.read_text()}FROM base AS debug\n")
    images = discover(tmp_path)
    assert images["debug"].tag == images["base"].tag


# --- for any tree ---

NAMES = st.text("abc_-0 é", min_size=1, max_size=4).filter(lambda name: name.strip() == name)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
FILES = st.tuples(st.binary(max_size=8), st.booleans())


def without_clashes(files: Tree) -> Tree:
    """No path is a folder of another."""
    return {path: file for path, file in files.items() if not any(other.startswith(f"{path}/") for other in files)}


TREES = st.dictionaries(PATHS, FILES, min_size=1, max_size=6).map(without_clashes)


@contextmanager
def folder_of(files: Tree, umask: int = 0o022, mtime: int | None = None) -> Iterator[Path]:
    """The files in a folder of a checkout made just now, in the order given, with a umask."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "folder"
        before = os.umask(umask)
        try:
            for path, (content, executable) in files.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content)
                (folder / path).chmod((0o777 if executable else 0o666) & ~umask)
                if mtime is not None:
                    os.utime(folder / path, (mtime, mtime))
            yield folder
        finally:
            os.umask(before)


def tag_of_files(files: Tree) -> str:
    with folder_of(files) as folder:
        return tag_of(ingredients_of(folder))


def ingredients_of(folder: Path) -> dict[str, dict[str, str]]:
    return {"files": {file.path: file.fingerprint for file in read_context(folder)}}


@given(TREES, st.sampled_from([0o022, 0o002, 0o077, 0o027]), st.integers(0, 2**31), st.randoms())
def test_any_tree_has_one_tag_in_every_checkout(files: Tree, umask: int, mtime: int, random: object) -> None:
    shuffled = dict(sorted(files.items(), key=lambda _: random.random()))  # type: ignore[attr-defined]
    with folder_of(shuffled, umask, mtime) as folder:
        assert tag_of(ingredients_of(folder)) == tag_of_files(files)


@given(TREES, TREES)
def test_two_trees_have_one_tag_only_if_they_are_the_same(one: Tree, other: Tree) -> None:
    assert (tag_of_files(one) == tag_of_files(other)) == (one == other)


@given(TREES, st.data())
def test_any_single_change_changes_the_tag_and_is_explained(files: Tree, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(files)))
    content, executable = files[path]
    kind, now = data.draw(
        st.sampled_from(
            [
                ("changed", {**files, path: (content + b"!", executable)}),
                ("mode", {**files, path: (content, not executable)}),
                ("removed", {name: file for name, file in files.items() if name != path}),
                ("added", {**files, "new": (b"new\0new\0new", False)}),
                ("renamed", {**{n: f for n, f in files.items() if n != path}, "new": files[path]}),
            ]
        )
    )
    with folder_of(files) as before, folder_of(now or {"x": (b"", False)}) as after:
        old, new = ingredients_of(before), ingredients_of(after)
    said = differences(old, new)
    assert tag_of(old) != tag_of(new)
    assert said
    if now:
        assert any(line.startswith(kind) for line in said), said
        assert any((path if kind != "added" else "new") in line for line in said)


@given(TREES, TREES)
def test_nothing_is_explained_only_where_nothing_differs(one: Tree, other: Tree) -> None:
    with folder_of(one) as first, folder_of(other) as second:
        old, new = ingredients_of(first), ingredients_of(second)
    assert (differences(old, new) == []) == (old == new)


@given(TREES, st.sampled_from([0o022, 0o077, 0o000]))
def test_build_sees_exactly_what_the_tag_is_made_of(files: Tree, umask: int) -> None:
    """The written context, read by other means than the code's own, whatever lies beside the files."""
    with folder_of(files, umask) as folder:
        (folder / "README.md").write_text("words")
        (folder / ".secret").write_text("words")
        context = folder.parent / "context"
        write_context(read_context(folder), context)
        found = {
            path.relative_to(context).as_posix(): (path.read_bytes(), path.stat().st_mode & 0o7777)
            for path in context.rglob("*")
            if path.is_file()
        }
        folders = {path.stat().st_mode & 0o7777 for path in [context, *context.rglob("*")] if path.is_dir()}
        seconds = {int(path.stat().st_mtime) for path in [context, *context.rglob("*")]}
    assert found == {path: (content, 0o755 if x else 0o644) for path, (content, x) in files.items()}
    assert folders == {0o755}
    assert seconds == {0}


@given(st.binary(max_size=8), st.binary(max_size=8))
def test_files_of_one_size_have_another_time_if_they_differ(one: bytes, other: bytes) -> None:
    """BuildKit compares size and time, not bytes, with what it was sent before."""
    times = []
    for content in (one, other):
        with folder_of({"x": (content, False)}) as folder:
            write_context(read_context(folder), folder.parent / "context")
            times.append((folder.parent / "context/x").stat().st_mtime_ns)
    assert (times[0] == times[1]) == (one == other)
