"""Reads what a lock is made of: requirements.in, the shared constraints, and the lock itself, requirements.txt."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from airflow_ml.common import AirflowMlError as Failure

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = "scripts/constraints.txt"
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
PIN = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)\s*(?:;\s*([^\\]+?))?\s*\\?")
WITHOUT = re.compile(r"# without: ([A-Za-z0-9._-]+)\s*(?:#.*)?")
HASH = re.compile(r"--hash=(sha256:[0-9a-f]{64})(?=\s|$)")


@dataclass(frozen=True)
class Entry:
    """A package of a lock: one version, where it holds, and the files that may be installed."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    text: str

    @property
    def pin(self) -> str:
        return f"{self.name}=={self.version}"

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version.replace('+', '%2B')}"

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Lock:
    """The files of one lock, in one folder."""

    root: Path
    folder: Path

    @property
    def name(self) -> str:
        return self.folder.relative_to(self.root).as_posix()

    @property
    def source(self) -> Path:
        return self.folder / "requirements.in"

    @property
    def path(self) -> Path:
        return self.folder / "requirements.txt"

    @property
    def bom(self) -> Path:
        return self.folder / "sbom.cdx.json"

    @property
    def python(self) -> str:
        """The oldest Python that it must install on.

        The images hold 3.13; the tests, and with them Airflow, also run on a host with Debian 12's 3.11.
        """
        return "3.11" if self.name in ("services/airflow", "tests") else "3.13"

    @property
    def target(self) -> str:
        """The Python that it is installed on: the images', or, of the tests' own environment, the host's."""
        return "3.11" if self.name == "tests" else "3.13"

    @property
    def component(self) -> dict[str, str]:
        """What the lock is a part of, as a bill of materials names it."""
        if self.name == "base-image":
            return {"type": "application", "name": "airflow-ml-builder"}
        if self.name.startswith("tests"):
            return {"type": "application", "name": f"airflow-ml-{self.name.replace('/', '-')}"}
        return {"type": "container", "name": f"airflow-ml-{self.folder.name}"}

    def requirements(self) -> list[str]:
        """What requirements.in asks for, included files too."""
        return sorted(set(_requirements(self.source)))

    def without(self) -> list[str]:
        """What requirements.in leaves out, a line `# without: NAME` each, though a package's metadata asks for it."""
        lines = self.source.read_text(encoding="utf-8").splitlines()
        return sorted({normal(match[1]) for line in lines if (match := WITHOUT.fullmatch(line.strip()))})

    def entries(self) -> list[Entry]:
        return parse_lock(self.path.read_text(encoding="utf-8"), self.path)


def find_locks(root: Path = ROOT) -> list[Lock]:
    """Every lock, in the order of their folders."""
    found = [path for top in ("base-image", "stages", "services", "tests") for path in (root / top).rglob("*")]
    folders = {path.parent for path in found if path.name in ("requirements.in", "requirements.txt")}
    return [Lock(root, folder) for folder in sorted(folders)]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(line: str) -> str:
    """The package that a requirement names.

    Errors: Failure for an option or an address, which no lock here may depend on.
    """
    if not (match := NAME.match(line)) or "://" in line:
        raise Failure(f"found the requirement {line!r}; expected: a package's name, such as 'lightgbm' or 'lightgbm<5'")
    return normal(match[0])


def _requirements(path: Path) -> Iterator[str]:
    for line in _lines(path):
        if line.startswith("-r "):
            yield from _requirements(path.parent / line[3:].strip())
        else:
            requirement_name(line)
            yield line


def _lines(path: Path) -> Iterator[str]:
    """The lines without comments and blanks."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if text := line.partition("#")[0].strip():
            yield text


def read_constraints(root: Path = ROOT) -> dict[str, str]:
    """The version of each package that the constraints hold.

    Errors: Failure for a line that is no exact version.
    """
    path = root / CONSTRAINTS
    versions: dict[str, str] = {}
    for line in _lines(path):
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)", line)
        if not match:
            raise Failure(f"{CONSTRAINTS}: found {line!r}; expected: NAME==VERSION; do: correct the line")
        versions[normal(match[1])] = match[2]
    return versions


def parse_lock(text: str, path: Path) -> list[Entry]:
    """The entries of a lock.

    Errors: Failure for a line that is neither a pin, nor one of its hashes, nor a comment.
    """
    blocks: list[list[str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(" ") and blocks and HASH.search(line):
            blocks[-1].append(line)
        elif PIN.fullmatch(line):
            blocks.append([line])
        elif line.strip() and not line.lstrip().startswith("#"):
            raise Failure(
                f"{path} line {number}: found {line.strip()[:80]!r}; expected: NAME==VERSION, or one of its hashes; "
                "do: make lock"
            )
    return [_entry(lines) for lines in blocks]


def _entry(lines: list[str]) -> Entry:
    match = PIN.fullmatch(lines[0])
    assert match is not None
    text = "".join(f"{line}\n" for line in lines)
    return Entry(normal(match[1]), match[2], (match[3] or "").strip(), tuple(HASH.findall(text)), text)
