"""The locks against the package index that builds use: the resolver gives them again, and moves one package alone."""

import re
import shutil
from pathlib import Path

from airflow_ml.lock import lock, pins, read_locks

from tests.locks_checkout import copy_of_locks

LIBRARY, OLDER = "numpy", "2.5.4"
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def entries(text: str) -> dict[str, str]:
    return {block.partition("=")[0]: block for block in re.split(r"\n(?=[a-zA-Z])", text)}


def hashes(text: str) -> set[str]:
    return set(HASH.findall(text))


def test_resolver_gives_every_committed_lock_again(tmp_path: Path) -> None:
    """From the pins without their hashes: so that a hash that somebody edited is not believed.

    The index may have got more files of a version since; a lock does not change for that.
    """
    root = copy_of_locks(tmp_path)
    committed = read_locks(root)
    for name, text in committed.items():
        (root / name / "requirements.txt").write_text(re.sub(r" \\\n    --hash=\S+", "", text))
    lock(root)
    resolved = read_locks(root)
    for name, text in committed.items():
        assert pins(resolved[name]) == pins(text), f"{name}: do: make lock"
        found = entries(resolved[name])
        unknown = [package for package, entry in entries(text).items() if not hashes(entry) <= hashes(found[package])]
        assert unknown == [], f"{name}: hashes that the index does not have"


def test_upgrade_moves_one_package_in_every_lock_and_back(tmp_path: Path) -> None:
    root = copy_of_locks(tmp_path)
    for folder in ("services", "tests", "base-image"):
        shutil.rmtree(root / folder)

    def files() -> dict[str, str]:
        return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}

    start = files()
    newest = re.findall(rf"^{LIBRARY}==(\S+)", start["maintain/constraints.txt"], re.MULTILINE)[0]
    holders = ["stages/explanation", "stages/prediction", "stages/training", "stages/tuning"]
    assert lock(root, [f"{LIBRARY}=={OLDER}"]) == [f"{name}: {LIBRARY} {newest} -> {OLDER}" for name in holders]
    older = files()
    changed = {name for name in start if start[name] != older[name]}
    assert changed == {"maintain/constraints.txt", *(f"{name}/requirements.txt" for name in holders)}
    for name in holders:
        old, new = (entries(state[f"{name}/requirements.txt"]) for state in (start, older))
        assert [package for package in old if old[package] != new[package]] == [LIBRARY]
    assert lock(root, [f"{LIBRARY}=={newest}"]) == [f"{name}: {LIBRARY} {OLDER} -> {newest}" for name in holders]
    assert files() == start
