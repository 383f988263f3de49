"""Prepares this machine: a Docker engine that answers, the published images, our images, the tests' environment."""

import argparse
import subprocess

from airflow_ml.common import ROOT, AirflowMlError


def ensure(name: str) -> None:
    """Run setup/ensure_NAME.sh, which does nothing if all is there.

    Errors: AirflowMlError, after what the script wrote.
    """
    script = ROOT / "setup" / f"ensure_{name}.sh"
    if subprocess.run([script], check=False).returncode:
        raise AirflowMlError(f"{script.relative_to(ROOT)} failed, see above")


def engine(arguments: argparse.Namespace) -> int:
    """Prepares a Docker engine that answers and has the published images that ours start from.

    Installs and starts an engine if there is none: on Debian 12 and 13 and on Ubuntu, with root rights. If no image
    registry can be reached, makes stand-ins of the published images from Debian's packages.
    Exit codes: 0 ready; 1 it cannot be done, the message says why; 2 wrong usage.
    """
    ensure("engine")
    ensure("images")
    return 0


def images() -> None:
    """Build every image of ours whose folder has changed, on an engine that is prepared first."""
    from airflow_ml.images import command

    engine(argparse.Namespace())
    parser = argparse.ArgumentParser()
    command.configure(parser)
    command.run(parser.parse_args([]))
