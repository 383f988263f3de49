"""Asks which versions in the locks have known vulnerabilities, with pip-audit; never says "none" for "not asked".

scripts/audit-ignore.toml names those that were looked at and can wait, each with a reason and the day it ends.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import tomllib
from airflow_ml.common import AirflowMlError as Failure
from locks.files import Entry, Lock, find_locks, normal

IGNORE = "scripts/audit-ignore.toml"
SERVICES = ("osv", "pypi")
FIELDS = {"id": str, "package": str, "reason": str, "expires": date}
TIMEOUT_S = 20
Pin = tuple[str, str]


@dataclass(frozen=True)
class Vulnerability:
    """What is known of a version."""

    names: tuple[str, ...]
    mended_in: tuple[str, ...]
    description: str


@dataclass(frozen=True)
class Ignored:
    """A vulnerability that was looked at and can wait until a day."""

    name: str
    package: str
    reason: str
    expires: date

    def covers(self, package: str, vulnerability: Vulnerability, today: date) -> bool:
        return self.package == package and self.name in vulnerability.names and today <= self.expires


def audit(root: Path, service: str | None, osv_url: str | None) -> int:
    """Print the result of each lock and a sum; returns 0 if nothing was found, 1 if something was.

    Errors: Failure if not every pin was answered for.
    """
    ignored, today = read_ignored(root / IGNORE), datetime.now(timezone.utc).date()
    locks = {lock: lock.entries() for lock in find_locks(root)}
    pins = sorted({(entry.name, entry.version) for entries in locks.values() for entry in entries})
    if not pins:
        raise Failure(f"{root} holds no lock; expected: requirements.txt in its folders; do: make lock")
    asked, known = ask_services(pins, [service] if service else ["osv"] if osv_url else list(SERVICES), osv_url)
    total = sum(report(lock, entries, known, ignored, today) for lock, entries in locks.items())
    for entry in ignored:
        tell_of(entry, known, today)
    print(
        f"{len(pins)} versions in {len(locks)} locks, answered for by {asked}: "
        f"{total or 'no'} known {'vulnerability' if total == 1 else 'vulnerabilities'} to act on"
    )
    return 1 if total else 0


def report(
    lock: Lock,
    entries: Iterable[Entry],
    known: Mapping[Pin, Sequence[Vulnerability]],
    ignored: Sequence[Ignored],
    today: date,
) -> int:
    """Print what is known of one lock; returns how much of it is not to be ignored."""
    lines, count = [], 0
    for entry in entries:
        for found in known[entry.name, entry.version]:
            waits = next((item for item in ignored if item.covers(entry.name, found, today)), None)
            count += not waits
            mended = f"mended in {', '.join(found.mended_in)}" if found.mended_in else "not mended yet"
            lines.append(f"  {entry.pin}: {' '.join(found.names)}, {mended}: {found.description[:160]}")
            lines += [f"    ignored until {waits.expires}: {waits.reason}"] if waits else []
    print(f"{lock.name}/{lock.path.name}: {count or 'nothing'} found")
    print("".join(f"{line}\n" for line in lines), end="")
    return count


def tell_of(entry: Ignored, known: Mapping[Pin, Sequence[Vulnerability]], today: date) -> None:
    """Say which lines of the list of ignored ones do nothing any more."""
    where = f"{IGNORE}: {entry.name} of {entry.package}"
    if entry.expires < today:
        print(f"{where} is not ignored any more, since {entry.expires}; do: upgrade, or look at it again")
    elif not any(
        name == entry.package and entry.name in one.names for (name, _), all_ in known.items() for one in all_
    ):
        print(f"{where} was not found; do: remove it from the list")


def read_ignored(path: Path) -> list[Ignored]:
    """The list of ignored vulnerabilities.

    Errors: Failure for an entry that lacks its reason or its last day.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8")).get("ignore", []) if path.exists() else []
    except tomllib.TOMLDecodeError as error:
        raise Failure(f"{IGNORE} is no TOML: {error}; do: correct it") from error
    for entry in told:
        good = set(entry) == set(FIELDS) and all(type(entry[key]) is kind for key, kind in FIELDS.items())
        if not good or not entry["reason"].strip():
            raise Failure(
                f"{IGNORE}: found {json.dumps(entry, default=str)}; expected: id, package, reason, and expires as a "
                "day like 2027-01-31, all of them; do: correct the entry"
            )
    return [Ignored(e["id"], normal(e["package"]), e["reason"], e["expires"]) for e in told]


def ask_services(
    pins: Sequence[Pin], services: Sequence[str], osv_url: str | None
) -> tuple[str, dict[Pin, list[Vulnerability]]]:
    """The first service that answers, and what it knows of each pin.

    Errors: Failure if none answers for every pin.
    """
    complaints = []
    for service in services:
        try:
            if len(services) > 1:
                ask(pins[:1], service, osv_url)  # one that is out of reach says so at once
            return service, ask(pins, service, osv_url)
        except Failure as failure:
            complaints.append(f"  {service}: {failure}")
    raise Failure(
        "\n".join(["the locks were not audited, so nothing is known of them:", *complaints])
        + "\nexpected: one service that answers for every version; do: run it where one can be reached, or name one: "
        "make audit OSV_URL=https://HOST/v1/query"
    )


def ask(pins: Sequence[Pin], service: str, osv_url: str | None) -> dict[Pin, list[Vulnerability]]:
    """What a service knows of each pin.

    Errors: Failure unless it answers for each.
    """
    known: dict[Pin, list[Vulnerability]] = {}
    todo = list(pins)
    while todo:  # pip-audit takes each package once in a run
        now = dict(reversed(todo))
        known |= run_pip_audit(sorted(now.items()), service, osv_url)
        todo = [pin for pin in todo if now[pin[0]] != pin[1]]
    if missing := [f"{name} {version}" for name, version in pins if (name, version) not in known]:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise Failure(f"no answer for {', '.join(missing[:3])}{more}")
    return known


def run_pip_audit(pins: Sequence[Pin], service: str, osv_url: str | None) -> dict[Pin, list[Vulnerability]]:
    """What pip-audit tells; a pin that it skipped is not in it."""
    with tempfile.TemporaryDirectory(prefix="airflow-ml-audit-") as scratch:
        requirements, answer = Path(scratch, "requirements.txt"), Path(scratch, "answer.json")
        # Without markers: a version that only another platform installs is in the lock too.
        requirements.write_text("".join(f"{name}=={version}\n" for name, version in pins), encoding="utf-8")
        command: list[str | Path] = [
            Path(sys.executable).parent / "pip-audit", "--requirement", requirements, "--no-deps", "--disable-pip",
            "--vulnerability-service", service, "--format", "json", "--output", answer, "--aliases", "on",
            "--desc", "on", "--progress-spinner", "off", "--timeout", str(TIMEOUT_S), "--cache-dir", scratch,
        ]  # fmt: skip
        command += ["--osv-url", osv_url] if osv_url else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not answer.exists() or not (text := answer.read_text(encoding="utf-8")):
            # A traceback's last line, or the message, says why.
            raise Failure((done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1][:300])
        told: list[dict[str, Any]] = json.loads(text)["dependencies"]
    return {
        (normal(item["name"]), item["version"]): [_vulnerability(one) for one in item["vulns"]]
        for item in told
        if "skip_reason" not in item
    }


def _vulnerability(told: dict[str, Any]) -> Vulnerability:
    names = (told["id"], *sorted(set(told.get("aliases", [])) - {told["id"]}))
    return Vulnerability(names, tuple(told.get("fix_versions", [])), told.get("description", ""))
