"""What can be seen of the locks without a package index; tests/images/test_locks_on_the_index.py asks the resolver."""

import re
from pathlib import Path

import pytest
from airflow_ml.lock import LOCK, SOURCE, WITHOUT, normal, pins, read_constraints, read_locks, versions
from packaging.requirements import Requirement
from packaging.version import Version

from tests.harness import ROOT

LOCKS = read_locks(ROOT)
STAGES = [name for name in LOCKS if name.startswith("stages/")]
MAKE = "do: make lock"


def requirements(path: Path) -> list[str]:
    """The lines of a requirements.in that ask for something, with those of the files that it includes."""
    found: list[str] = []
    for line in path.read_text().splitlines():
        text = line.partition("#")[0].strip()
        found += requirements(path.parent / text[3:]) if text.startswith("-r ") else [text] if text else []
    return found


def held(name: str) -> dict[str, str]:
    """The versions of a lock by package."""
    return {package: versions(lines) for package, lines in pins(LOCKS[name]).items()}


def not_met(requirement: str, locked: dict[str, str]) -> bool:
    """Whether a lock does not hold what a line of requirements.in asks for."""
    wanted = Requirement(requirement)
    found = locked.get(normal(wanted.name), "")
    return not any(wanted.specifier.contains(Version(text), prereleases=True) for text in found.split(", ") if text)


@pytest.mark.parametrize("name", LOCKS)
def test_lock_meets_each_line_of_its_requirements(name: str) -> None:
    lines = requirements(ROOT / name / SOURCE)
    assert lines
    assert [line for line in lines if not_met(line, held(name))] == [], MAKE


@pytest.mark.parametrize("name", LOCKS)
def test_lock_holds_nothing_that_its_requirements_leave_out(name: str) -> None:
    without = {normal(package) for package in WITHOUT.findall((ROOT / name / SOURCE).read_text())}
    assert without & set(held(name)) == set(), MAKE


@pytest.mark.parametrize("name", LOCKS)
def test_lock_is_pins_with_hashes_and_nothing_else(name: str) -> None:
    entry = r"[A-Za-z0-9._-]+==[^\s\\]+( ; [^\\\n]+?)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n"
    assert re.fullmatch(f"({entry})+", LOCKS[name]), f"{name}/{LOCK}: a line is no pin, or has no hash; {MAKE}"


@pytest.mark.parametrize("name", LOCKS)
def test_lock_has_the_versions_of_the_constraints(name: str) -> None:
    wanted = {package: versions(lines) for package, lines in read_constraints(ROOT).items()}
    assert {package: text for package, text in held(name).items() if text != wanted.get(package, text)} == {}, MAKE


def test_stages_have_one_version_of_what_they_share() -> None:
    found: dict[str, set[str]] = {}
    for name in STAGES:
        for package, version in held(name).items():
            found.setdefault(package, set()).add(version)
    assert {package: some for package, some in found.items() if len(some) > 1} == {}, f"{MAKE} PACKAGE=NAME"


def test_tests_run_the_airflow_that_ships() -> None:
    tested = held("tests")
    shipped = held("services/airflow")
    assert {package: version for package, version in shipped.items() if tested.get(package) != version} == {}, MAKE


@pytest.mark.parametrize(
    ("requirement", "locked", "expected"),
    [
        ("numpy", {"numpy": "2.5.5"}, False),
        ("numpy<2", {"numpy": "2.5.5"}, True),
        ("numpy>=2,<3", {"numpy": "1.26.4, 2.5.5"}, False),
        ("Zope_Interface[test]>=1", {"zope-interface": "8.0"}, False),
        ("numpy", {}, True),
    ],
)
def test_requirement_that_the_lock_does_not_meet_is_found(
    requirement: str, locked: dict[str, str], expected: bool
) -> None:
    assert not_met(requirement, locked) == expected
