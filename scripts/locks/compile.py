"""Compiles every requirements.in: a lock with every hash for all platforms, and its bill of materials beside it.

What nothing asks to change stays as it is, to the byte: uv prefers the versions that are locked, and an entry whose
version stays keeps its text, even if the index has got more files of that version since.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomllib
from airflow_ml.common import AirflowMlError as Failure
from locks.bom import Json, document, licences, own, owned, sha256, text_of
from locks.files import CONSTRAINTS, Entry, Lock, find_locks, normal, parse_lock, read_constraints
from locks.recorded import read_recorded
from locks.wheels import File, files_of, holds, installable, metadata_of
from packaging.version import Version

DIRECT = "requirements.in"
# uv mostly waits for the index.
THREADS = 4


@dataclass(frozen=True)
class Compiled:
    """A lock as uv made it: its entries, and who needs each; DIRECT stands for requirements.in."""

    entries: list[Entry]
    needed_by: dict[str, set[str]]


def compile_locks(root: Path, packages: Sequence[str], folder: Path | None = None, fixed: str = "") -> list[str]:
    """Write the locks that are to change; returns what changed, a line each.

    With packages (NAME or NAME==VERSION), these alone go to the newest version that fits the rest of each lock. With
    a folder, its lock alone is compiled, or upgraded. `fixed` are further constraints, a line each.
    """
    wanted = dict(_wanted(text) for text in packages)
    every, constraints = find_locks(root), read_constraints(root)
    locks = [lock for lock in every if folder is None or lock.folder.resolve() == folder.resolve()]
    if without := [lock.name for lock in locks if not lock.source.exists()] or ([] if locks else [str(folder)]):
        raise Failure(f"found no {DIRECT} in {', '.join(without)}; expected: one beside each lock; do: write it")
    if not wanted:
        with ThreadPoolExecutor(THREADS) as pool:
            made = pool.map(lambda lock: compile_one(lock, constraints, _preferences(lock, every), fixed), locks)
            results = dict(zip(locks, made, strict=True))
    else:
        results = upgrade(locks, constraints, wanted)
        for name in set(wanted) & set(constraints):
            constraints[name] = _versions(results, name)[-1]
    told = [line for lock, compiled in results.items() for line in differences(lock, compiled)]
    boms = write_boms(results, constraints)
    for lock, compiled in results.items():
        _replace(lock.path, "".join(entry.text for entry in compiled.entries))
        _replace(lock.bom, boms[lock])
    _replace(root / CONSTRAINTS, _with_versions((root / CONSTRAINTS).read_text(encoding="utf-8"), constraints))
    return told


def _wanted(text: str) -> tuple[str, str]:
    """The package and the version that are asked for; without a version, an empty text."""
    match = re.fullmatch(r"([A-Za-z0-9._-]+)(?:==(\S+))?", text)
    if not match:
        raise Failure(f"found the package {text!r}; expected: NAME or NAME==VERSION, such as numpy")
    return normal(match[1]), match[2] or ""


def _preferences(lock: Lock, locks: Iterable[Lock]) -> str:
    """The pins that uv shall keep: of the lock, then of the other stages', so that a new one takes what they have.

    Without hashes: uv would believe them, and one that was edited by hand would stay.
    """
    others = [other for other in locks if other.name.startswith("stages/") and lock.name.startswith("stages/")]
    pins: dict[str, list[str]] = {}
    for source in (lock, *(other for other in others if other != lock)):
        for name, lines in _pins(source).items():
            pins.setdefault(name, lines)
    return "".join(line for name in sorted(pins) for line in pins[name])


def _pins(lock: Lock) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in lock.entries() if lock.path.exists() else []:
        found.setdefault(entry.name, []).append(f"{entry.pin}{f' ; {entry.marker}' if entry.marker else ''}\n")
    return found


def upgrade(locks: Sequence[Lock], constraints: Mapping[str, str], wanted: Mapping[str, str]) -> dict[Lock, Compiled]:
    """The locks that hold one of the packages, with new versions of these and all else as it is.

    Locks that had one version have one version afterwards: the newest that fits all of them.
    """
    held = {lock: _pins(lock) for lock in locks}
    if unknown := sorted(name for name in wanted if not any(name in pins for pins in held.values())):
        raise Failure(f"no lock holds {', '.join(unknown)}; expected: packages of a lock; do: look at requirements.txt")
    limits = {lock: {name: f"=={to}" for name, to in wanted.items() if to} for lock in locks}
    rest = {name: version for name, version in constraints.items() if name not in wanted}
    results: dict[Lock, Compiled] = {}
    todo = [lock for lock in locks if set(wanted) & set(held[lock])]
    while todo:
        for lock in todo:
            pins = {name: lines for name, lines in held[lock].items() if name not in wanted}
            fixed = "".join(line for lines in pins.values() for line in lines)
            fixed += "".join(f"{name}{limit}\n" for name, limit in limits[lock].items())
            results[lock] = compile_one(lock, rest, fixed, fixed)
        todo = _unequal(results, held, limits, wanted)
    return results


def _unequal(
    results: Mapping[Lock, Compiled],
    held: Mapping[Lock, Mapping[str, list[str]]],
    limits: Mapping[Lock, dict[str, str]],
    wanted: Iterable[str],
) -> list[Lock]:
    """The locks that got a newer version than others which had the same as they; limits them to what all can have."""
    again = []
    for name in wanted:
        groups: dict[str, list[Lock]] = {}
        for lock in results:
            if name in held[lock]:
                groups.setdefault("".join(held[lock][name]), []).append(lock)
        for group in groups.values():
            lowest, *newer = _versions({lock: results[lock] for lock in group}, name) or [""]
            if newer:
                for lock in group:
                    limits[lock][name] = f"<={lowest}"
                again += group
    return list(dict.fromkeys(again))


def _versions(results: Mapping[Lock, Compiled], name: str) -> list[str]:
    """The newest version of a package in each lock, oldest first, each once."""
    newest = {
        max((Version(entry.version), entry.version) for entry in compiled.entries if entry.name == name)
        for compiled in results.values()
        if any(entry.name == name for entry in compiled.entries)
    }
    return [text for _, text in sorted(newest)]


def compile_one(lock: Lock, constraints: Mapping[str, str], preferences: str, fixed: str = "") -> Compiled:
    """Let uv resolve one requirements.in; `fixed` are further constraints, a line each."""
    limits = "".join(f"{name}=={version}\n" for name, version in constraints.items()) + fixed
    text = run_uv(lock, limits, preferences, "requirements.txt", "--generate-hashes", "--annotation-style=split")
    plain, needed_by = split_annotations(text)
    return Compiled(_kept(lock, parse_lock(plain, lock.path)), needed_by)


def run_uv(lock: Lock, constraints: str, preferences: str, form: str, *options: str) -> str:
    """What uv writes: no index address, no header."""
    with tempfile.TemporaryDirectory(prefix="airflow-ml-lock-") as scratch:
        limits, output = Path(scratch, "constraints.txt"), Path(scratch, form)
        limits.write_text(constraints, encoding="utf-8")
        without = Path(scratch, "without.txt")
        without.write_text("".join(f"{name}\n" for name in lock.without()), encoding="utf-8")
        if preferences:
            output.write_text(preferences, encoding="utf-8")
        command: list[str | Path] = [
            os.environ.get("UV") or Path(sys.executable).parent / "uv", "pip", "compile", "--quiet", "--universal",
            "--no-header", "--no-emit-index-url", "--no-emit-find-links", "--python", sys.executable,
            "--python-version", lock.python, "--constraint", limits, "--excludes", without, lock.source.name,
            "--format", form, "--output-file", output, *options,
        ]  # fmt: skip
        done = subprocess.run(command, cwd=lock.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failure(
                f"{lock.name}/{DIRECT} cannot be resolved:\n{done.stderr.rstrip()}\n"
                "expected: versions that fit requirements.in, scripts/constraints.txt and, of an upgrade, the rest of "
                "the lock; do: change these, or name all packages that go together: make lock PACKAGE='A B'"
            )
        return output.read_text(encoding="utf-8")


def split_annotations(text: str) -> tuple[str, dict[str, set[str]]]:
    """The lock without uv's comments, and what they said: by package, who needs it."""
    plain, needed_by, name = [], dict[str, set[str]](), ""
    for line in text.splitlines():
        comment = line.strip().removeprefix("#").strip()
        if not line.lstrip().startswith("#"):
            plain.append(f"{line}\n")
            name = normal(re.split(r"[\[=]", line)[0]) if not line.startswith(" ") else name
        elif (who := comment.removeprefix("via").strip()) and not who.startswith("-c "):
            needed_by.setdefault(name, set()).add(DIRECT if who.startswith("-r ") else normal(who))
    return "".join(plain), needed_by


def _kept(lock: Lock, entries: list[Entry]) -> list[Entry]:
    """The entries, each with its text of before where that is as it was made and still holds.

    An index may get more files of a version; nobody asked for a lock that differs because of that.
    """
    recorded = {
        component["bom-ref"]: owned(component, "entry") for component in read_recorded(lock).get("components", [])
    }
    before = {(entry.pin, entry.marker): entry for entry in lock.entries()} if lock.path.exists() else {}
    kept = []
    for entry in entries:
        old = before.get((entry.pin, entry.marker))
        valid = old and recorded.get(old.purl) == [old.fingerprint] and set(old.hashes) <= set(entry.hashes)
        kept.append(old if old and valid else entry)
    return kept


def differences(lock: Lock, compiled: Compiled) -> list[str]:
    """What changes in a lock, for people."""
    before = _by_name(lock.entries() if lock.path.exists() else [])
    after = _by_name(compiled.entries)
    told = []
    for name in sorted({*before, *after}):
        old, new = (", ".join(entry.version for entry in side.get(name, [])) for side in (before, after))
        if old != new:
            told.append(f"{lock.name}: {name} {old or 'not there'} -> {new or 'not there'}")
        elif [entry.text for entry in before[name]] != [entry.text for entry in after[name]]:
            told.append(f"{lock.name}: {name} {new}: other hashes or markers")
    return told


def _by_name(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.name, []).append(entry)
    return found


def write_boms(results: Mapping[Lock, Compiled], constraints: Mapping[str, str]) -> dict[Lock, str]:
    """The bill of materials of each lock; only what is new is read from the index."""
    known = {lock: _known(lock, compiled) for lock, compiled in results.items()}
    changed = [lock for lock in results if any(entry.purl not in known[lock] for entry in results[lock].entries)]
    with ThreadPoolExecutor(THREADS) as pool:
        files = dict(zip(changed, pool.map(lambda lock: _files(lock, results[lock]), changed), strict=True))
    new = {
        file: None
        for lock, compiled in results.items()
        for entry in compiled.entries
        if entry.purl not in known[lock]
        for file in files[lock][entry.pin][:1]
    }
    metadata = dict(zip(new, metadata_of(list(new)), strict=True))
    boms = {}
    for lock, compiled in results.items():
        components = [
            known[lock].get(entry.purl) or component_of(entry, lock, files[lock][entry.pin], metadata)
            for entry in compiled.entries
        ]
        boms[lock] = text_of(bom_of(lock, compiled, components, constraints))
    return boms


def _known(lock: Lock, compiled: Compiled) -> dict[str, Json]:
    """The components that are recorded already, by purl."""
    recorded = read_recorded(lock)
    if owned(recorded.get("metadata", {}), "python") != [lock.python]:
        return {}
    fingerprints = {entry.purl: [entry.fingerprint] for entry in compiled.entries}
    return {
        component["bom-ref"]: component
        for component in recorded["components"]
        if owned(component, "entry") == fingerprints.get(component["bom-ref"])
    }


def _files(lock: Lock, compiled: Compiled) -> dict[str, list[File]]:
    """The files of each pin of a lock that the images install."""
    pins = "".join(f"{entry.pin}{f' ; {entry.marker}' if entry.marker else ''}\n" for entry in compiled.entries)
    told: dict[str, Any] = tomllib.loads(run_uv(lock, pins, "", "pylock.toml"))
    allowed = {entry.pin: set(entry.hashes) for entry in compiled.entries}
    return {
        pin: installable([file for file in files_of(package) if f"sha256:{file.sha256}" in allowed[pin]], lock.target)
        for package in told["packages"]
        if (pin := f"{normal(package['name'])}=={package['version']}") in allowed
    }


def component_of(entry: Entry, lock: Lock, files: Sequence[File], metadata: Mapping[File, Any]) -> Json:
    """A package of a lock; its hash where all platforms install one file, and each file with its own."""
    told = metadata[files[0]] if files else None
    licence = licences(told["License-Expression"], told["License"], told.get_all("Classifier", [])) if told else []
    distributions = [{"type": "distribution", "url": file.name, "hashes": [sha256(file.sha256)]} for file in files]
    return {
        "type": "library",
        "bom-ref": entry.purl,
        "purl": entry.purl,
        "name": entry.name,
        "version": entry.version,
        **({} if holds(entry.marker, lock.target) else {"scope": "excluded"}),
        **({"licenses": licence} if licence else {}),
        **({"hashes": [sha256(files[0].sha256)]} if len(files) == 1 else {}),
        **({"externalReferences": distributions} if distributions else {}),
        "properties": [
            own("entry", entry.fingerprint),
            *([own("marker", entry.marker)] if entry.marker else []),
        ],
    }


def bom_of(lock: Lock, compiled: Compiled, components: Sequence[Json], constraints: Mapping[str, str]) -> Json:
    """What a lock holds, what needs what, and what it was made of: `locks.check` compares that."""
    me = {**lock.component, "bom-ref": lock.component["name"]}
    needs: dict[str, list[str]] = {ref: [] for ref in (me["bom-ref"], *(entry.purl for entry in compiled.entries))}
    purls = {name: [entry.purl for entry in entries] for name, entries in _by_name(compiled.entries).items()}
    for name, by in compiled.needed_by.items():
        for who in by:
            for ref in [me["bom-ref"]] if who == DIRECT else purls[who]:
                needs[ref] += purls[name]
    properties = [own("python", lock.python)]
    properties += [own("requirement", line) for line in lock.requirements()]
    properties += [own("without", name) for name in lock.without()]
    properties += [own("constraint", f"{name}=={constraints[name]}") for name in sorted(purls) if name in constraints]
    return document(me, components, needs, properties, "pre-build")


def _with_versions(text: str, versions: Mapping[str, str]) -> str:
    """The constraints with other versions, all else as it was."""

    def line(match: "re.Match[str]") -> str:
        return f"{match[1]}=={versions[normal(match[1])]}"

    return re.sub(r"^([A-Za-z0-9._-]+)==[^\s#]+", line, text, flags=re.MULTILINE)


def _replace(path: Path, text: str) -> None:
    """Write a file at once, or not at all; leave it alone if it is that already."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
