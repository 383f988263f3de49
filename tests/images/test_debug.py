"""The debug image is the base with a shell, for people; a stage can be built on it to look around inside."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.harness import CONFINED, ROOT, docker, images

STAGE_ON_IT = "airflow-ml-test-debug-generator"


@pytest.fixture(scope="module")
def debug() -> str:
    """The debug image, built as the README says."""
    subprocess.run([ROOT / "build_images.sh", "--stage", "debug"], capture_output=True, check=True)
    return images()["base"].replace("-base:", "-debug:")


@pytest.fixture
def stage_on_debug(debug: str) -> Iterator[str]:
    builder = images()["base"].replace("-base:", "-builder:")
    arguments = [f"--build-arg=BUILDER={builder}", f"--build-arg=BASE={debug}", f"--tag={STAGE_ON_IT}"]
    docker("build", *arguments, "--build-arg=SOURCE_DATE_EPOCH=0", str(ROOT / "stages/generator"))
    yield STAGE_ON_IT
    docker("image", "rm", STAGE_ON_IT)


def test_debug_image_has_a_shell_and_its_tools(debug: str) -> None:
    assert docker("run", *CONFINED, debug, "-c", "id -u && ls / | grep -c data").stdout == "10001\n1\n"
    assert docker("run", *CONFINED, debug, "-c", "python -c 'import stagekit' && echo fine").stdout == "fine\n"


def test_debug_image_lies_on_the_base(debug: str) -> None:
    layers = [
        docker("image", "inspect", "--format={{json .RootFS.Layers}}", image).stdout
        for image in (images()["base"], debug)
    ]
    assert layers[1].startswith(layers[0].rstrip("]\n"))


def test_stage_can_be_built_on_the_debug_image(stage_on_debug: str) -> None:
    listed = docker("run", *CONFINED, "--entrypoint=sh", stage_on_debug, "-c", "ls /opt/stage").stdout.split()
    assert "generator.py" in listed
    assert docker("run", *CONFINED, stage_on_debug, "--help").stdout.startswith("usage: airflow-ml-generator")
