"""Compiles every requirements.in into requirements.txt, which pins each package with all its hashes, for all platforms.

uv resolves the versions. A locked version stays until somebody names its package: then the package gets the newest
version that fits, in every lock that holds it, and no other package moves.
Needs the package index. Exit codes: 0 done; 1 a lock cannot be resolved, and no file was changed; 2 wrong
usage.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from airflow_ml.common import ROOT, WRONG_USAGE, AirflowMlError, write_atomic

FOLDERS = ("base-image", "services", "stages", "tests")
SOURCE, LOCK = "requirements.in", "requirements.txt"
# One version of what images of different kinds share.
CONSTRAINTS = "maintain/constraints.txt"
# The images hold Python 3.13. The tests, and with them Airflow, also run on a host with Debian 12's Python.
IMAGE_PYTHON, HOST_PYTHON = "3.13", "3.11"
ON_HOST = ("services/airflow", "tests")
UV = ROOT / ".venv" / "bin" / "uv"
# uv mostly waits for the index.
THREADS = 8
# The settings of every lock: see docs/decisions/0008.
COMPILE = (
    "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header", "--no-annotate",
    "--no-emit-index-url", "--no-emit-find-links",
)  # fmt: skip
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s\\]+)[^\\\n]*", re.MULTILINE)
WITHOUT = re.compile(r"^# without: ([A-Za-z0-9._-]+)$", re.MULTILINE)
PACKAGE = re.compile(r"([A-Za-z0-9._-]+)(?:==(\S+))?")
# The lines that pin a package: one, or several if its version depends on the platform.
Pins = dict[str, tuple[str, ...]]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "what",
        nargs="*",
        metavar="FOLDER|PACKAGE[==VERSION]",
        help="a folder: compile its lock only; packages: upgrade these only (default: compile every lock)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Compile the locks, and print what changed."""
    folders = [what for what in arguments.what if (ROOT / what / SOURCE).exists()]
    packages = [what for what in arguments.what if what not in folders]
    for line in lock(ROOT, packages, folders) or ["nothing changed"]:
        print(line)
    return 0


def lock(root: Path, packages: Sequence[str] = (), folders: Sequence[str] = ()) -> list[str]:
    """Write the locks that change.

    :param root: the checkout
    :param packages: NAME or NAME==VERSION: only these move; none: each lock fits its requirements.in again
    :param folders: the folders of the locks; none: every lock
    :return: a sentence for each change
    Errors: AirflowMlError if a lock cannot be resolved; then no file was changed.
    """
    old, constraints = read_locks(root), read_constraints(root)
    names = [Path(folder).as_posix().rstrip("/") for folder in folders] or list(old)
    wanted = dict(map(parse_package, packages))
    new = upgrade(root, old, names, wanted) if wanted else compile_each(root, old, names)
    changes = [line for name in names for line in differences(name, old[name], new[name])]
    for name in names:
        write_atomic(root / name / LOCK, new[name])
    for package in wanted.keys() & constraints.keys():
        constraints[package] = next(pins(text)[package] for text in new.values() if package in pins(text))
    text = (root / CONSTRAINTS).read_text(encoding="utf-8")
    write_atomic(root / CONSTRAINTS, PIN.sub(lambda match: constraints[normal(match[1])][0], text))
    return changes


def read_locks(root: Path) -> dict[str, str]:
    """The text of each lock by the path of its folder; empty for a lock that was not compiled yet."""
    found = [path.parent for top in FOLDERS for path in sorted((root / top).rglob(SOURCE))]
    paths = {folder.relative_to(root).as_posix(): folder / LOCK for folder in found}
    return {name: path.read_text(encoding="utf-8") if path.exists() else "" for name, path in paths.items()}


def read_constraints(root: Path) -> Pins:
    """The versions that every lock has, if it holds the package."""
    return pins((root / CONSTRAINTS).read_text(encoding="utf-8"))


def pins(text: str) -> Pins:
    """The pins of a lock by package, without hashes."""
    found: Pins = {}
    for match in PIN.finditer(text):
        found[normal(match[1])] = (*found.get(normal(match[1]), ()), match[0].strip())
    return found


def versions(lines: Iterable[str]) -> str:
    """The versions of a package's pins, for people."""
    return ", ".join(match[2] for line in lines if (match := PIN.match(line)))


def normal(package: str) -> str:
    """The one form of a package's name."""
    return re.sub(r"[-_.]+", "-", package).lower()


def parse_package(text: str) -> tuple[str, str]:
    """The package, and the version that somebody asks for; an empty text for the newest that fits."""
    match = PACKAGE.fullmatch(text)
    if not match:
        raise AirflowMlError(
            f"found the package {text!r}", expected="NAME or NAME==VERSION, such as numpy", exit_code=WRONG_USAGE
        )
    return normal(match[1]), match[2] or ""


def compile_each(root: Path, locks: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Resolve the locks; the tests' after Airflow's, whose versions it takes."""
    new, constraints = dict(locks), read_constraints(root)

    def compile_one(name: str) -> str:
        return resolve(root, name, locks[name], _lines({**decided_elsewhere(name, new), **constraints}))

    for wave in ([name for name in names if name != "tests"], [name for name in names if name == "tests"]):
        with ThreadPoolExecutor(THREADS) as pool:
            new |= zip(wave, pool.map(compile_one, wave), strict=True)
    return new


def decided_elsewhere(name: str, locks: Mapping[str, str]) -> Pins:
    """The pins that a lock takes from others: stages share one version, and the tests run the Airflow that ships."""
    stages = [other for other in locks if other.startswith("stages/") and other != name]
    others = stages if name.startswith("stages/") else ["services/airflow"] if name == "tests" else []
    return {package: lines for other in others for package, lines in pins(locks.get(other, "")).items()}


def upgrade(root: Path, locks: Mapping[str, str], names: Sequence[str], wanted: Mapping[str, str]) -> dict[str, str]:
    """Resolve the locks that hold a package, with new versions of the packages and every other pin as it is.

    Locks that had the same version of a package have the same version afterwards: the newest that fits all of them.
    """
    held = {name: pins(locks[name]) for name in names if pins(locks[name]).keys() & wanted.keys()}
    if unknown := sorted(wanted.keys() - {package for found in held.values() for package in found}):
        raise AirflowMlError(
            f"no lock holds {', '.join(unknown)}",
            expected="a package that a requirements.txt pins",
            exit_code=WRONG_USAGE,
        )
    limits = {
        (package, held[name][package]): f"{package}=={version}" if version else package
        for name in held
        for package, version in wanted.items()
        if package in held[name]
    }
    while True:
        before, new = dict(limits), dict(locks)
        for name, found in held.items():
            given = {**decided_elsewhere(name, new), **read_constraints(root), **found}
            fixed = {package: lines for package, lines in given.items() if package not in wanted}
            bounds = [limits[package, found[package]] for package in wanted if package in found]
            new[name] = resolve(root, name, locks[name], [*_lines(fixed), *bounds], upgrade=wanted)
            for package, lines in pins(new[name]).items():
                if package in wanted and package in found and not wanted[package]:
                    limits[package, found[package]] = f"{package}<={versions(lines[-1:])}"
        if limits == before:
            return new


def _lines(given: Pins) -> Iterator[str]:
    return (line for lines in given.values() for line in lines)


def resolve(root: Path, name: str, text: str, constraints: Iterable[str], *, upgrade: Iterable[str] = ()) -> str:
    """Let uv resolve a requirements.in.

    :param name: the folder of the lock
    :param text: the lock as it is; uv keeps its versions, with their hashes, where nothing asks for others
    :param constraints: a requirement each
    :param upgrade: the packages of which uv shall not keep the version
    :return: the text of the lock
    Errors: AirflowMlError with uv's explanation.
    """
    source = (root / name / SOURCE).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="airflow-ml-lock-") as folder:
        limits, without, output = (Path(folder, file) for file in ("constraints.txt", "without.txt", LOCK))
        limits.write_text("".join(f"{line}\n" for line in constraints), encoding="utf-8")
        without.write_text("".join(f"{package}\n" for package in WITHOUT.findall(source)), encoding="utf-8")
        output.write_text(text, encoding="utf-8")
        python = HOST_PYTHON if name in ON_HOST else IMAGE_PYTHON
        # Any Python will do, and this one is here: uv would start each one of the machine to find one of that version.
        options: list[str | Path] = ["--python", sys.executable, "--python-version", python]
        options += ["--constraints", limits, "--excludes", without]
        options += ["--output-file", output, *(f"--upgrade-package={package}" for package in upgrade)]
        done = subprocess.run(
            [UV, *COMPILE, *options, SOURCE], cwd=root / name, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise AirflowMlError(
                f"{name}/{SOURCE} cannot be resolved:\n{done.stderr.rstrip()}",
                expected=f"versions that fit requirements.in, {CONSTRAINTS}, and the pins that stay",
                do="change these, or name all packages that move together: make lock PACKAGE='A B'",
            )
        return output.read_text(encoding="utf-8")


def differences(name: str, old: str, new: str) -> Iterator[str]:
    """What changed in a lock, a sentence for each package."""
    before, after = pins(old), pins(new)
    for package in sorted(before.keys() | after.keys()):
        left, right = (versions(side.get(package, ())) or "not there" for side in (before, after))
        if left != right:
            yield f"{name}: {package} {left} -> {right}"
    if old != new and before == after:
        yield f"{name}: other hashes"
