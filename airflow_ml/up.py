"""Starts Airflow, MLflow and the reports; ends when a Dag can run.

Prepares the machine and builds the images first, if that is not done.
Exit codes: 0 up; 1 the stack did not start, the message says why; 2 wrong usage; 3 it is up, but the history in MLflow
cannot be signed, because an event is malformed.
"""

import argparse

from airflow_ml import machine, rotate, stack


def configure(parser: argparse.ArgumentParser) -> None:
    """There are no options."""


def run(arguments: argparse.Namespace) -> int:
    """Build what has changed, and start."""
    machine.images()
    start()
    return 0


def start() -> None:
    """Start the stack, and sign what is older than its first key. Errors: AirflowMlError."""
    stack.start()
    rotate.sign_what_is_older()
