"""`make lock PACKAGE=...` on the package index that builds use: there and back, and nothing but that package moves."""

import re
import shutil
from pathlib import Path

from tests.locks_checkout import copy_of_locks, locks

LIBRARY, OLDER = "numpy", "2.5.4"


def entries(text: str) -> dict[str, str]:
    return {block.partition("=")[0]: block for block in re.split(r"\n(?=[a-z])", text)}


def test_upgrade_moves_one_package_in_every_lock_and_back(tmp_path: Path) -> None:
    root = copy_of_locks(tmp_path)
    for folder in ("services", "tests", "base-image"):
        shutil.rmtree(root / folder)

    def files() -> dict[str, str]:
        return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}

    def compile_package(what: str) -> list[str]:
        done = locks("--root", str(root), "compile", what)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    start = files()
    newest = re.findall(rf"^{LIBRARY}==(\S+)", start["scripts/constraints.txt"], re.MULTILINE)[0]
    holders = ["stages/prediction", "stages/training"]
    assert compile_package(f"{LIBRARY}=={OLDER}") == [f"{name}: {LIBRARY} {newest} -> {OLDER}" for name in holders]
    older = files()
    changed = {name for name in start if start[name] != older[name]}
    bills = {f"{name}/sbom.cdx.json" for name in holders}
    assert changed == bills | {"scripts/constraints.txt"} | {f"{name}/requirements.txt" for name in holders}
    for name in holders:
        old, new = (entries(state[f"{name}/requirements.txt"]) for state in (start, older))
        assert [package for package in old if old[package] != new[package]] == [LIBRARY]
    assert locks("--root", str(root), "check").returncode == 0
    assert compile_package(f"{LIBRARY}=={newest}") == [f"{name}: {LIBRARY} {OLDER} -> {newest}" for name in holders]
    assert files() == start
