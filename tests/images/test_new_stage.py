"""The page's "Add a stage", done to the letter in a checkout of its own, and what the house rules say of it."""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import PATIENCE_S, ROOT, docker, images

SECTION = re.search(r"^## Add a stage\n(.*?)^## ", (ROOT / "docs" / "extend.md").read_text(), re.MULTILINE | re.DOTALL)
assert SECTION
COMMANDS = "".join(re.findall(r"^```\n(.*?)^```$", SECTION[1], re.MULTILINE | re.DOTALL)).splitlines()
DAG_LINE = "".join(re.findall(r"^```python\n(.*?)^```$", SECTION[1], re.MULTILINE | re.DOTALL)).strip()
NAME = re.findall(r"^make stage NAME=(\w+)", "\n".join(COMMANDS), re.MULTILINE)[0]
# A second one, without a library of the person's own.
PLAIN = "plain_stage"
DAG = f"""\
from airflow.sdk import DAG

from ml import DS, RAW, dag_defaults, form, stage

with DAG("profile", schedule=[RAW], params=form("ds"), **dag_defaults()):
    {DAG_LINE}
"""
PARSE = """
import json, sys
from pathlib import Path
from airflow.dag_processing.dagbag import DagBag
folder = Path(sys.argv[1])
sys.path.append(str(folder))  # as Airflow does for its Dags folder
bag = DagBag(folder / "profile.py")
task = next(iter(bag.dags["profile"].tasks)) if not bag.import_errors else None
print(json.dumps({"errors": bag.import_errors, "image": task and task.image, "id": task and task.image_id}))
"""


class Checkout:
    """A copy of this checkout's files, with its images; what is built there gets names of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.prefix = f"ml-test-{secrets.token_hex(4)}-"
        self.volume = f"{self.prefix}data"
        self.done: dict[str, subprocess.CompletedProcess[str]] = {}
        listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True)
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, root / name)
        (root / ".cache").mkdir()
        for name in (".venv", ".cache/pytest"):
            (root / name).symlink_to(ROOT / name)
        shutil.copy(ROOT / "dags/images.lock.json", root / "dags")
        # As a fresh clone: what is made shows up as changes, and the house rules read the list of files.
        self.git("init", "--quiet")
        (root / ".git/info/exclude").write_text(".venv\n")
        self.git("add", "--all")
        self.git("-c", "user.name=x", "-c", "user.email=x@x", "commit", "--quiet", "--message", "all")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout

    def run(self, command: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        """A command line as a person types it."""
        environment = {**os.environ, "ML_IMAGE_PREFIX": self.prefix}
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.root, env=environment, text=True, capture_output=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{command}\n{done.stdout}{done.stderr}"
        return done

    def run_as_written(self, command: str) -> None:
        """A command of the page; only names that others use on this engine are the test's own instead."""
        own = command.replace("-v data:/data", f"-v {self.volume}:/data")
        own = own.replace(f"airflow-ml-{NAME}", f"{self.prefix}{NAME}")
        own = re.sub(r"airflow-ml-(\w+)", lambda match: images()[match[1]], own)
        self.done[command] = self.run(own)

    def on_engine(self) -> list[str]:
        form = "{{.Repository}}:{{.Tag}}"
        return sorted(docker("image", "ls", "--format", form, "--filter", f"reference={self.prefix}*").stdout.split())

    def test(self, *arguments: str) -> None:
        """Run tests of this very house on the checkout."""
        self.run(f"{sys.executable} -m pytest -q -p no:cacheprovider {' '.join(arguments)}")

    def remove(self) -> None:
        docker("volume", "rm", "--force", self.volume)
        if names := self.on_engine():
            docker("image", "rm", "--force", *names)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """After the page's commands, and `make stage` once more."""
    one = Checkout(tmp_path_factory.mktemp("checkout"))
    try:
        for command in COMMANDS:
            one.run_as_written(command)
        one.run(f"make stage NAME={PLAIN}")
        yield one
    finally:
        one.remove()


def test_section_makes_runs_and_tests_a_stage(checkout: Checkout) -> None:
    """Each command has ended with 0: the stage by hand, with its result line, and its own tests, in its image."""
    by_hand = [done for command, done in checkout.done.items() if f"airflow-ml-{NAME} " in command]
    assert len(by_hand) == 1
    said = json.loads(by_hand[0].stdout.splitlines()[-1])
    assert (said["stage"], said["partition"], said["columns"]) == (NAME, f"{NAME}/{said['ds']}", 16)
    assert said["rows"] > 10_000
    tested = checkout.done[f"./airflow-ml test-stage {NAME}"].stdout
    assert re.search(r"\d+ passed in", tested), tested


def test_make_stage_makes_these_files_and_nothing_else(checkout: Checkout) -> None:
    other = [Path(file) for file in checkout.git("ls-files", "stages/generator").split()]
    files = [*(file.name for file in other if file.suffix != ".py"), "measure.py"]
    made = [f"stages/{name}/{file}" for name in (NAME, PLAIN) for file in [*files, f"{name}.py"]]
    made += [f"tests/stages/{name}/test_{name}.py" for name in (NAME, PLAIN)]
    assert sorted(checkout.git("ls-files", "--others", "--exclude-standard").split()) == sorted(made)
    assert checkout.git("diff", "--name-only").split() == ["README.md"]


def test_make_stage_says_how_it_goes_on(checkout: Checkout) -> None:
    output = next(done.stdout for command, done in checkout.done.items() if command.startswith("make stage"))
    assert DAG_LINE in output
    for command in (f"./airflow-ml test-stage {NAME}", f"rm -r stages/{NAME} tests/stages/{NAME}"):
        assert command in output


def test_new_stage_without_a_library_of_its_own_passes_its_tests(checkout: Checkout) -> None:
    checkout.run(f"./airflow-ml test-stage {PLAIN} -q")


def test_new_stages_keep_the_house_rules(checkout: Checkout) -> None:
    checkout.git("add", "--all")
    try:
        checkout.test("tests/conventions/test_repository.py")
        checkout.run(".venv/bin/ruff check stages tests/stages && .venv/bin/ruff format --check stages tests/stages")
        for name in (NAME, PLAIN):
            mypy = ".venv/bin/mypy --no-error-summary --ignore-missing-imports"
            checkout.run(f"MYPYPATH=base-image:stages/{name} {mypy} stages/{name}")
    finally:
        checkout.git("reset", "--quiet")


def test_new_images_pass_what_every_image_passes(checkout: Checkout) -> None:
    """Budget, README's size, base, isolation, layers that are shared, rights, signals: the tests beside this one."""
    files = ("test_sizes.py", "test_isolation.py", "test_every_image.py")
    chosen = f"'{NAME} or together or common or {PLAIN} and (size or budget or holds)'"
    checkout.test(*(f"tests/images/{file}" for file in files), "-k", chosen)


def test_dag_runs_the_new_image(checkout: Checkout, tmp_path: Path) -> None:
    """The page's line in a Dag file: it imports, and takes the image of the lock."""
    dags = tmp_path / "dags"
    shutil.copytree(checkout.root / "dags", dags)
    (dags / "profile.py").write_text(DAG)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ML_", "AIRFLOW"))}
    settings = [line for line in (checkout.root / ".env").read_text().splitlines() if line.startswith("ML_")]
    environment |= dict(line.split("=", 1) for line in settings) | {"ML_DOCKER_HOST": "unix:///none.sock"}
    environment |= {"AIRFLOW_HOME": str(tmp_path / "home"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run(
        [sys.executable, "-c", PARSE, dags],
        env=environment, text=True, capture_output=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    entry = json.loads((dags / "images.lock.json").read_text())["images"][NAME]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {"errors": {}, "image": entry["image"], "id": entry["id"]}


def test_stage_that_is_there_is_not_touched(checkout: Checkout) -> None:
    module = checkout.root / f"stages/{NAME}/{NAME}.py"
    before = module.read_bytes()
    said = checkout.run(f"make stage NAME={NAME}", code=2).stderr
    assert f"error: stages/{NAME} has the name {NAME} already\n       do: take another name" in said
    assert module.read_bytes() == before


def test_without_a_network_it_says_so_and_leaves_nothing(checkout: Checkout, tmp_path: Path) -> None:
    """uv may not use the network, and has seen nothing before."""
    before = checkout.git("status", "--short")
    command = f"UV_OFFLINE=1 UV_CACHE_DIR={tmp_path}/cache make stage NAME=offline"
    said = checkout.run(command, code=2).stderr
    assert "error: the package index cannot be reached, see uv's message above; nothing was made" in said
    assert checkout.git("status", "--short") == before


def test_image_that_cannot_be_built_leaves_nothing(checkout: Checkout) -> None:
    template = checkout.root / "airflow_ml/stage_template/Dockerfile.template"
    kept, before = template.read_text(), (checkout.git("status", "--short"), checkout.on_engine())
    lock = (checkout.root / "dags/images.lock.json").read_bytes()
    template.write_text(kept.replace("import $module", "import nowhere"))
    try:
        said = checkout.run("make stage NAME=broken", code=2).stderr
    finally:
        template.write_text(kept)
    assert "ModuleNotFoundError: No module named 'nowhere'" in said
    assert "error: the image of broken was not built, see above; nothing was made" in said
    assert (checkout.git("status", "--short"), checkout.on_engine()) == before
    assert (checkout.root / "dags/images.lock.json").read_bytes() == lock
