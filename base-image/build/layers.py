"""Makes the layers of an image in its builder: each a folder below /layers that the image copies, the same bytes
whenever it is made from the same content.

`wheels` installs a lock and keeps only what is needed to run; `code` finishes a folder of our own modules.
"""

import argparse
import ast
import base64
import csv
import hashlib
import importlib.util
import json
import marshal
import os
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
# What several stages install is a layer of its own, the same in all of them: without bytecode, as each loads other
# modules of it. Bytecode is in the layer `wheels`.
SHARED = ("narwhals", "numpy", "scipy")
# Not needed to run: tests, and what only compilers and type checkers read.
TEST_FOLDERS = {"tests", "test"}
COMPILERS_ONLY = {".a", ".c", ".cc", ".cpp", ".f90", ".h", ".hpp", ".pxd", ".pxi", ".pyi", ".pyx"}
WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
UNCHECKED = (0b01).to_bytes(4, "little")  # flags of a bytecode file: by hash, which is not compared
LOADED = """
import json, sys
files = {getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}
print(json.dumps(sorted(name for name in files if name.endswith(".py"))))
"""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    if arguments.command == "wheels":
        make_wheel_layers(arguments)
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
    wheels.add_argument(
        "--no-docstrings", nargs="*", default=[], metavar="PACKAGE", help="import packages that work without docstrings"
    )
    code = commands.add_parser("code", help="bytecode and times for a folder of modules")
    code.add_argument("folder", type=Path, help="such as /layers/code")
    return parser.parse_args(argv)


def make_wheel_layers(arguments: argparse.Namespace) -> None:
    """Install, cut, check, and move each distribution into its layer."""
    requirements, shared = arguments.requirements, arguments.shared
    before = set(SITE.iterdir()) | set((VENV / "bin").iterdir())
    install(requirements)
    distributions = {normal_name(info): info for info in sorted(SITE.glob("*.dist-info")) if info not in before}
    if left_over := sorted(set(distributions) & set(SHARED) ^ set(shared)):
        raise SystemExit(
            f"error: {requirements.name} and --shared disagree about {', '.join(left_over)}; "
            f"expected: --shared, and `COPY --from=build /layers/NAME/ /`, for what it locks of {', '.join(SHARED)}"
        )
    for info in distributions.values():
        prune(info)
    modules = modules_loaded_by(arguments.loads)
    if arguments.whole_bytecode:
        modules |= {path for info in distributions.values() for path in record_of(info) if path.suffix == ".py"}
    plain = tuple(SITE / name for name in arguments.no_docstrings)
    bytecode = [
        compile_module(path, path, docstrings=not any(map(path.is_relative_to, plain)))
        for path in sorted(modules - modules_loaded_by(BASE_LOADS))
    ]
    modules_loaded_by(arguments.loads)  # cut and compiled, it still works
    for name, info in distributions.items():
        move(record_of(info), LAYERS / (name if name in shared else "wheels"))
    move(bytecode, LAYERS / "wheels")
    for layer in LAYERS.iterdir():
        settle(layer)


def install(requirements: Path) -> None:
    """Install with uv: the lock is law, every hash required, wheels only."""
    subprocess.run(
        ["uv", "pip", "install", "--python", VENV / "bin/python", "--require-hashes", "--only-binary", ":all:",
         "--no-compile-bytecode", "--requirements", requirements],
        check=True,
    )  # fmt: skip


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
        inside = path.relative_to(SITE).parts if path.is_relative_to(SITE) else ()
        if path.suffix in COMPILERS_ONLY or TEST_FOLDERS & set(inside[:-1]):
            path.unlink(missing_ok=True)
        elif ".so" in path.suffixes and path.read_bytes()[:4] == b"\x7fELF":
            libraries.append(path)
    if libraries:
        subprocess.run(["strip", "--strip-unneeded", *libraries], check=True)
    write_record(info)


def write_record(info: Path) -> None:
    """Make RECORD tell what is left: tools that list or verify an installation read it."""
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


def compile_module(path: Path, final: Path, *, docstrings: bool = True) -> Path:
    """Put the bytecode of a module, that will be at `final`, beside it; returns its file.

    Without docstrings it is about half as large; help() then reads nothing, tracebacks read the source as ever. It is
    not compared with the source when loaded (PEP 552): nothing in an image is edited.
    """
    source = path.read_bytes()
    code = compile(source if docstrings else without_docstrings(source), final, "exec", dont_inherit=True, optimize=0)
    cached = Path(importlib.util.cache_from_source(str(path)))
    cached.parent.mkdir(exist_ok=True)
    cached.write_bytes(
        importlib.util.MAGIC_NUMBER + UNCHECKED + importlib.util.source_hash(source) + marshal.dumps(code)
    )
    return cached


def without_docstrings(source: bytes) -> ast.Module:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, WITH_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
            node.body[:1] = [] if len(node.body) > 1 else [ast.copy_location(ast.Pass(), node.body[0])]
    return tree


def move(paths: Iterable[Path], layer: Path) -> None:
    """Move files into a layer, at the same place below it."""
    for path in list(paths):
        target = below(layer, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)


def below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def finish_code(folder: Path) -> None:
    """Bytecode for each module of ours, at the place that it will have in the image."""
    for path in sorted(folder.rglob("*.py")):
        compile_module(path, Path("/") / path.relative_to(folder))
    settle(folder)


def settle(folder: Path) -> None:
    """Modes and times that do not depend on when and where the layer is made."""
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
