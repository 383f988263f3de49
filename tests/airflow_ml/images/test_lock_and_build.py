"""The image lock: complete, kept across builds, replaced in one step; and what is said of a build before it is done."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow_ml.__main__ import COMMANDS, parser_of
from airflow_ml.common import ROOT, AirflowMlError, image_lock
from airflow_ml.images import tags
from airflow_ml.images.build import bake_definition
from airflow_ml.images.command import new_entries, select, stale_images
from airflow_ml.images.explain import explain
from airflow_ml.images.lock import entry_of, write_lock
from airflow_ml.images.publish import parse_address, pull_all
from airflow_ml.images.tags import Image, discover, tag_of

from tests.image_tree import make_tree

BUILT = {"built": "2026-11-21T10:00:00Z", "seconds": 1.5}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (make_tree(tmp_path) / "dags").mkdir()
    return tmp_path


def details(image: Image, number: int = 0) -> dict[str, Any]:
    """What an engine would know of an image."""
    return {"Id": f"sha256:{image.name}{number}", "Size": 1000, "Metadata": {"LastTagTime": "2026-11-20T09:08:07.1Z"}}


def build_all(tree: Path) -> dict[str, Any]:
    """A lock as after a first build of everything."""
    images = discover(tree)
    found = {image.reference: details(image) for image in images.values()}
    entries = new_entries(images, found, {}, dict.fromkeys(images, BUILT), "abc")
    write_lock(tree, entries)
    return entries


def test_entry_tells_what_was_built_when_from_what(tree: Path) -> None:
    build_all(tree)
    entries = image_lock(tree)
    assert list(entries) == sorted(["base", "one", "two", "three"])
    entry, image = entries["one"], discover(tree)["one"]
    assert entry == {
        **BUILT, "revision": "abc", "name": "airflow-ml-one", "tag": image.tag, "image": f"airflow-ml-one:{image.tag}",
        "size": 1000, "id": "sha256:one0", "digest": None, "pushed": None, "ingredients": image.ingredients,
    }  # fmt: skip
    assert tag_of(entry["ingredients"]) == entry["tag"]
    assert entry["ingredients"]["base"] == entries["base"]["tag"]


def test_nothing_built_changes_nothing_in_the_lock(tree: Path) -> None:
    entries = build_all(tree)
    entries["one"] |= {"digest": "sha256:d", "pushed": "host/airflow-ml-one@sha256:d"}
    images = discover(tree)
    found = {image.reference: details(image) for image in images.values()}
    assert new_entries(images, found, entries, {}, "def") == entries


def test_image_that_was_built_anew_is_no_longer_pushed(tree: Path) -> None:
    entries = build_all(tree)
    entries["one"] |= {"digest": "sha256:d", "pushed": "host/airflow-ml-one@sha256:d"}
    image = discover(tree)["one"]
    entry = entry_of(image, details(image, 1), entries["one"], None, "def")
    assert (entry["digest"], entry["pushed"], entry["seconds"], entry["revision"]) == (None, None, None, "def")
    assert entry["built"] == "2026-11-20T09:08:07Z"


def test_stage_that_changed_but_was_not_built_keeps_its_entry_while_its_image_is_there(tree: Path) -> None:
    """`--stage two` must not take stage one from the Dags."""
    entries = build_all(tree)
    before = discover(tree)
    (tree / "stages/one/one.py").write_text("changed\n")
    found = {image.reference: details(image) for image in before.values()}
    assert new_entries(discover(tree), found, entries, {}, "def") == entries
    assert stale_images(discover(tree), entries) == ["one"]
    del found[before["one"].reference]
    without = new_entries(discover(tree), found, entries, {}, "def")
    assert sorted(without) == ["base", "three", "two"]
    assert stale_images(discover(tree), without) == ["one"]


@pytest.mark.parametrize(
    ("built", "now", "expected"),
    [
        ("abc", "def", "abc"),
        ("abc", "def-dirty", "abc"),
        ("abc-dirty", "def-dirty", "abc-dirty"),
        ("abc-dirty", "def", "def"),
        (None, "def-dirty", "def-dirty"),
        ("abc", None, "abc"),
    ],
)
def test_revision_is_one_that_can_be_checked_out(
    tree: Path, built: str | None, now: str | None, expected: str | None
) -> None:
    image = discover(tree)["one"]
    first = entry_of(image, details(image), None, BUILT, built)
    assert entry_of(image, details(image), first, None, now)["revision"] == expected


def test_entry_that_does_not_say_what_it_was_built_from_is_not_kept(tree: Path) -> None:
    images = discover(tree)
    old = {"one": {"image": "airflow-ml-one:0123456789ab", "id": "sha256:old", "size": 1}}
    found = {"airflow-ml-one:0123456789ab": {"Id": "sha256:old"}}
    assert new_entries(images, found, old, {}, None) == {}
    found |= {image.reference: details(image) for image in images.values()}
    assert new_entries(images, found, old, {}, None)["one"]["image"] == images["one"].reference


def test_lock_is_replaced_at_once_and_only_when_it_changes(tree: Path) -> None:
    entries = build_all(tree)
    path = tree / "dags/images.lock.json"
    with path.open() as reader:
        before = path.stat().st_ino
        write_lock(tree, entries)
        assert path.stat().st_ino == before
        write_lock(tree, {})
        assert path.stat().st_ino != before
        assert json.load(reader)["images"] == entries
    assert [file.name for file in (tree / "dags").iterdir()] == ["images.lock.json"]


def test_lock_tells_the_revision_of_the_checkout_and_whether_files_differ_from_it(tree: Path) -> None:
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=x", "-c", "user.email=x@x"]
        return subprocess.run(
            ["git", "-C", str(tree), *who, *arguments], check=True, text=True, capture_output=True
        ).stdout.strip()

    def revision() -> Any:
        write_lock(tree, {})
        return json.loads((tree / "dags/images.lock.json").read_text())["revision"]

    assert revision() is None
    git("init", "--quiet")
    git("add", "stages")
    git("commit", "--quiet", "--message", "first")
    git("tag", "v1")
    assert revision() == git("rev-parse", "--short", "HEAD")
    (tree / "stages/one/one.py").write_text("changed\n")
    assert revision() == f"{git('rev-parse', '--short', 'HEAD')}-dirty"


# --- what is built, and why ---


def explained(tree: Path, *gone: str, stage: str | None = None, lock: dict[str, Any] | None = None) -> list[str]:
    """What --explain says, with an engine that has what the lock names, without the images `gone`."""
    entries = image_lock(tree) if lock is None else lock
    images = discover(tree)
    found = {entry["image"]: details(images[name]) for name, entry in entries.items() if name not in gone}
    found[f"airflow-ml-builder:{entries['base']['tag']}"] = {}
    wanted, missing = select(images, stage, found)
    return explain(images, wanted, missing, entries, why=True)


def test_explain_names_the_file_that_changed(tree: Path) -> None:
    old = build_all(tree)["one"]["image"]
    (tree / "stages/one/one.py").write_text("changed\n")
    (tree / "stages/one/requirements.txt").chmod(0o755)
    (tree / "stages/one/new.py").write_text("new\n")
    new = discover(tree)["one"].reference
    lines = explained(tree)
    start = lines.index(f"build {new}")
    assert [line.strip() for line in lines[start + 1 : start + 5]] == [
        f"instead of {old}:",
        "changed one.py",
        "mode    requirements.txt: not executable -> executable",
        "added   new.py",
    ]
    assert [line[:5] for line in lines if not line.startswith(" ")] == ["keep ", "keep ", "build", "keep "]


def test_explain_tells_a_rename_from_a_new_file(tree: Path) -> None:
    build_all(tree)
    (tree / "stages/two/two.py").rename(tree / "stages/two/deux.py")
    assert "        renamed two.py -> deux.py" in explained(tree)


def test_explain_says_that_the_base_changed(tree: Path) -> None:
    old = build_all(tree)["base"]["tag"]
    (tree / "base-image/tool").write_text("another\n")
    new = discover(tree)["base"].tag
    lines = explained(tree)
    assert lines.count(f"        base {old} -> {new}") == 3
    assert "        changed tool" in lines
    assert sum(line.startswith("build") for line in lines) == 5  # with the builder


def test_explain_names_the_build_argument_and_the_platform(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_all(tree)
    monkeypatch.setitem(tags.BUILD_ARGS, "SOURCE_DATE_EPOCH", "1")
    monkeypatch.setattr(tags, "own_platform", lambda: "linux/riscv64")
    lines = explained(tree)
    assert lines.count("        build argument SOURCE_DATE_EPOCH: 0 -> 1") == 4
    assert sum(line.endswith("-> linux/riscv64") for line in lines) == 4


def test_explain_says_that_an_image_is_gone_from_the_engine(tree: Path) -> None:
    image = build_all(tree)["two"]["image"]
    lines = explained(tree, "two")
    assert lines[lines.index(f"build {image}") + 1].strip().startswith("nothing changed, but the engine does not have")


def test_explain_of_one_stage_speaks_of_that_stage(tree: Path) -> None:
    build_all(tree)
    (tree / "stages/one/one.py").write_text("changed\n")
    assert [line.split()[1].split(":")[0] for line in explained(tree, stage="two") if line[0] != " "] == [
        "airflow-ml-base",
        "airflow-ml-two",
    ]


def test_builder_is_built_only_for_something(tree: Path) -> None:
    images = discover(tree)
    found = {image.reference: {} for image in images.values() if image.name != "builder"}
    assert select(images, None, found)[1] == []
    del found[images["one"].reference]
    assert select(images, None, found)[1] == ["builder", "one"]


def test_debug_image_is_built_only_when_it_is_asked_for(tree: Path) -> None:
    dockerfile = tree / "base-image/Dockerfile"
    dockerfile.write_text(f"{dockerfile.read_text()}FROM base AS debug\n")
    images = discover(tree)
    assert select(images, None, {}) == (["base", "three", "one", "two"], ["builder", "base", "three", "one", "two"])
    found = {image.reference: {} for image in images.values() if image.name != "debug"}
    assert select(images, None, found)[1] == []
    assert select(images, "debug", found)[1] == ["debug"]
    assert "debug" not in new_entries(
        images, {image.reference: details(image) for image in images.values()}, {}, {}, None
    )


# --- the build graph ---


def definition(tree: Path, missing: list[str], there: list[str], *platforms: str, address: str | None = None) -> Any:
    images = discover(tree, platforms or None)
    contexts = {image.folder: tree / "context" / image.name for image in images.values()}
    return bake_definition([images[n] for n in missing], [images[n] for n in there], contexts, platforms, address)


def test_stage_is_built_on_the_base_that_is_there(tree: Path) -> None:
    """Built again, its tag would name another image than the one that the others stand on."""
    images = discover(tree)
    targets = definition(tree, ["one"], ["builder", "base"])["target"]
    assert list(targets) == ["one"]
    assert targets["one"]["contexts"] == {
        "airflow-ml-builder": f"docker-image://{images['builder'].reference}",
        "airflow-ml-base": f"docker-image://{images['base'].reference}",
    }
    assert targets["one"]["context"] == str(tree / "context/one")
    assert targets["one"]["args"] == {"SOURCE_DATE_EPOCH": "0", "ML_IMAGE": images["one"].reference}
    assert targets["one"]["tags"] == [images["one"].reference, "airflow-ml-one:latest"]


def test_several_platforms_go_to_the_registry_from_one_graph(tree: Path) -> None:
    names = ["builder", "base", "one", "three"]
    graph = definition(tree, names, [], "linux/amd64", "linux/arm64", address="host:5000/team")
    targets = graph["target"]
    assert graph["group"]["default"]["targets"] == names
    assert all(target["platforms"] == ["linux/amd64", "linux/arm64"] for target in targets.values())
    assert targets["one"]["contexts"] == {"airflow-ml-builder": "target:builder", "airflow-ml-base": "target:base"}
    tag = discover(tree, ["linux/amd64", "linux/arm64"])["one"].reference
    assert targets["one"]["tags"] == [f"host:5000/team/{tag}"]
    assert [targets[name]["output"] for name in names] == [
        ["type=cacheonly"],
        *[["type=registry"]] * 3,
    ]


@pytest.mark.parametrize("name", ["https://host", "host:port", "Host/x", "host/", "", "host:5000/Team"])
def test_address_of_no_image_registry_is_refused(name: str) -> None:
    with pytest.raises(AirflowMlError, match=r"is no image registry\n +expected: HOST\[:PORT\]"):
        parse_address(name)


def test_images_that_were_never_pushed_cannot_be_pulled(tree: Path) -> None:
    with pytest.raises(
        AirflowMlError, match=r"names no image registry for base, three, one, two\n +do: .* --push ADDRESS"
    ):
        pull_all(build_all(tree))
    with pytest.raises(AirflowMlError, match=r"the image lock is missing\n +do: copy"):
        pull_all({})


@pytest.mark.parametrize("pair", [("--push=x", "--pull"), ("--prune", "--explain"), ("--dry-run", "--push=x")])
def test_one_run_does_one_thing(pair: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as error:
        parser_of(COMMANDS["build"]).parse(pair)
    assert error.value.code == 2


@pytest.mark.parametrize("document", ["docs/extend.md", "docs/operate.md"])
def test_documents_name_only_options_that_the_build_knows(document: str) -> None:
    known = set(re.findall(r"--[a-z-]+", parser_of(COMMANDS["build"]).format_help()))
    text = (ROOT / document).read_text()
    named = set(re.findall(r"build_images\.sh (--[a-z-]+)", text))
    if document == "docs/extend.md":
        named |= set(re.findall(r"^\| `(--[a-z-]+)", text, re.MULTILINE))
        assert named >= known - {"--help", "--dry-run"}
    assert named
    assert named <= known


def test_package_runs_where_nothing_is_installed() -> None:
    """Isolated from this machine's site-packages: the standard library is all it may need."""
    code = "import sys; sys.path.insert(0, '.'); import airflow_ml.images.command"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=ROOT, check=True)
