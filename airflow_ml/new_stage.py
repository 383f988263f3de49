"""Makes a new stage that works: its folder, its lock, its tests, its image and its row in the README.

The stage is made whole or not at all; an existing stage is never touched.
Exit codes: 0 made; 1 it cannot be made, the message says why; 2 wrong usage.
"""

import argparse
import ast
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
from string import Template

from airflow_ml.common import ROOT, WRONG_USAGE, AirflowMlError, image_lock, try_docker, write_atomic
from airflow_ml.images.lock import write_lock
from airflow_ml.images.tags import image_folders, own_platform

TEMPLATES = Path(__file__).parent / "stage_template"
# A name is a folder, a Python module, an image and a row in a table.
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
LONGEST_NAME = 30
VERSION = r"\s*[<>=!~]=?\s*[\w.*]+"
LIBRARY = re.compile(rf"([A-Za-z0-9][A-Za-z0-9._-]*)(\[[\w,.-]+\])?({VERSION}(\s*,{VERSION})*)?")
TEMPLATE_LIBRARY = "tabulate"
# The modules beside the stage's own.
TAKEN = {"stagekit", "pytest", "conftest", "measure"}
# Room for the base, of about 40 MB, and a small library. A larger image gets a budget of its own.
BUDGET_MB, MB = 50, 1_000_000
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
OFFLINE = re.compile(r"Failed to fetch|error sending request|network was disabled|timed out", re.IGNORECASE)
WHAT = "measures how well each column is filled"
NEXT = Template("""
$name is a stage. It profiles raw/{ds}/data.csv until you change stages/$name: comments "Change here" show where.

  try it      docker run --rm -v data:/data $prefix$name --ds YYYY-MM-DD
  test it     ./airflow-ml test-stage $name
  build it    ./build_images.sh --stage $name
  in a Dag    stage("$name", [DS], task_id="$name", uses=[RAW], doc="Reads `raw/{ds}`. Writes `$name/{ds}`.")
  undo it     rm -r stages/$name tests/stages/$name, and its line in README.md
""")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", help="lower-case letters, digits and underscores, such as columns")
    parser.add_argument("--library", default=TEMPLATE_LIBRARY, help="what it brings (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Make the stage."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        make_stage(ROOT, arguments.name, arguments.library.strip())
    except KeyboardInterrupt:
        print("nothing was made", file=sys.stderr)
        raise
    return 0


def check_name(root: Path, name: str) -> None:
    """Errors: AirflowMlError for a name that cannot be a module and an image, or that is taken."""
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        could = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:LONGEST_NAME].rstrip("_")
        such = could if NAME.fullmatch(could) else "columns"
        raise AirflowMlError(
            f"{name!r} cannot be a stage's name",
            expected=f"lower-case letters, digits and single underscores, a letter first, {LONGEST_NAME} at most, "
            "because it names a Python module and an image",
            do=f"make stage NAME={such}",
            exit_code=WRONG_USAGE,
        )
    if keyword.iskeyword(name) or name in sys.stdlib_module_names or name in TAKEN:
        raise another_name(f"a module {name}.py would hide Python's, stagekit's or the stage's own {name}")
    if found := image_folders(root).get(name):
        raise another_name(f"{found.relative_to(root)} has the name {name} already")
    for folder in (root / "stages" / name, root / "tests/stages" / name):
        if folder.exists():
            raise another_name(f"{folder.relative_to(root)} exists and is not touched")


def another_name(found: str) -> AirflowMlError:
    """The error of a name that is taken."""
    return AirflowMlError(found, do="take another name", exit_code=WRONG_USAGE)


def package_of(requirement: str) -> str:
    """The package that a requirement names. Errors: AirflowMlError if it is none that can be locked."""
    match = LIBRARY.fullmatch(requirement)
    if not match:
        raise AirflowMlError(
            f"{requirement!r} is no package",
            expected="a name, such as jinja2, or 'jinja2>=3,<4'",
            exit_code=WRONG_USAGE,
        )
    return normal(match[1])


def normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def locked(folder: Path) -> dict[str, str]:
    """The lines of a lock, with their hashes, by package."""
    entries: dict[str, str] = {}
    package = ""
    for line in (folder / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            package = normal(line.partition("==")[0].partition("[")[0])
        if package:
            entries[package] = f"{entries.get(package, '')}{line}\n"
    return entries


def stage_folders(root: Path) -> list[Path]:
    return sorted(path.parent for path in root.glob("stages/*/Dockerfile"))


def compile_lock(root: Path, folder: Path) -> None:
    """Compile requirements.txt, in the versions of the other stages. Errors: AirflowMlError, after uv's own words."""
    command: list[str | Path] = [root / "airflow-ml", "lock", folder.relative_to(root)]
    done = subprocess.run(command, cwd=root, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise not_installed(done.stderr)


def not_installed(words: str) -> AirflowMlError:
    """What went wrong, after uv's own words."""
    print(words, file=sys.stderr)
    if OFFLINE.search(words):
        return AirflowMlError(
            "the package index cannot be reached, see uv's message above; nothing was made",
            do="check that this machine has a network",
        )
    return AirflowMlError(
        "the library cannot be installed, see uv's message above; nothing was made",
        expected="a library with a wheel for Python 3.13",
        do="name another LIBRARY or version",
    )


def import_name(root: Path, package: str, entry: str) -> str:
    """What Python imports a locked package as, read from its files; sklearn for scikit-learn.

    Errors: AirflowMlError if it has no wheel for the images, or no module.
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
            raise not_installed(done.stderr)
        code = [path for path in target.rglob("*") if path.suffix == ".py" or ".so" in path.suffixes]
        tops = [path.relative_to(target).parts for path in code]
    # A module is a file, sklearn.py or _sklearn.abi3.so, or a folder; scikit_learn.libs is none.
    names = {parts[0] if len(parts) > 1 else parts[0].partition(".")[0] for parts in tops}
    public = sorted(name for name in names if name.isidentifier() and not name.startswith(("_", "test")))
    if not public:
        raise AirflowMlError(f"{package} holds no Python module; nothing was made", expected="a library")
    return next((name for name in public if normal(name) == package), public[0])


def shared_packages(root: Path) -> list[str]:
    """The packages that have a layer of their own, in the order in which the other stages stack them."""
    module = ast.parse((root / "base-image/build/layers.py").read_text(encoding="utf-8"))
    known: tuple[str, ...] = next(
        ast.literal_eval(line.value)
        for line in module.body
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "SHARED"
    )
    stacks = [layers_of(folder / "Dockerfile") for folder in stage_folders(root)]
    stacked = [name for stack in sorted(stacks, key=len, reverse=True) for name in stack if name in known]
    return list(dict.fromkeys([*stacked, *known]))


def layers_of(dockerfile: Path) -> list[str]:
    """The layers that an image copies from its builder, lowest first."""
    start = "COPY --from=build /layers/"
    lines = dockerfile.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix(start).partition("/")[0] for line in lines if line.startswith(start)]


def render(template: str, values: Mapping[str, str]) -> str:
    """A template with its $words filled in."""
    return Template((TEMPLATES / f"{template}.template").read_text(encoding="utf-8")).substitute(values)


def write_stage(root: Path, name: str, package: str, module: str, shared: Sequence[str], budget: int) -> None:
    """Write the files of a stage whose lock is there already, and its tests."""
    values = {
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "module": module,
        "shared": f" --shared {' '.join(shared)}" if shared else "",
        "copies": "".join(f"COPY --from=build /layers/{package}/ /\n" for package in shared),
        "budget": str(budget),
    }
    if shared:
        why = (
            "# A package that other stages use too is a layer of its own, the same in all of them: it is stored once.\n"
        )
        values["copies"] = why + values["copies"]
    own = "tabulate" if package == TEMPLATE_LIBRARY else "library"
    values["as_markdown"] = render(f"markdown_with_{own}.py", values).rstrip("\n")
    folder, tests = root / "stages" / name, root / "tests/stages" / name
    for path, template in [
        (folder / "Dockerfile", "Dockerfile"),
        (folder / "README.md", "README.md"),
        (folder / f"{name}.py", "stage.py"),
        (folder / "measure.py", "measure.py"),
        (tests / f"test_{name}.py", "test_stage.py"),
    ]:
        path.write_text(render(template, values), encoding="utf-8")


def build_image(root: Path, name: str) -> tuple[str, int]:
    """Build the stage's image; returns its name and its bytes. Errors: AirflowMlError, after the build's own words."""
    if subprocess.run([root / "build_images.sh", "--stage", name], cwd=root, check=False).returncode:
        raise AirflowMlError(f"the image of {name} was not built, see above; nothing was made")
    entry = image_lock(root)[name]
    return entry["image"], int(entry["size"])


def forget_image(root: Path, name: str) -> None:
    """Remove what a build made for a stage that is not made."""
    entries = image_lock(root)
    if entry := entries.pop(name, None):
        try_docker("image", "rm", entry["image"], f"{entry['name']}:latest")
        write_lock(root, entries)


def with_row(readme: str, name: str, library: str, size_mb: int) -> str:
    """The README with one more row in its table of stages. Errors: AirflowMlError if it has no such table."""
    lines = readme.splitlines(keepends=True)
    rows = [number for number, line in enumerate(lines) if line.startswith("| [") and "](stages/" in line]
    if not rows:
        raise AirflowMlError("README.md has no table of stages", expected="rows such as | [name](stages/name) | ... |")
    row = f"| [{name}](stages/{name}) | {WHAT} | {library} | {size_mb} MB |\n"
    return "".join([*lines[: rows[-1] + 1], row, *lines[rows[-1] + 1 :]])


def make_stage(root: Path, name: str, requirement: str) -> None:
    """Make a stage; if a step fails, everything that was made before is removed.

    Errors: AirflowMlError, which says what was found, what was expected, what to do.
    """
    check_name(root, name)
    package = package_of(requirement)
    readme = root / "README.md"
    with_row(readme.read_text(encoding="utf-8"), name, package, 0)  # fails before the work if there is no table
    for script in ("ensure_engine.sh", "ensure_images.sh", "ensure_venv.sh"):
        if subprocess.run([root / "setup" / script], check=False).returncode:
            raise AirflowMlError(f"setup/{script} failed, see above; nothing was made")
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
            raise another_name(f"a module {name}.py would hide the library {name}")
        shared = [package for package in shared_packages(root) if package in entries]
        write_stage(root, name, package, module, shared, BUDGET_MB)
        undo.callback(forget_image, root, name)
        image, size = build_image(root, name)
        if size > BUDGET_MB * MB:
            # A little room, for Debian's packages and the library's next version.
            write_stage(root, name, package, module, shared, math.ceil(size * 1.03 / (10 * MB)) * 10)
            larger, (image, size) = image, build_image(root, name)
            try_docker("image", "rm", larger)
        write_atomic(readme, with_row(readme.read_text(encoding="utf-8"), name, package, round(size / MB)))
        undo.pop_all()
    show_next(root, name, set(entries) - set(shared_packages(root)), image)


def show_next(root: Path, name: str, own: set[str], image: str) -> None:
    """Print what to do next, and which of the stage's packages another stage stores too."""
    print(NEXT.substitute(name=name, prefix=image.rpartition(":")[0].removesuffix(name)))
    for other in stage_folders(root):
        if other.name != name and (both := sorted(own & set(locked(other)))):
            print(f"{', '.join(both)}: in {other.name}'s image too; a package larger than 1 MB gets a layer that both")
            print("share if SHARED in base-image/build/layers.py and both Dockerfiles name it (see training's).")
