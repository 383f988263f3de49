"""Runs a stage's tests inside that stage's own image, as Airflow runs it: non-root, no network, read-only root.

Exit codes: those of pytest; 1 there is no such stage or image; 2 wrong usage.
"""

import argparse

from airflow_ml import machine
from airflow_ml.builder import become
from airflow_ml.common import ROOT, AirflowMlError, inspect_images, locked_image

OPTIONS = (
    *("--rm", "--read-only", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
    # /small is the disk that is full, /data the data folder.
    *("--tmpfs=/tmp:size=2g,exec", "--tmpfs=/data:uid=10001,gid=10001,size=4g"),
    "--tmpfs=/small:uid=10001,gid=10001,size=1m",
    # pytest is mounted, so that the image is the one that ships.
    f"--volume={ROOT / 'tests'}:/repo/tests:ro",
    f"--volume={ROOT / 'pyproject.toml'}:/repo/pyproject.toml:ro",
    f"--volume={ROOT / '.cache' / 'pytest'}:/opt/pytest:ro",
    *("--env=PYTHONPATH=/opt/pytest:/opt/stage", "--env=HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis"),
    *("--workdir=/repo", "--entrypoint=/usr/bin/tini"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    stages = sorted(path.parent.name for path in ROOT.glob("stages/*/Dockerfile"))
    parser.add_argument("stage", choices=stages, metavar="STAGE", help=f"one of {', '.join(stages)}")
    parser.add_argument("pytest", nargs=argparse.REMAINDER, metavar="ARGUMENT", help="further arguments of pytest")


def run(arguments: argparse.Namespace) -> int:
    """Run the tests in the image that the Dags run; its second tag, latest, may be another checkout's."""
    image = locked_image(arguments.stage)
    if not inspect_images([image]):
        raise AirflowMlError(f"the engine has no image {image}", do="./airflow-ml build")
    machine.ensure("venv")
    tests = f"tests/stages/{arguments.stage}"
    pytest = ("--", "python", "-m", "pytest", "-p", "no:cacheprovider", tests, *arguments.pytest)
    return become("docker", "run", *OPTIONS, image, *pytest)
