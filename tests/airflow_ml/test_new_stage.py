"""`make stage` without an engine: names that it refuses, what a failure leaves, and code that keeps the house rules."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from airflow_ml import new_stage
from airflow_ml.common import ROOT
from airflow_ml.common import AirflowMlError as AirflowMlError

from tests.harness import PATIENCE_S
from tests.image_tree import make_tree

README = "| stage |\n|---|\n| [one](stages/one) | does one | a | 1 MB |\n\n## More\n"
PASS, FAIL = "#!/bin/sh\nexit 0\n", "#!/bin/sh\nexit 1\n"
# In the place of uv: "installs" what the test says, and of the build: the image lock's entry of a built image.
LOCK = "#!/bin/sh\nprintf 'jinja2==3.1 \\\\\\n    --hash=sha256:0\\n' > \"$2/requirements.txt\"\n"
UV = """#!/bin/sh
while [ "$1" != --target ]; do shift; done
for file in {files}; do mkdir -p "$2/$(dirname "$file")"; : > "$2/$file"; done
"""
BUILD = "#!/bin/sh\ncp dags/built.json dags/images.lock.json\n"
MB = 1_000_000


def write_script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def set_image(root: Path, megabytes: float) -> None:
    """What the next build gives."""
    entry = {"image": "h:1", "name": "h", "id": "x", "size": int(megabytes * MB)}
    (root / "dags/built.json").write_text(json.dumps({"version": 1, "images": {"columns": entry}}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout in which every part of the work succeeds at once, without network and engine."""
    root = make_tree(tmp_path / "checkout")
    for folder in ("dags", "tests/stages"):
        (root / folder).mkdir(parents=True)
    (root / "base-image/build").mkdir()
    (root / "base-image/build/layers.py").write_text('SHARED = ("narwhals", "numpy")\n')
    (root / "README.md").write_text(README)
    for name in ("ensure_engine.sh", "ensure_images.sh", "ensure_venv.sh"):
        write_script(root / "setup" / name, PASS)
    write_script(root / "airflow-ml", LOCK)
    write_script(root / ".venv/bin/uv", UV.format(files="jinja2/__init__.py"))
    write_script(root / "build_images.sh", BUILD)
    set_image(root, 40)
    return root


def files_of(root: Path) -> dict[str, str]:
    """All that lies in a checkout but the image lock."""
    found = sorted(path for path in root.rglob("*") if path.name != "images.lock.json")
    return {str(path.relative_to(root)): path.read_text() if path.is_file() else "" for path in found}


def refused(root: Path, name: str, library: str = "jinja2") -> str:
    """The message; the checkout has not changed, and the image lock knows no such stage."""
    before = files_of(root)
    with pytest.raises(AirflowMlError) as failure:
        new_stage.make_stage(root, name, library)
    assert files_of(root) == before
    lock = root / "dags/images.lock.json"
    assert not lock.exists() or "columns" not in json.loads(lock.read_text())["images"]
    return str(failure.value)


@pytest.mark.parametrize(
    ("name", "could"),
    [
        ("my-columns", "my_columns"),
        ("Columns", "columns"),
        ("my columns!", "my_columns"),
        ("a__b", "a_b"),
        ("../../etc", "etc"),
        ("2days", "columns"),
        ("_columns", "columns"),
        ("", "columns"),
        ("r" * 31, "r" * 30),
    ],
)
def test_name_that_cannot_be_a_module_and_an_image_is_refused_with_one_that_can(
    root: Path, name: str, could: str
) -> None:
    message = refused(root, name)
    assert f"{name!r} cannot be a stage's name\n       expected: lower-case letters" in message
    assert message.endswith(f"do: make stage NAME={could}")


@pytest.mark.parametrize("name", ["json", "import", "stagekit", "csv", "jinja2", "measure"])
def test_name_that_would_hide_another_module_is_refused(root: Path, name: str) -> None:
    assert f"a module {name}.py would hide" in refused(root, name)


@pytest.mark.parametrize(("name", "who"), [("one", "stages/one"), ("three", "services/three"), ("base", "base-image")])
def test_name_of_another_image_is_refused(root: Path, name: str, who: str) -> None:
    assert f"{who} has the name {name} already" in refused(root, name)


@pytest.mark.parametrize("folder", ["stages/columns", "tests/stages/columns"])
def test_folder_that_is_there_stays_as_it_is(root: Path, folder: str) -> None:
    (root / folder).mkdir()
    (root / folder / "mine.py").write_text("mine\n")
    assert f"{folder} exists and is not touched" in refused(root, "columns")


@pytest.mark.parametrize("library", ["", "-r x.txt", "https://host/x.whl", "./x", "a b", "a; rm", "a @ file:///x"])
def test_library_that_is_no_package_is_refused(root: Path, library: str) -> None:
    assert f"{library!r} is no package" in refused(root, "columns", library)


@pytest.mark.parametrize("library", ["jinja2", "Jinja2>=3,<4", "jinja2[i18n]", "jinja2 == 3.*", "jinja2~=3.1"])
def test_library_may_name_extras_and_versions(root: Path, library: str) -> None:
    new_stage.make_stage(root, "columns", library)
    assert (root / "stages/columns/requirements.in").read_text() == f"{library}\n"


@pytest.mark.parametrize(
    "script",
    ["setup/ensure_engine.sh", "setup/ensure_venv.sh", "airflow-ml", ".venv/bin/uv", "build_images.sh"],
)
def test_whatever_fails_leaves_nothing(root: Path, script: str) -> None:
    write_script(root / script, FAIL)
    assert "nothing was made" in refused(root, "columns")


def test_readme_without_a_table_of_stages_is_named_first(root: Path) -> None:
    (root / "README.md").write_text("other\n")
    write_script(root / "setup/ensure_engine.sh", FAIL)  # would be next
    assert "no table of stages" in refused(root, "columns")


def test_second_build_that_fails_takes_back_the_first(root: Path) -> None:
    """The first gives the size; with the budget in the Dockerfile it is built again."""
    set_image(root, 60)
    write_script(root / "build_images.sh", f"{BUILD}test ! -e .first || exit 1\n: > .first\nexit 0\n")
    with pytest.raises(AirflowMlError, match="was not built"):
        new_stage.make_stage(root, "columns", "jinja2")
    assert not (root / "stages/columns").exists()
    assert (root / "README.md").read_text() == README
    assert json.loads((root / "dags/images.lock.json").read_text())["images"] == {}


def test_stopped_on_the_way_leaves_nothing(root: Path) -> None:
    """As `docker stop`, a closed terminal or CI would: the whole program, asked to end while it builds."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "airflow_ml", root / "airflow_ml", ignore=ignored)
    write_script(root / "build_images.sh", "#!/bin/sh\nkill -TERM $PPID\nsleep 5\n")
    before = files_of(root)
    command = [sys.executable, "-B", "-m", "airflow_ml", "new-stage", "columns", "--library", "jinja2"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 143, done.stderr
    assert files_of(root) == before


@pytest.mark.parametrize(
    ("uv_says", "message"),
    [
        ("  cause: Failed to fetch: http://index/simple/jinja2/", "the package index cannot be reached"),
        ("hint: Packages were unavailable because the network was disabled.", "the package index cannot be reached"),
        ("  cause: jinja2 was not found in the package registry", "the library cannot be installed"),
    ],
)
@pytest.mark.parametrize("script", ["airflow-ml", ".venv/bin/uv"])
def test_no_network_is_distinguished_from_no_such_library(
    root: Path, capsys: pytest.CaptureFixture[str], script: str, uv_says: str, message: str
) -> None:
    write_script(root / script, f"#!/bin/sh\necho '{uv_says}' >&2\nexit 1\n")
    assert refused(root, "columns").startswith(message)
    assert uv_says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("package", "files", "module"),
    [
        ("scikit-learn", "sklearn/__init__.py sklearn/base.py scikit_learn.libs/libgomp.so.1", "sklearn"),
        ("pyyaml", "_yaml/__init__.py yaml/__init__.py", "yaml"),
        ("python-dateutil", "dateutil/__init__.py", "dateutil"),
        ("six", "six.py six-1.dist-info/RECORD", "six"),
        ("attrs", "attr/__init__.py attrs/__init__.py", "attrs"),
        ("fast", "fast.cpython-313-x86_64-linux-gnu.so", "fast"),
    ],
)
def test_library_is_imported_by_the_name_that_its_files_have(root: Path, package: str, files: str, module: str) -> None:
    write_script(root / ".venv/bin/uv", UV.format(files=files))
    assert new_stage.import_name(root, package, f"{package}==1") == module


def test_package_without_a_module_is_refused(root: Path) -> None:
    write_script(root / ".venv/bin/uv", UV.format(files="x-1.dist-info/RECORD"))
    assert "jinja2 holds no Python module" in refused(root, "columns")


def test_readme_gets_a_row_for_the_new_stage(root: Path) -> None:
    new_stage.make_stage(root, "columns", "jinja2")
    row = "| [columns](stages/columns) | measures how well each column is filled | jinja2 | 40 MB |\n"
    assert (root / "README.md").read_text() == README.replace("\n\n", f"\n{row}\n")


@pytest.mark.parametrize(("megabytes", "budget"), [(40.4, 50), (49.9, 50), (50.1, 60), (210.4, 220), (399, 420)])
def test_budget_is_a_little_more_than_the_size(root: Path, megabytes: float, budget: int) -> None:
    set_image(root, megabytes)
    new_stage.make_stage(root, "columns", "jinja2")
    assert f'size-budget-mb="{budget}"' in (root / "stages/columns/Dockerfile").read_text()


def test_each_stack_of_shared_layers_keeps_its_order(tmp_path: Path) -> None:
    """Two stages share a layer only if those below it are the same: of two stacks, the shorter one counts too."""
    layers = tmp_path / "base-image/build/layers.py"
    layers.parent.mkdir(parents=True)
    layers.write_text('SHARED = ("a", "b", "x", "y", "z")\n')
    for name, stack in {"one": ("z", "b"), "two": ("y", "x", "a")}.items():
        folder = tmp_path / "stages" / name
        folder.mkdir(parents=True)
        lines = "".join(f"COPY --from=build /layers/{layer}/ /\n" for layer in (*stack, "wheels", "code"))
        (folder / "Dockerfile").write_text(lines)
    assert new_stage.shared_packages(tmp_path) == ["y", "x", "a", "z", "b"]


def test_layers_that_others_share_come_first_and_in_their_order(root: Path) -> None:
    other = root / "stages/one/Dockerfile"
    other.write_text(
        "".join(f"COPY --from=build /layers/{name}/ /\n" for name in ("numpy", "narwhals", "wheels", "code"))
    )
    write_script(root / "airflow-ml", f"{LOCK}printf 'narwhals==1\\nnumpy==2\\n' >> \"$2/requirements.txt\"\n")
    new_stage.make_stage(root, "columns", "jinja2")
    text = (root / "stages/columns/Dockerfile").read_text()
    assert "requirements.txt --shared numpy narwhals \\\n" in text
    places = [text.index(f"/layers/{name}/ /") for name in ("numpy", "narwhals", "wheels", "code")]
    assert places == sorted(places)


@pytest.fixture(scope="module")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What mypy knows of the standard library, for all names."""
    return tmp_path_factory.mktemp("mypy")


@pytest.mark.parametrize("library", ["tabulate", "jinja2"])
@pytest.mark.parametrize("name", ["z", "a_name_as_long_as_one_may_be_3"])
def test_what_is_made_passes_lint_and_types(tmp_path: Path, mypy_cache: Path, name: str, library: str) -> None:
    """Whatever the name's length and place in the alphabet; the checks of maintain/check.sh."""
    for folder in (f"stages/{name}", f"tests/stages/{name}"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    new_stage.write_stage(tmp_path, name, library, library, ["numpy", "scipy", "narwhals"], 50)
    programs = Path(sys.executable).parent
    environment = {
        **os.environ,
        "MYPYPATH": f"{ROOT / 'base-image'}:stages/{name}",
        "MYPY_CACHE_DIR": str(mypy_cache),
    }
    for command in (
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy", "--ignore-missing-imports", f"stages/{name}"],
    ):
        done = subprocess.run(
            [programs / command[0], *command[1:]],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    for path in (*tmp_path.glob("stages/*/*"), *tmp_path.glob("tests/*/*/*")):
        left = path.read_text().replace("${B", "").replace("${ML_IMAGE}", "").replace("$ docker", "")
        assert "$" not in left, f"{path} has a place that was not filled in"
