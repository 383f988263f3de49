"""Asks a vulnerability service about every version in the locks, with pip-audit.

maintain/audit-ignore.toml lists the vulnerabilities that can wait, each with a reason and a last day. Exit codes:
0 nothing to act on; 1 a known vulnerability; 2 wrong usage; 3 the service did not answer for every version, so nothing
is known.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import tomllib
from airflow_ml.common import ROOT, AirflowMlError
from airflow_ml.lock import LOCK, PIN, normal, read_locks

IGNORE = "maintain/audit-ignore.toml"
FIELDS = {"id": str, "package": str, "reason": str, "expires": date}
TIMEOUT_S = 20
NOT_KNOWN = 3
PIP_AUDIT = ROOT / ".venv" / "bin" / "pip-audit"
Pin = tuple[str, str]


@dataclass(frozen=True)
class Vulnerability:
    """A known vulnerability of a version."""

    names: tuple[str, ...]
    fixed_in: tuple[str, ...]
    description: str


@dataclass(frozen=True)
class Ignored:
    """A vulnerability that can wait until a day."""

    name: str
    package: str
    reason: str
    expires: date

    def covers(self, package: str, vulnerability: Vulnerability) -> bool:
        """Whether this entry speaks of a package's vulnerability."""
        return self.package == package and self.name in vulnerability.names


Known = Mapping[Pin, Sequence[Vulnerability]]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--service", choices=("osv", "pypi"), default="osv", help="who answers (default: %(default)s)")
    parser.add_argument("--osv-url", metavar="URL", help="the address of an OSV service of your own")


def run(arguments: argparse.Namespace) -> int:
    """Audit the locks of this checkout."""
    return audit(ROOT, arguments.service, arguments.osv_url)


def audit(root: Path, service: str, osv_url: str | None = None) -> int:
    """Print what is known of each lock; returns 1 if something is to act on, else 0.

    Errors: AirflowMlError if the service did not answer for every version.
    """
    ignored, today = read_ignored(root / IGNORE), datetime.now(timezone.utc).date()
    locks = {name: locked_versions(text) for name, text in read_locks(root).items()}
    everything = sorted({pin for pins in locks.values() for pin in pins})
    if not everything:
        raise _not_known(f"{root} holds no lock", do="make lock")
    known = ask(everything, service, osv_url)
    valid = [entry for entry in ignored if entry.expires >= today]
    count = 0
    for name, pins in locks.items():
        found = [(pin, one) for pin in pins for one in known[pin]]
        waiting = {key: next((entry for entry in valid if entry.covers(key[0][0], key[1])), None) for key in found}
        open_ = sum(entry is None for entry in waiting.values())
        print(f"{name}/{LOCK}: {open_ or 'nothing'} found")
        for (pin, one), entry in waiting.items():
            print("\n".join(describe(pin, one, entry)))
        count += open_
    for line in outdated(ignored, known, today):
        print(line)
    what = "known vulnerability" if count == 1 else "known vulnerabilities"
    print(f"{service} answered for {len(everything)} versions in {len(locks)} locks: {count or 'no'} {what} to act on")
    return 1 if count else 0


def locked_versions(text: str) -> list[Pin]:
    """Package and version of each pin; those for other platforms too."""
    return [(normal(match[1]), match[2]) for match in PIN.finditer(text)]


def describe(pin: Pin, vulnerability: Vulnerability, ignored: Ignored | None) -> Iterator[str]:
    """A vulnerability for people."""
    fixed = f"fixed in {', '.join(vulnerability.fixed_in)}" if vulnerability.fixed_in else "not fixed yet"
    yield f"  {'=='.join(pin)}: {' '.join(vulnerability.names)}, {fixed}: {vulnerability.description[:160]}"
    if ignored:
        yield f"    ignored until {ignored.expires}: {ignored.reason}"


def outdated(ignored: Sequence[Ignored], known: Known, today: date) -> Iterator[str]:
    """The entries of the list that have no effect any more."""
    for entry in ignored:
        where = f"{IGNORE}: {entry.name} of {entry.package}"
        if entry.expires < today:
            yield f"{where} is ignored no longer, since {entry.expires}; do: upgrade, or look at it again"
        elif not any(entry.covers(package, one) for (package, _), found in known.items() for one in found):
            yield f"{where} was not found; do: remove the entry"


def read_ignored(path: Path) -> list[Ignored]:
    """The vulnerabilities that can wait.

    Errors: AirflowMlError for an entry without its reason or its last day.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("ignore", []) if path.exists() else []
    except tomllib.TOMLDecodeError as error:
        raise _not_known(f"{IGNORE} is no TOML: {error}", do="correct it") from error
    for entry in entries:
        complete = set(entry) == set(FIELDS) and all(type(entry[key]) is kind for key, kind in FIELDS.items())
        if not complete or not entry["reason"].strip():
            raise _not_known(
                f"{IGNORE}: found {json.dumps(entry, default=str)}",
                expected="id, package, reason, and expires as a day like 2027-01-31, all of them",
                do="correct the entry",
            )
    return [Ignored(entry["id"], normal(entry["package"]), entry["reason"], entry["expires"]) for entry in entries]


def ask(pins: Sequence[Pin], service: str, osv_url: str | None) -> Known:
    """What a service knows of each version.

    Errors: AirflowMlError unless it answered for every version.
    """
    known: dict[Pin, list[Vulnerability]] = {}
    left = list(pins)
    while left:  # pip-audit takes one version of a package in a run
        now = dict(reversed(left))
        known |= run_pip_audit(sorted(now.items()), service, osv_url)
        left = [pin for pin in left if now[pin[0]] != pin[1]]
    if missing := [f"{name} {version}" for name, version in pins if (name, version) not in known]:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise _not_known(f"{service} has no answer for {', '.join(missing[:3])}{more}")
    return known


def run_pip_audit(pins: Sequence[Pin], service: str, osv_url: str | None) -> dict[Pin, list[Vulnerability]]:
    """The answer of one run of pip-audit; a version that it skipped is missing.

    Errors: AirflowMlError with the last line that pip-audit wrote, if it wrote no answer.
    """
    with tempfile.TemporaryDirectory(prefix="airflow-ml-audit-") as folder:
        requirements, answer = Path(folder, "requirements.txt"), Path(folder, "answer.json")
        # Without markers, which pip-audit applies: a version for another platform is in the lock too.
        requirements.write_text("".join(f"{name}=={version}\n" for name, version in pins), encoding="utf-8")
        command: list[str | Path] = [
            PIP_AUDIT, "--requirement", requirements, "--no-deps", "--disable-pip", "--vulnerability-service", service,
            "--format", "json", "--output", answer, "--aliases", "on", "--desc", "on", "--progress-spinner", "off",
            "--timeout", str(TIMEOUT_S), "--cache-dir", folder, *(["--osv-url", osv_url] if osv_url else []),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not answer.exists() or not (text := answer.read_text(encoding="utf-8")):
            last = (done.stderr.strip().splitlines() or ["pip-audit wrote nothing"])[-1]
            raise _not_known(f"{service}: {last[:300]}")
        found: list[dict[str, Any]] = json.loads(text)["dependencies"]
    return {
        (normal(item["name"]), item["version"]): [_vulnerability(one) for one in item["vulns"]]
        for item in found
        if "skip_reason" not in item
    }


def _vulnerability(found: dict[str, Any]) -> Vulnerability:
    names = (found["id"], *sorted(set(found.get("aliases", [])) - {found["id"]}))
    return Vulnerability(names, tuple(found.get("fix_versions", [])), found.get("description", ""))


def _not_known(
    found: str,
    *,
    expected: str = "an answer for every version",
    do: str = "run it where a service can be reached, or name another: make audit SERVICE=pypi, make audit OSV_URL=...",
) -> AirflowMlError:
    return AirflowMlError(
        f"the locks were not audited, so nothing is known of them: {found}",
        expected=expected,
        do=do,
        exit_code=NOT_KNOWN,
    )
