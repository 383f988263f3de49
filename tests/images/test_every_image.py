"""What holds for every image of ours: the base's promises survive in whatever is built on it."""

import json
import re
from functools import cache
from typing import Any

import pytest

from tests.harness import CONFINED, ROOT, docker, images, python, wait_until
from tests.images.probe import facts

SLEEP = ("python", "-c", "import time; print('here', flush=True); time.sleep(300)")
# The help of a stage and of each of its commands, and whether the parser takes the examples.
HELP = """
import importlib, json, shlex, sys
sys.path.insert(0, "/opt/stage")
from stagekit.cli import build_parser
module = importlib.import_module("{stage}")
parser = lambda: build_parser("{stage}", module.__doc__, module.COMMANDS)  # serves one command line
helps = [parser().format_help(), *(one.format_help() for one in parser().commands.values())]
taken = []
for text in helps:
    words = shlex.split(text.rstrip().splitlines()[-1])
    arguments = words[words.index("airflow-ml-{stage}") + 1 :]
    taken.append(parser().parse(arguments).command.name)
print(json.dumps({{"helps": helps, "taken": taken, "commands": [command.name for command in module.COMMANDS]}}))
"""
LAYOUT = re.compile(
    r"usage: airflow-ml-[^\n]*\n(?:[^\n]+\n)*\n"
    r"[A-Z][^\n]*\.\n\nReads [^\n]*\n(?:[^\n]+\n)*Writes [^\n]*\n(?:[^\n]+\n)*Exit codes: 0 [^\n]*\n(?:[^\n]+\n)*\n"
    r".*options:\n.*\nexample:\n  docker run --rm -v data:/data [^\n]*\n",
    re.DOTALL,
)


@cache
def configuration(image: str) -> dict[str, Any]:
    return dict(json.loads(docker("image", "inspect", image).stdout)[0]["Config"])


def test_image_runs_as_a_numeric_user_that_is_not_root(image: str) -> None:
    assert configuration(image)["User"] == "10001:10001"
    assert facts(image)["user"] == [10001, 10001]


def test_stage_prints_its_help_by_default(stage: str) -> None:
    assert docker("run", *CONFINED, images()[stage]).stdout.startswith(f"usage: airflow-ml-{stage}")


def test_help_of_every_stage_has_one_layout_and_examples_that_its_parser_takes(stage: str) -> None:
    found = json.loads(python(images()[stage], HELP.format(stage=stage)).stdout)
    whole, *of_commands = found["helps"]
    assert LAYOUT.fullmatch(whole), whole
    assert [text for text in of_commands if "\nexample:\n  docker run --rm -v data:/data " not in text] == []
    first, *others = found["taken"]
    assert first == found["commands"][0]
    assert others == (found["commands"] if of_commands else [])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("generator", ["--ds=2026-11-21", "--rows=100"]),
        ("registry", ["resolve"]),
        ("preprocessing", ["infer-schema", "--data=/own/data.csv", "--out=/data/schema.json"]),
        ("base", ["-m", "stagekit.tidy", "--before=2026-11-21"]),
        ("base", ["-m", "stagekit.check_storage"]),
    ],
)
def test_what_would_go_with_the_container_is_not_written(name: str, arguments: list[str]) -> None:
    lost = docker("run", "--rm", "--network=none", images()[name], *arguments, check=False)
    assert (lost.returncode, lost.stdout) == (2, "")
    assert "/data is no mount, so what is written there goes with the container" in lost.stderr
    assert "docker run -v data:/data" in lost.stderr


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("training", ["--ds=2026-11-21", "--check-parameters", "--param=num_leaves=3"], 0),
        ("training", ["--ds=2026-11-21", "--check-parameters", "--param=num_leavs=3"], 2),
        ("generator", ["--ds=2026-11-21", "--explain"], 0),
        ("base", ["-m", "stagekit.tidy", "--before=2026-11-21", "--dry-run"], 0),
    ],
)
def test_call_that_writes_nothing_needs_no_mount(name: str, arguments: list[str], code: int) -> None:
    looked = docker("run", "--rm", "--network=none", images()[name], *arguments, check=False)
    assert looked.returncode == code, looked.stderr
    assert "no mount" not in looked.stderr
    assert ("perhaps num_leaves" in looked.stderr) is (code == 2)


def test_folder_of_the_container_is_written_to_if_it_is_named() -> None:
    options = ("--ds=2026-11-21", "--rows=100", "--data-dir=/data")
    assert json.loads(docker("run", "--rm", "--network=none", images()["generator"], *options).stdout)["rows"] == 100


def test_image_holds_python_3_13_and_stagekit(image: str) -> None:
    assert (facts(image)["python"], facts(image)["stagekit"]) == ([3, 13], True)


def test_image_has_tini_as_its_init(image: str) -> None:
    assert configuration(image)["Entrypoint"][:2] == ["/usr/bin/tini", "--"]


def test_image_knows_its_own_name(image: str) -> None:
    assert facts(image)["name"] == image


def test_image_has_no_installer(image: str) -> None:
    assert facts(image)["installers"] == []


def test_image_has_no_shell_no_compiler_no_setuid_file_no_tests(image: str) -> None:
    assert facts(image)["unwanted"] == []


def test_image_checks_certificates_and_knows_time_zones(image: str) -> None:
    assert facts(image)["authorities"] > 100
    assert facts(image)["paris"] == "2:00:00"


def test_image_lists_its_debian_packages_for_scanners(image: str) -> None:
    assert {"libc6", "libssl3t64", "python3.13-minimal", "ca-certificates", "tini"} <= {*facts(image)["debian"]}


def test_user_of_the_image_can_change_none_of_its_code(image: str) -> None:
    assert facts(image)["modifiable"] == []


def test_stage_image_has_only_its_own_code(stage: str) -> None:
    own = sorted(path.name for path in (ROOT / "stages" / stage).glob("*.py"))
    assert facts(images()[stage])["modules"] == own


def test_image_ends_on_the_signal(image: str) -> None:
    """What does not hear it is killed by `docker stop` in the end, and its exit code is 137."""
    container = docker("run", "--detach", "--entrypoint=/usr/bin/tini", image, "--", *SLEEP).stdout.strip()
    try:
        # A signal before the program has begun is lost.
        wait_until(lambda: docker("logs", container).stdout, "the program has begun", container)
        docker("stop", "--time=60", container)
        code = json.loads(docker("inspect", container).stdout)[0]["State"]["ExitCode"]
        assert code == 143
    finally:
        docker("rm", "--force", container)
