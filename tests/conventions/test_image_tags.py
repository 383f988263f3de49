"""Tags name content: what changes an image changes its tag, and nothing else does."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from images import bake_definition, discover


def make_tree(root: Path) -> Path:
    for folder in ("base-image", "stages/one", "stages/two", "services/three"):
        (root / folder).mkdir(parents=True)
        (root / folder / "Dockerfile").write_text("FROM x\n")
        (root / folder / "requirements.txt").write_text("a==1\n")
    (root / "stages/one/one.py").write_text("print(1)\n")
    return root


def tags(root: Path) -> dict[str, str]:
    return {name: image.tag for name, image in discover(root).items()}


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "stages/one/one.py").write_text("print(2)\n"),
        lambda root: (root / "stages/one/Dockerfile").write_text("FROM y\n"),
        lambda root: (root / "stages/one/requirements.txt").write_text("a==2\n"),
        lambda root: (root / "stages/one/one.py").rename(root / "stages/one/uno.py"),
        lambda root: (root / "stages/one/one.py").chmod(0o755),
        lambda root: (root / "stages/one/untracked.py").touch(),
        lambda root: (root / "stages/one/one.py").unlink(),
    ],
)
def test_changed_stage_gets_a_new_tag_and_no_other_does(tmp_path: Path, change: Callable[[Path], object]) -> None:
    before = tags(make_tree(tmp_path))
    change(tmp_path)
    after = tags(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"one"}


def test_changed_base_gives_every_image_a_new_tag(tmp_path: Path) -> None:
    before = tags(make_tree(tmp_path))
    (tmp_path / "base-image/Dockerfile").write_text("FROM z\n")
    after = tags(tmp_path)
    assert all(before[name] != after[name] for name in before)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: os.utime(root / "stages/one/one.py", (0, 0)),
        lambda root: (root / "stages/one/README.md").write_text("words"),
        lambda root: (root / "stages/one/one.py").chmod(0o664),
        lambda root: ((root / "stages/one/__pycache__").mkdir(), (root / "stages/one/__pycache__/one.pyc").touch()),
    ],
)
def test_what_does_not_reach_the_image_keeps_the_tag(tmp_path: Path, change: Callable[[Path], object]) -> None:
    before = tags(make_tree(tmp_path))
    change(tmp_path)
    assert tags(tmp_path) == before


def test_another_checkout_has_the_same_tags(tmp_path: Path) -> None:
    assert tags(make_tree(tmp_path / "a")) == tags(make_tree(tmp_path / "b"))


def test_moved_bytes_between_two_files_are_noticed(tmp_path: Path) -> None:
    root = make_tree(tmp_path)
    (root / "stages/one/a.py").write_text("xy")
    (root / "stages/one/b.py").write_text("z")
    before = tags(root)
    (root / "stages/one/a.py").write_text("x")
    (root / "stages/one/b.py").write_text("yz")
    assert tags(root)["one"] != before["one"]


def test_build_graph_has_an_edge_from_the_base_to_every_image(tmp_path: Path) -> None:
    images = discover(make_tree(tmp_path))
    targets = bake_definition(list(images.values()), [])["target"]
    for name in ("one", "two", "three"):
        assert targets[name]["contexts"]["airflow-ml-base"] == "target:base"
        assert targets[name]["contexts"]["airflow-ml-builder"] == "target:builder"
        assert targets[name]["tags"][0] == images[name].reference


def test_base_that_is_there_is_never_built_again(tmp_path: Path) -> None:
    """Its tag would then name another image than the one that the others stand on."""
    images = discover(make_tree(tmp_path))
    targets = bake_definition([images["one"]], [images["builder"], images["base"]])["target"]
    assert list(targets) == ["one"]
    assert targets["one"]["contexts"]["airflow-ml-base"] == f"docker-image://{images['base'].reference}"
