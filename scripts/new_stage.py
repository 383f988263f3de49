"""Makes a new stage that works at once: its folder, its lock, its tests, its image and its row in the README.

`make stage NAME=columns` runs it. What it makes is made whole or not at all; a stage that is there is never touched.
"""

import argparse
import keyword
import math
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from airflow_ml.common import ROOT, image_lock, try_docker, write_atomic
from airflow_ml.common import AirflowMlError as Failure
from airflow_ml.images.lock import write_lock
from airflow_ml.images.tags import image_folders, own_platform

TEMPLATES = Path(__file__).parent / "templates" / "stage"
# A name is a folder, a Python module, an image and a row in a table.
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
LONGEST_NAME = 30
VERSION = r"\s*[<>=!~]=?\s*[\w.*]+"
LIBRARY = re.compile(rf"([A-Za-z0-9][A-Za-z0-9._-]*)(\[[\w,.-]+\])?({VERSION}(\s*,{VERSION})*)?")
TEMPLATE_LIBRARY = "tabulate"
# Room for the base, of about 40 MB, and a small library. A larger image gets a budget of its own.
BUDGET_MB, MB = 50, 1_000_000
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
OFFLINE = re.compile(r"Failed to fetch|error sending request|network was disabled|timed out", re.IGNORECASE)
NEXT = """
{name} is a stage. It profiles raw/{{ds}}/data.csv until you change it: stages/{name}/{name}.py says where.

  try it      docker run --rm -v data:/data {prefix}{name} --ds YYYY-MM-DD
  test it     ./airflow-ml test-stage {name}
  build it    ./build_images.sh --stage {name}
  in a Dag    stage("{name}", [DS], task_id="{name}", uses=[RAW], doc="Reads `raw/{{ds}}`. Writes `{name}/{{ds}}`.")
  undo it     rm -r stages/{name} tests/stages/{name}, and its lines in README.md and pyproject.toml
"""


def check_name(root: Path, name: str) -> None:
    """Errors: Failure for a name that cannot be a module and an image, or that something else has."""
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        could = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:LONGEST_NAME].rstrip("_")
        such = could if NAME.fullmatch(could) else "columns"
        raise Failure(
            f"{name!r} cannot be a stage's name; expected: lower-case letters, digits and single underscores, a letter "
            f"first, {LONGEST_NAME} at most, as it names a Python module and an image; do: make stage NAME={such}"
        )
    if keyword.iskeyword(name) or name in sys.stdlib_module_names or name in {"stagekit", "pytest", "conftest"}:
        raise Failure(f"a module {name}.py would hide Python's or stagekit's own {name}; do: take another name")
    scripts = [*root.glob("scripts/*.py"), *(path.parent for path in root.glob("scripts/*/__init__.py"))]
    others = {**image_folders(root), **{path.stem: path for path in scripts}}
    if name in others:
        raise Failure(f"{others[name].relative_to(root)} has the name {name} already; do: take another name")
    for folder in (root / "stages" / name, root / "tests/stages" / name):
        if folder.exists():
            raise Failure(f"{folder.relative_to(root)} is there already and stays as it is; do: take another name")


def package_of(requirement: str) -> str:
    """The package that a requirement names. Errors: Failure where it is none that can be locked."""
    match = LIBRARY.fullmatch(requirement)
    if not match:
        raise Failure(f"{requirement!r} is no package; expected: a name, such as jinja2, or 'jinja2>=3,<4'")
    return normal(match[1])


def normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def locked(folder: Path) -> dict[str, str]:
    """The entries of a lock, each with its hashes, by package."""
    entries = re.split(r"\n(?=\w)", (folder / "requirements.txt").read_text(encoding="utf-8"))
    return {normal(re.split(r"[\[=]", entry, maxsplit=1)[0]): entry for entry in entries if "==" in entry}


def stage_folders(root: Path) -> list[Path]:
    return sorted(path.parent for path in root.glob("stages/*/Dockerfile"))


def compile_lock(root: Path, folder: Path) -> None:
    """Compile requirements.txt, in the versions that the other stages have. Errors: Failure, after what uv says."""
    command: list[str | Path] = [root / "airflow-ml", "lock", folder.relative_to(root)]
    done = subprocess.run(command, cwd=root, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise Failure(f"{why_not_installed(done.stderr)}; nothing was made")


def why_not_installed(said: str) -> str:
    print(said, file=sys.stderr)
    if OFFLINE.search(said):
        return "the package index cannot be reached, uv says how above; do: see that this machine has a network"
    return "the library cannot be locked, uv says why above; do: name another LIBRARY or version"


def import_name(root: Path, package: str, entry: str) -> str:
    """What Python imports a locked package as, read from its files; sklearn for scikit-learn.

    Errors: Failure where it has no wheel for the images, or no module.
    """
    platform = f"{MACHINES.get(own_platform().split('/')[1], 'x86_64')}-manylinux_2_40"
    with tempfile.TemporaryDirectory() as scratch:
        lock, target = Path(scratch) / "requirements.txt", Path(scratch) / "target"
        lock.write_text(entry, encoding="utf-8")
        command: list[str | Path] = [root / ".venv/bin/uv", "pip", "install", "--quiet", "--no-deps"]
        command += ["--python", root / ".venv/bin/python", "--python-version", "3.13", "--python-platform", platform]
        command += ["--only-binary", ":all:", "--require-hashes", "--target", target, "--requirements", lock]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise Failure(f"{why_not_installed(done.stderr)}; expected: a wheel for Python 3.13; nothing was made")
        code = [path for path in target.rglob("*") if path.suffix == ".py" or ".so" in path.suffixes]
        tops = [path.relative_to(target).parts for path in code]
    # A module is a file, sklearn.py or _sklearn.abi3.so, or a folder; scikit_learn.libs is none.
    names = {parts[0] if len(parts) > 1 else parts[0].partition(".")[0] for parts in tops}
    public = sorted(name for name in names if name.isidentifier() and not name.startswith(("_", "test")))
    if not public:
        raise Failure(f"{package} holds no Python module; expected: a library; nothing was made")
    return next((name for name in public if normal(name) == package), public[0])


def shared_packages(root: Path) -> list[str]:
    """The packages that have a layer of their own, in the order in which the other stages stack them."""
    text = (root / "base-image/build/layers.py").read_text(encoding="utf-8")
    line = re.search(r"^SHARED = \((.*)\)$", text, re.MULTILINE)
    known = re.findall(r'"([\w-]+)"', line[1]) if line else []
    dockerfiles = [(folder / "Dockerfile").read_text(encoding="utf-8") for folder in stage_folders(root)]
    stacks = [re.findall(r"^COPY --from=build /layers/([\w-]+)/ /$", text, re.MULTILINE) for text in dockerfiles]
    order = [name for name in max(stacks, key=len, default=[]) if name in known]
    return [*order, *(name for name in known if name not in order)]


def render(template: str, values: Mapping[str, str]) -> str:
    """A template with each @word@ replaced by its value."""
    text = (TEMPLATES / f"{template}.template").read_text(encoding="utf-8")
    return re.sub(r"@(\w+)@", lambda match: values[match[1]], text)


def write_stage(root: Path, name: str, package: str, module: str, shared: Sequence[str], budget: int) -> None:
    """Write the files of a stage whose lock is there already, and its tests."""
    values = {
        "name": name,
        "Name": name.replace("_", " ").capitalize(),
        "module": module,
        "shared": f" --shared {' '.join(shared)}" if shared else "",
        "copies": "".join(f"COPY --from=build /layers/{package}/ /\n" for package in shared),
        "budget": str(budget),
    }
    if shared:
        why = "# What other stages use too is a layer of its own, the same in all of them, so it is stored once.\n"
        values["copies"] = why + values["copies"]
    own = "tabulate" if package == TEMPLATE_LIBRARY else "library"
    values["as_markdown"] = render(f"markdown_with_{own}.py", values).rstrip("\n")
    folder, tests = root / "stages" / name, root / "tests/stages" / name
    for path, template in [
        (folder / "Dockerfile", "Dockerfile"),
        (folder / "README.md", "README.md"),
        (folder / f"{name}.py", "stage.py"),
        (tests / f"test_{name}.py", "test_stage.py"),
    ]:
        path.write_text(render(template, values), encoding="utf-8")


def build_image(root: Path, name: str) -> tuple[str, int]:
    """Build the stage's image; returns its name and its size in bytes. Errors: Failure, after the build's own words."""
    if subprocess.run([root / "build_images.sh", "--stage", name], cwd=root, check=False).returncode:
        raise Failure(f"the image of {name} was not built, see above why; nothing was made")
    entry = image_lock(root)[name]
    return entry["image"], int(entry["size"])


def forget_image(root: Path, name: str) -> None:
    """Remove what a build left of a stage that is not made after all."""
    entries = image_lock(root)
    if entry := entries.pop(name, None):
        try_docker("image", "rm", entry["image"], f"{entry['name']}:latest")
        write_lock(root, entries)


def with_row(readme: str, name: str, library: str, size_mb: int) -> str:
    """The README with a row more in its table of stages. Errors: Failure where there is none."""
    rows = list(re.finditer(r"^\| \[\w+\]\(stages/\w+\) \|.*\n", readme, re.MULTILINE))
    if not rows:
        raise Failure("README.md has no table of stages; expected: rows such as | [name](stages/name) | ... |")
    row = f"| [{name}](stages/{name}) | tells how well each column is filled | {library} | {size_mb} MB |\n"
    return f"{readme[: rows[-1].end()]}{row}{readme[rows[-1].end() :]}"


def with_module(pyproject: str, module: str) -> str:
    """pyproject.toml with a library more that the type checker does not look into: the tests do not install it."""
    found = re.search(r"^module = \[(?:[^]]*)\]$", pyproject, re.MULTILINE)
    if not found or '"docker.*"' not in found[0]:
        raise Failure('pyproject.toml has no list of libraries for mypy; expected: module = [..., "docker.*"]')
    if f'"{module}.*"' in found[0]:
        return pyproject
    listed = found[0][:-1].rstrip().rstrip(",")
    end = ",\n]" if "\n" in found[0] else "]"
    return f'{pyproject[: found.start()]}{listed}, "{module}.*"{end}{pyproject[found.end() :]}'


def edit(path: Path, text: str, undo: ExitStack) -> None:
    undo.callback(write_atomic, path, path.read_text(encoding="utf-8"), 0o644)
    write_atomic(path, text, 0o644)


def make_stage(root: Path, name: str, requirement: str) -> None:
    """Make a stage; what fails on the way takes away all that was made before.

    Errors: Failure, which says what was found, what was expected, what to do.
    """
    check_name(root, name)
    package = package_of(requirement)
    readme, pyproject = root / "README.md", root / "pyproject.toml"
    with_row(readme.read_text(encoding="utf-8"), name, package, 0)  # that they can be edited is known before the work
    with_module(pyproject.read_text(encoding="utf-8"), package)
    for script in ("ensure_engine.sh", "ensure_images.sh", "ensure_venv.sh"):
        if subprocess.run([root / "setup" / script], check=False).returncode:
            raise Failure(f"setup/{script} failed, see above; nothing was made")
    with ExitStack() as undo:
        folder = root / "stages" / name
        for made in (folder, root / "tests/stages" / name):
            made.mkdir()
            undo.callback(shutil.rmtree, made)
        (folder / "requirements.in").write_text(f"{requirement}\n", encoding="utf-8")
        compile_lock(root, folder)
        entries = locked(folder)
        module = import_name(root, package, entries[package])
        if name in {module, *(entry.replace("-", "_") for entry in entries)}:
            raise Failure(f"a module {name}.py would hide the library {name}; do: take another name")
        shared = [package for package in shared_packages(root) if package in entries]
        write_stage(root, name, package, module, shared, BUDGET_MB)
        undo.callback(forget_image, root, name)
        image, size = build_image(root, name)
        if size > BUDGET_MB * MB:
            # A little room, for Debian's packages and the library's next version.
            write_stage(root, name, package, module, shared, math.ceil(size * 1.03 / (10 * MB)) * 10)
            larger, (image, size) = image, build_image(root, name)
            try_docker("image", "rm", larger)
        edit(pyproject, with_module(pyproject.read_text(encoding="utf-8"), module), undo)
        edit(readme, with_row(readme.read_text(encoding="utf-8"), name, package, round(size / MB)), undo)
        undo.pop_all()
    tell(root, name, set(entries) - set(shared_packages(root)), image)


def tell(root: Path, name: str, own: set[str], image: str) -> None:
    """What to do next, and which of the stage's packages another stage stores too."""
    print(NEXT.format(name=name, prefix=image.rpartition(":")[0].removesuffix(name)))
    for other in stage_folders(root):
        if other.name != name and (both := sorted(own & set(locked(other)))):
            print(f"{', '.join(both)}: in {other.name}'s image too; what is larger than 1 MB gets a layer that both")
            print("share once SHARED in base-image/build/layers.py and both Dockerfiles name it (see training's).")


def main(argv: Sequence[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="new_stage.py", description="Make a new stage that works at once.")
    parser.add_argument("name", help="lower-case letters, digits and underscores, such as columns")
    parser.add_argument("--library", default=TEMPLATE_LIBRARY, help="what it brings (default: %(default)s)")
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        make_stage(root, arguments.name, arguments.library.strip())
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing was made", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
