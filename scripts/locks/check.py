"""Says what in the locks is not as `make lock` made it; reads files only, asks no network.

Each lock is compared with its requirements.in, with the shared constraints, with the bill of materials beside it,
which records what the lock was made of and held, and with the other locks.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from locks.bom import Json, owned, serial_number, text_of
from locks.files import CONSTRAINTS, Lock, find_locks, read_constraints, requirement_name
from locks.recorded import read_recorded

MAKE = "do: make lock"
UNDO = "do: make lock; or put the old one back: git checkout"


def check(root: Path) -> int:
    """Print every difference; returns the exit code."""
    found = list(problems(root))
    for problem in found:
        print(f"error: {problem}", file=sys.stderr)
    if not found:
        print(f"{len(find_locks(root))} locks are as they were made")
    return 1 if found else 0


def problems(root: Path) -> Iterator[str]:
    """What is found, expected, and to be done about it, a line each."""
    constraints, whole = read_constraints(root), []
    for lock in find_locks(root):
        missing = [path.name for path in (lock.source, lock.path, lock.bom) if not path.exists()]
        if missing:
            yield f"{lock.name}: found no {', '.join(missing)}; expected: it beside the others; {MAKE}"
        else:
            whole.append(lock)
            yield from check_lock(lock, constraints)
    yield from check_versions(whole, constraints)


def check_lock(lock: Lock, constraints: dict[str, str]) -> Iterator[str]:
    """One lock against what it was made of."""
    bom = read_recorded(lock)
    path = f"{lock.name}/{lock.bom.name}"
    if not bom:
        yield f"{path}: found no bill of materials in it; expected: CycloneDX in JSON; {MAKE}"
        return
    if serial_number(bom) != bom.get("serialNumber") or text_of(bom) != lock.bom.read_text(encoding="utf-8"):
        yield f"{path}: found other content than its serial number names; expected: as it was made; {UNDO} {path}"
    before = len(found := [*_inputs(lock, bom, constraints), *_form(lock), *_entries(lock, bom), *_graph(lock, bom)])
    yield from found
    text = "".join(entry.text for entry in lock.entries())
    if not before and lock.path.read_text(encoding="utf-8") != text:
        yield f"{lock.name}/{lock.path.name}: found more than entries; expected: as it was made; {MAKE}"


def _inputs(lock: Lock, bom: Json, constraints: dict[str, str]) -> Iterator[str]:
    """What the lock was made of, against what is there now."""
    names = {entry.name for entry in lock.entries()}
    now = {
        "requirement": lock.requirements(),
        "without": lock.without(),
        "constraint": sorted(f"{name}=={version}" for name, version in constraints.items() if name in names),
        "python": [lock.python],
    }
    source = f"{lock.name}/{lock.source.name}"
    where = {
        "requirement": f"{source} with",
        "without": f"{source} without",
        "constraint": f"{CONSTRAINTS} with",
        "python": "scripts/locks with",
    }
    for kind, lines in now.items():
        recorded = sorted(owned(bom["metadata"], kind))
        if recorded != lines:
            yield (
                f"{lock.name}/{lock.path.name}: found {where[kind]} {_list(lines)}; expected: "
                f"{_list(recorded)}, of which the lock was made; {MAKE}"
            )


def _form(lock: Lock) -> Iterator[str]:
    """What no lock may have."""
    path = f"{lock.name}/{lock.path.name}"
    for entry in lock.entries():
        if not entry.hashes:
            yield f"{path}: found {entry.pin} without a hash; expected: --hash=sha256:...; {MAKE}"
    if "://" in lock.path.read_text(encoding="utf-8"):
        yield f"{path}: found an address; expected: none, so that any package index will do; {MAKE}"


def _entries(lock: Lock, bom: Json) -> Iterator[str]:
    """Version by version, and hash by hash, what the lock held when it was made."""
    path = f"{lock.name}/{lock.path.name}"
    fingerprints = {component["bom-ref"]: owned(component, "entry") for component in bom["components"]}
    recorded = _versions((component["name"], component["version"]) for component in bom["components"])
    held = _versions((entry.name, entry.version) for entry in lock.entries())
    for name in sorted({*recorded, *held}):
        if name not in held:
            yield f"{path}: found no {name}; expected: {name}=={recorded[name]}, {_why(bom, name)}; {UNDO} {path}"
        elif name not in recorded:
            yield f"{path}: found {name}=={held[name]}, which no requirement needs; expected: no {name}; {UNDO} {path}"
        elif held[name] != recorded[name]:
            yield f"{path}: found {name}=={held[name]}; expected: {name}=={recorded[name]}, as made; {UNDO} {path}"
    for entry in lock.entries():
        if entry.hashes and fingerprints.get(entry.purl, [entry.fingerprint]) != [entry.fingerprint]:
            yield f"{path}: found other hashes or markers of {entry.pin}; expected: as made; {UNDO} {path}"


def _graph(lock: Lock, bom: Json) -> Iterator[str]:
    """Whether what requirements.in asks for now leads to each entry, and only to entries."""
    path, entries = f"{lock.name}/{lock.path.name}", lock.entries()
    needs = {item["ref"]: item["dependsOn"] for item in bom["dependencies"]}
    names = {component["bom-ref"]: str(component["name"]) for component in bom["components"]}
    held, recorded = {entry.name for entry in entries}, set(names.values())
    asked = {requirement_name(line) for line in lock.requirements()}
    yield from (
        f"{path}: found no {name}; expected: it, for requirements.in asks for it; {MAKE}"
        for name in sorted(asked - held - recorded)
    )
    reached, todo = set[str](), [ref for ref, name in names.items() if name in asked]
    while todo:
        ref = todo.pop()
        if ref not in reached:
            reached.add(ref)
            todo += needs.get(ref, [])
    not_needed = (held & recorded) - {names.get(ref, ref) for ref in reached}
    yield from (
        f"{path}: found {name}, which no requirement needs; expected: no {name}; {MAKE}" for name in sorted(not_needed)
    )


def _why(bom: Json, name: str) -> str:
    """Who needs a package, as it was recorded."""
    prefix = f"pkg:pypi/{name}@"
    by = [item["ref"] for item in bom["dependencies"] if any(ref.startswith(prefix) for ref in item["dependsOn"])]
    return f"which {_list(sorted(ref.removeprefix('pkg:pypi/').partition('@')[0] for ref in by))} needs"


def check_versions(locks: Iterable[Lock], constraints: dict[str, str]) -> Iterator[str]:
    """One version in all stages of what they share, the constraints' version everywhere, Airflow's in the tests."""
    pins = {lock.name: _versions((entry.name, entry.version) for entry in lock.entries()) for lock in locks}
    for lock, versions in pins.items():
        for name in sorted(set(versions) & set(constraints)):
            if versions[name] != constraints[name]:
                yield (
                    f"{lock}/requirements.txt: found {name}=={versions[name]}; expected: {name}=={constraints[name]}, "
                    f"as {CONSTRAINTS} says; {MAKE}"
                )
    stages = {lock: versions for lock, versions in pins.items() if lock.startswith("stages/")}
    for name in sorted({name for versions in stages.values() for name in versions}):
        found = {lock: versions[name] for lock, versions in stages.items() if name in versions}
        if len(set(found.values())) > 1:
            told = ", ".join(f"{version} in {lock}" for lock, version in sorted(found.items()))
            yield f"{name}: found {told}; expected: one version in all stages; do: make lock PACKAGE={name}"
    tested = pins.get("tests", {})
    for name, version in pins.get("services/airflow", {}).items() if tested else []:
        if tested.get(name) != version:
            yield (
                f"{name}: found {tested.get(name, 'none')} in tests, {version} in services/airflow; expected: the "
                f"tests run the Airflow that ships; do: make lock PACKAGE={name}"
            )


def _versions(pins: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Versions by name; of a package with several, all of them."""
    found: dict[str, list[str]] = {}
    for name, version in pins:
        found.setdefault(name, []).append(version)
    return {name: " and ".join(sorted(versions)) for name, versions in found.items()}


def _list(lines: Iterable[str]) -> str:
    return ", ".join(lines) or "nothing"
