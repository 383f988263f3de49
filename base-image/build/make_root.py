"""Gathers the base's root file system: Python, the libraries it loads, an init, certificates, time zones. No shell.

Run in the builder. Everything is copied from installed Debian packages. For each package that a copied file comes from,
/var/lib/dpkg/status.d has a record, where scanners look in images without a package manager.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from layers import (
    BASE_LOADS,
    LAYERS,
    PARTS,
    SITE,
    STANDARD_LIBRARY,
    VENV,
    below,
    compile_module,
    finish_code,
    fix_modes_and_times,
    modules_loaded_by,
    write_package_record,
)

PYTHON = Path("/usr/bin/python3.13")
# The libraries are what wheels expect of a system (PEP 599's list, without windows): OpenMP, C++, the parts of glibc.
PROGRAMS = (PYTHON, Path("/usr/bin/tini"))
LIBRARIES = (
    *("libgomp.so.1", "libstdc++.so.6", "libgcc_s.so.1"),
    *("libdl.so.2", "libm.so.6", "libpthread.so.0", "libresolv.so.2", "librt.so.1", "libutil.so.1"),
)
PLAIN = ("/etc/ssl/certs/ca-certificates.crt", "/etc/debian_version", "/usr/lib/os-release")
FOR_EVERYBODY = ("tmp", "var/tmp")
ZONEINFO = Path("/usr/share/zoneinfo")
LINKS = {
    "bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "sbin": "usr/sbin",
    "etc/os-release": "../usr/lib/os-release", "usr/bin/python3": "python3.13", "usr/bin/python": "python3",
    "etc/localtime": "/usr/share/zoneinfo/Etc/UTC",
}  # fmt: skip
FILES = {
    "etc/passwd": "root:x:0:0:root:/:/nonexistent\nstage:x:10001:10001:stage:/tmp:/nonexistent\n",
    "etc/group": "root:x:0:\nstage:x:10001:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}
# Not copied from Python's library: its tests, what draws windows or edits lines on a terminal, what installs packages,
# and Python versions of modules that also exist in C. Neither are PARTS.
NOT_SHIPPED = {
    *("test", "idlelib", "tkinter", "turtledemo", "turtle.py", "pydoc_data", "_pyrepl", "ensurepip", "lib2to3", "venv"),
    *("sitecustomize.py", "dist-packages", "wsgiref", "xmlrpc", "LICENSE.txt", "EXTERNALLY-MANAGED"),
    *("_pydecimal.py", "_pyio.py", "_pydatetime.py"),
}
NOT_SHIPPED_MODULES = re.compile(
    r"_sqlite3|_test|_xxtest|xxlimited|xxsubtype|_curses|readline|_dbm|_gdbm|_tkinter|_ctypes_test"
)


def main() -> int:
    """Make the layers `system`, `stagekit` and `debug` below /layers."""
    system = LAYERS / "system"
    packages = {"ca-certificates", *(package_of(path) for path in sorted(gather(system)))}
    for package in sorted(name for name in packages if name):
        write_package_record(system, package)
    subprocess.run(["/sbin/ldconfig", "-X", "-r", system], check=True)
    shutil.rmtree(system / "var/cache", ignore_errors=True)
    for module in sorted(modules_loaded_by(BASE_LOADS)):
        if module.is_relative_to(STANDARD_LIBRARY) and below(system, module).exists():
            compile_module(below(system, module), module)
    shutil.copytree(VENV, below(system, VENV), symlinks=True, ignore=shutil.ignore_patterns("stagekit", "__pycache__"))
    fix_modes_and_times(system)
    for folder in FOR_EVERYBODY:
        (system / folder).chmod(0o1777)
    shutil.copytree(SITE / "stagekit", below(LAYERS / "stagekit", SITE / "stagekit"))
    finish_code(LAYERS / "stagekit")
    make_debug(LAYERS / "debug")
    return 0


def make_debug(layer: Path) -> None:
    """Add a shell and its tools, all of which are one program, in a folder of their own."""
    folder = layer / "busybox"
    folder.mkdir(parents=True)
    shutil.copy2("/bin/busybox", folder / "busybox")
    for name in subprocess.run(
        [folder / "busybox", "--list"], capture_output=True, text=True, check=True
    ).stdout.split():
        if name != "busybox":
            (folder / name).symlink_to("busybox")
    fix_modes_and_times(layer)


def gather(root: Path) -> set[Path]:
    """Copy everything below `root`; returns what was copied, by its path in the builder."""
    for folder in ("usr/bin", "usr/sbin", "usr/lib64", "etc", "tmp", "data", "run", "proc", "sys", "dev", "var/tmp"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    shutil.chown(root / "data", 10001, 10001)
    for link, target in LINKS.items():
        (root / link).symlink_to(target)
    for file, text in FILES.items():
        (root / file).write_text(text)
    copied = set(standard_library()) | set(zones()) | {Path(path) for path in PLAIN} | set(PROGRAMS)
    programs = [path for path in copied if path in PROGRAMS or path.suffix == ".so"]
    copied |= libraries_of(programs)
    for path in copied:
        copy_to(root, path)
    return copied


def standard_library() -> Iterator[Path]:
    """The files of Python's library that are shipped."""
    for path in sorted(STANDARD_LIBRARY.rglob("*")):
        parts = path.relative_to(STANDARD_LIBRARY).parts
        left_out = parts[0] in {*NOT_SHIPPED, *PARTS} or "__pycache__" in parts or NOT_SHIPPED_MODULES.match(path.name)
        if path.is_file() and not left_out:
            yield path
    yield from (STANDARD_LIBRARY / "_pyrepl" / name for name in ("__init__.py", "pager.py"))  # pydoc imports these


def zones() -> Iterator[Path]:
    """The time zones, once: not with leap seconds, not under their POSIX names."""
    for path in sorted(ZONEINFO.rglob("*")):
        if path.is_file() and path.relative_to(ZONEINFO).parts[0] not in ("right", "posix", "leap-seconds.list"):
            yield path


def libraries_of(programs: Iterable[Path]) -> set[Path]:
    """The shared libraries that programs load, directly or through another library."""
    cache = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    known = {words[0]: Path(words[-1]) for line in cache.splitlines()[1:] if (words := line.split())}
    wanted = [known[name] for name in LIBRARIES if name in known]
    if len(wanted) != len(LIBRARIES):
        raise SystemExit(f"found {wanted}, expected the libraries {', '.join(LIBRARIES)}")
    found = set(wanted)
    listed = subprocess.run(["ldd", *programs, *wanted], capture_output=True, text=True, check=True).stdout
    for line in listed.splitlines():
        if "not found" in line:
            raise SystemExit(f"a library is missing: {line.strip()}")
        if match := re.search(r"(/\S+) \(0x", line):
            found.add(Path(match[1]))
    return {real_folder(path) for path in found}


def real_folder(path: Path) -> Path:
    """The path with the links of its folder followed (/lib is /usr/lib); the file's own name stays."""
    return path.parent.resolve() / path.name


def copy_to(root: Path, path: Path) -> None:
    """Copy a file. A link is copied as a link, together with its target."""
    target = below(root, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() or target.is_symlink():
        return
    if path.is_symlink() and not path.readlink().is_absolute():
        target.symlink_to(path.readlink())
        copy_to(root, real_folder(path.parent / path.readlink()))
    else:
        shutil.copy2(path.resolve(), target)


def package_of(path: Path) -> str | None:
    """The Debian package that a file comes from; None for a file that a package's script wrote."""
    names = {str(path), str(path.resolve()), str(path.resolve()).removeprefix("/usr")}
    for name in sorted(names, reverse=True):
        if name in owners():
            return owners()[name]
    return None


@cache
def owners() -> dict[str, str]:
    """Every installed file and its package."""
    found: dict[str, str] = {}
    for listing in sorted(Path("/var/lib/dpkg/info").glob("*.list")):
        for line in listing.read_text().splitlines():
            found.setdefault(line, listing.stem)
    return found


if __name__ == "__main__":
    sys.exit(main())
