"""Opens notebook/ in Jupyter, in a container that sees the data read-only; Ctrl-C ends it.

Needs Docker and our images, nothing else. The first start installs Jupyter and pandas below .cache/. From the
environment: ML_DATA, the volume or the host folder of the data; ML_DS=YYYY-MM-DD, the day that the notebook shows;
ML_NOTEBOOK_PORT, Jupyter's port (8888). With arguments after `--` it runs Python there instead, without a network.
Exit codes: those of Jupyter or Python; 1 it cannot start, the message says why; 2 wrong usage.
"""

import argparse
import os
import secrets
import sys
from pathlib import Path

from airflow_ml.builder import PYTHON, become, builder_image, confined, ensure_packages
from airflow_ml.common import ROOT, AirflowMlError, settings, try_docker

LOCK = ROOT / "tests" / "notebook" / "requirements.txt"
SHARE = "/opt/notebook/share/jupyter"
PAGE = "/lab/tree/raw_data.ipynb"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("python", nargs="*", metavar="-- ARGUMENT", help="what Python runs instead of Jupyter")


def data_mount() -> str:
    """The volume or the host folder that ML_DATA names.

    Errors: AirflowMlError if it does not exist, because docker would make it.
    """
    data = settings()["ML_DATA"]
    if data.startswith("/"):
        if not Path(data).is_dir():
            raise AirflowMlError(f"ML_DATA is {data}, which is no folder", expected="a folder, or a volume's name")
    elif "/" in data:
        raise AirflowMlError(
            f"ML_DATA is {data}", expected="an absolute path, or a volume's name", do=f"ML_DATA=$PWD/{data}"
        )
    elif try_docker("volume", "inspect", data).returncode:
        raise AirflowMlError(
            f"ML_DATA is {data}, and there is no such volume",
            do="name one that `docker volume ls` shows, or make a day: "
            f"docker run --rm -v {data}:/data airflow-ml-generator --ds 2026-11-21",
        )
    return data


def options(data: str, packages: Path) -> list[str]:
    """The options of the container."""
    return [
        *confined(),
        "--env=ML_DATA=/data",
        f"--env=ML_DS={os.environ.get('ML_DS', '')}",
        "--env=PYTHONPATH=/opt/notebook",
        f"--env=JUPYTER_PATH={SHARE}",
        f"--env=JUPYTERLAB_DIR={SHARE}/lab",
        f"--volume={packages}:/opt/notebook:ro",
        f"--volume={data}:/data:ro",
        f"--volume={ROOT / 'notebook'}:/project/notebook",
        "--workdir=/project/notebook",
        f"--entrypoint={PYTHON}",
    ]


def jupyter(port: str) -> list[str]:
    """The arguments of Python that start Jupyter."""
    # All addresses of the container; the host publishes the port on the loopback address alone. Somebody who starts
    # this as root is root in the container too, without any capability. Its own log has three addresses, of which one
    # works outside of the container.
    return [
        *("-m", "jupyterlab", "--no-browser", "-y", "--ip=0.0.0.0", "--allow-root", f"--port={port}"),
        "--log-level=WARN",
        *("--notebook-dir=/project/notebook", "--LabApp.extension_manager=readonly"),
        # Otherwise a box asks whether to fetch news, over the notebook.
        "--LabApp.news_url=None",
        *(f"--LabApp.default_url={PAGE}", "--FileCheckpoints.checkpoint_dir=/tmp/checkpoints"),
    ]


def run(arguments: argparse.Namespace) -> int:
    """Start Jupyter, or run Python."""
    data, image = data_mount(), builder_image()
    container = ["docker", "run", *options(data, ensure_packages(image, LOCK, "notebook"))]
    if arguments.python:
        tests = f"--volume={ROOT / 'tests' / 'notebook'}:/project/tests/notebook:ro"
        return become(*container, "--network=none", tests, image, *arguments.python)
    port = os.environ.get("ML_NOTEBOOK_PORT") or "8888"
    # In the environment, not among the arguments, which every user of the machine can read.
    os.environ["JUPYTER_TOKEN"] = secrets.token_hex(16)
    address = f"http://127.0.0.1:{port}{PAGE}?token={os.environ['JUPYTER_TOKEN']}"
    print(f"==> Jupyter starts; open this in some seconds, Ctrl-C ends it\n    {address}", file=sys.stderr)
    published = ("--env=JUPYTER_TOKEN", f"--publish=127.0.0.1:{port}:{port}")
    return become(*container, *published, image, *jupyter(port))
