"""Makes the layers of an image, in its builder. A layer is a folder below /layers that the image copies.

The same content gives the same bytes at any time. Commands: `wheels` installs a lock and keeps only what is needed to
run; `part` adds a part of Python's library; `code` finishes a folder of our own modules.
"""

import argparse
import base64
import csv
import hashlib
import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

VENV = Path("/opt/venv")
SITE = VENV / "lib/python3.13/site-packages"
STANDARD_LIBRARY = Path("/usr/lib/python3.13")
LAYERS = Path("/layers")
# What every image loads; its bytecode is in the base. Each image adds that of what else it loads.
BASE_LOADS = "import csv, concurrent.futures.thread, multiprocessing.connection, stagekit, traceback"
# Packages that several stages install. Each is a layer of its own, which is the same in all stages: it has no bytecode,
# because each stage loads other modules of it. The bytecode is in the layer `wheels`.
SHARED = ("lightgbm", "narwhals", "numpy", "polars", "polars-runtime-32", "scipy")
# Parts of Python's library that the base leaves out, as few images need them: files below /usr/lib, Debian's package.
PARTS = {
    "sqlite3": (
        ("python3.13/sqlite3/*.py", "python3.13/lib-dynload/_sqlite3.*.so", "*-linux-gnu/libsqlite3.so.0*"),
        "libsqlite3-0",
    )
}
# Not needed to run: tests, and what only compilers and type checkers read.
TESTS = re.compile(r"(^|/)tests?/")
TIME_ZONES = "tzdata/zoneinfo/"  # zoneinfo reads those of the base
COMPILERS_ONLY = {".a", ".c", ".cc", ".cpp", ".f90", ".h", ".hpp", ".pxd", ".pxi", ".pyi", ".pyx", ".tp"}
LOADED = """
import json, sys
files = {getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}
print(json.dumps(sorted(name for name in files if name.endswith(".py"))))
"""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    if arguments.command == "wheels":
        make_wheel_layers(arguments)
    elif arguments.command == "part":
        make_part(arguments.name)
    else:
        finish_code(arguments.folder)
    return 0


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="layers", description="Make the layers of an image.")
    commands = parser.add_subparsers(dest="command", required=True)
    wheels = commands.add_parser("wheels", help="install a lock into /layers/wheels and one layer per shared package")
    wheels.add_argument("requirements", type=Path, help="the lock: every version with its hashes")
    wheels.add_argument("--shared", nargs="*", default=[], choices=SHARED, help="packages that get their own layer")
    wheels.add_argument(
        "--loads", default="", metavar="CODE", help="imports that must work, and whose modules get bytecode"
    )
    wheels.add_argument("--whole-bytecode", action="store_true", help="bytecode for every installed module")
    part = commands.add_parser("part", help="a part of Python's library that the base leaves out, into /layers/NAME")
    part.add_argument("name", choices=PARTS)
    code = commands.add_parser("code", help="bytecode and times for a folder of modules")
    code.add_argument("folder", type=Path, help="such as /layers/code")
    return parser.parse_args(argv)


def make_wheel_layers(arguments: argparse.Namespace) -> None:
    """Install, cut, check, and move each distribution into its layer."""
    requirements, shared = arguments.requirements, arguments.shared
    before = set(SITE.iterdir()) | set((VENV / "bin").iterdir())
    install(requirements)
    distributions = {normal_name(info): info for info in sorted(SITE.glob("*.dist-info")) if info not in before}
    shareable = {name for name in distributions if name in SHARED}
    if differing := sorted(shareable.symmetric_difference(shared)):
        raise SystemExit(
            f"error: {requirements.name} and --shared disagree about {', '.join(differing)}; "
            f"expected: --shared, and `COPY --from=build /layers/NAME/ /`, for what it locks of {', '.join(SHARED)}"
        )
    for info in distributions.values():
        prune(info)
    modules = modules_loaded_by(arguments.loads)
    if arguments.whole_bytecode:
        modules |= {path for info in distributions.values() for path in record_of(info) if path.suffix == ".py"}
    bytecode = [compile_module(path, path) for path in sorted(modules - modules_loaded_by(BASE_LOADS))]
    modules_loaded_by(arguments.loads)  # proves that it still works, cut and compiled
    for name, info in distributions.items():
        move(record_of(info), LAYERS / (name if name in shared else "wheels"))
    move(bytecode, LAYERS / "wheels")
    for layer in LAYERS.iterdir():
        fix_modes_and_times(layer)


def install(requirements: Path) -> None:
    """Install with uv: the every version and hash of the lock, wheels only, nothing that the lock does not name."""
    done = subprocess.run(
        ["uv", "pip", "install", "--python", VENV / "bin/python", "--require-hashes", "--only-binary", ":all:",
         "--no-deps", "--no-compile-bytecode", "--requirements", requirements],
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit("error: the lock could not be installed; what uv says is above")


def normal_name(info: Path) -> str:
    return re.sub(r"[-_.]+", "-", info.name.rpartition("-")[0].rpartition("-")[0]).lower()


def record_of(info: Path) -> list[Path]:
    """The files of an installed distribution."""
    with (info / "RECORD").open(newline="", encoding="utf-8") as file:
        return [Path(os.path.normpath(SITE / row[0])) for row in csv.reader(file) if row]


def prune(info: Path) -> None:
    """Remove what is not needed to run, and symbols that only debuggers read."""
    libraries = []
    for path in record_of(info):
        inside = os.path.relpath(path, SITE)
        if path.suffix in COMPILERS_ONLY or TESTS.search(inside) or inside.startswith(TIME_ZONES):
            path.unlink(missing_ok=True)
        elif ".so" in path.suffixes and path.read_bytes()[:4] == b"\x7fELF":
            libraries.append(path)
    if libraries:
        subprocess.run(["strip", "--strip-unneeded", *libraries], check=True)
    write_record(info)


def write_record(info: Path) -> None:
    """List in RECORD what is left: tools that list or verify an installation read it."""
    left = sorted(path for path in record_of(info) if path.exists())
    with (info / "RECORD").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        for path in left:
            digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
            itself = path == info / "RECORD"
            writer.writerow(
                [os.path.relpath(path, SITE), *(["", ""] if itself else [f"sha256={digest}", path.stat().st_size])]
            )


def modules_loaded_by(code: str) -> set[Path]:
    """The source files that running the code loads, in a process of its own."""
    run = subprocess.run(
        [VENV / "bin/python", "-c", code + LOADED], stdout=subprocess.PIPE, text=True, cwd="/", check=False
    )
    if run.returncode:
        raise SystemExit(f"error: what was installed does not work: {code!r} failed, its traceback is above")
    return {Path(name) for name in json.loads(run.stdout.splitlines()[-1])}


def compile_module(path: Path, final: Path) -> Path:
    """Put the bytecode of a module, that will be at `final`, beside it; returns its file.

    Python does not compare it with the source when it loads it (PEP 552), because nobody edits files of an image.
    """
    cached = py_compile.compile(
        str(path), dfile=str(final), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    return Path(str(cached))


def move(paths: Iterable[Path], layer: Path) -> None:
    """Move files into a layer, to the same path below it. A file that two distributions have is moved once."""
    for path in [path for path in paths if not below(layer, path).exists()]:
        target = below(layer, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)


def below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def make_part(name: str) -> None:
    """A part of Python's library, with the libraries that it loads and the record of where they come from."""
    patterns, package = PARTS[name]
    for path in [path for pattern in patterns for path in sorted(Path("/usr/lib").glob(pattern))]:
        target = below(LAYERS / name, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target, follow_symlinks=False)
    write_package_record(LAYERS / name, package)
    finish_code(LAYERS / name)


def write_package_record(root: Path, package: str) -> None:
    """Write the record from which scanners learn the package of these files, and keep its licence with them."""
    name = package.partition(":")[0]
    record, licence = root / "var/lib/dpkg/status.d" / name, Path("/usr/share/doc", name, "copyright").resolve()
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(
        subprocess.run(["dpkg-query", "--status", package], capture_output=True, text=True, check=True).stdout
    )
    if licence.exists() and not below(root, licence).exists():
        below(root, licence).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(licence, below(root, licence))


def finish_code(folder: Path) -> None:
    """Bytecode for each module of ours, at the place that it will have in the image."""
    for path in sorted(folder.rglob("*.py")):
        compile_module(path, Path("/") / path.relative_to(folder))
    fix_modes_and_times(folder)


def fix_modes_and_times(folder: Path) -> None:
    """Give all below a folder modes and times that do not depend on when and where the layer is made."""
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    for path in [*walk(folder), folder]:
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(path.stat().st_mode & 0o7000 | (0o755 if executable else 0o444))
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def walk(folder: Path) -> Iterator[Path]:
    """All below a folder, each folder after what is in it."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from walk(path)
        yield path


if __name__ == "__main__":
    sys.exit(main())
