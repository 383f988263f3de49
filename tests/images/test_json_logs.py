"""docker-compose.json-logs.yml: each line that a service of Airflow writes is an object of JSON."""

import json

import yaml

from tests.harness import ROOT, images, python

LOG = "import logging; from airflow import settings; settings.initialize(); logging.getLogger('x').warning('said')"


def test_lines_of_airflow_are_json() -> None:
    switched = yaml.safe_load((ROOT / "docker-compose.json-logs.yml").read_text())["services"]
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert switched.keys() == {name for name, one in services.items() if "AIRFLOW_CONFIG" in one.get("environment", {})}
    for service in switched.values():
        options = [f"--env={name}={value}" for name, value in service["environment"].items()]
    done = python(images()["airflow"], LOG, *options)
    lines = [json.loads(line) for line in (done.stdout + done.stderr).splitlines()]
    assert ("warning", "x", "said") in [(line["level"], line["logger"], line["event"]) for line in lines]
