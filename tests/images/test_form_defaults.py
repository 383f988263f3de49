"""The form of a Dag shows the stages' own defaults: each value is compared with what the image says."""

import json
import re
import runpy
from functools import cache

import pytest

from tests.harness import CONFINED, ROOT, docker, images, python


@cache
def help_of(stage: str, *command: str) -> str:
    return docker("run", *CONFINED, images()[stage], *command, "--help").stdout


SHOWN = runpy.run_path(str(ROOT / "dags/ml/defaults.py"))


@pytest.mark.parametrize(
    ("name", "of_stage", "command", "option"),
    [
        ("MAX_REJECTED", "preprocessing", ["prepare"], "--max-rejected"),
        ("MAX_REJECTED", "preprocessing", ["features"], "--max-rejected"),
        ("SHARDS", "preprocessing", ["prepare"], "--shards"),
        ("SHARDS", "prediction", ["predict"], "--shards"),
        ("SHARDS", "preprocessing", ["label"], "--shards"),
        ("SHARDS", "prediction", ["evaluate"], "--shards"),
        ("VAL_FRACTION", "preprocessing", ["split"], "--val-fraction"),
        ("DAYS", "preprocessing", ["prepare"], "--days"),
        ("DAYS", "preprocessing", ["split"], "--days"),
        ("MIN_DAYS", "preprocessing", ["split"], "--min-days"),
        ("SPLIT_SEED", "preprocessing", ["split"], "--seed"),
        ("GENERATOR_SEED", "generator", [], "--seed"),
        ("TRIALS", "tuning", [], "--trials"),
        ("SEARCH_SEED", "tuning", [], "--seed"),
        ("WINDOWS", "training", ["backtest"], "--windows"),
        ("RANKS", "training", [], "--ranks"),
        ("EVERY", "training", ["backtest"], "--every"),
    ],
)
def test_default_of_an_option_is_the_one_that_the_form_shows(
    name: str, of_stage: str, command: list[str], option: str
) -> None:
    text = " ".join(help_of(of_stage, *command).partition("options:")[2].split())
    found = re.search(rf" {option} (?:(?! --).)*\(default: ([0-9.,]+)\)", text)
    assert found, text
    assert found[1] == str(SHOWN[name])


def test_default_parameters_of_lightgbm_are_those_that_the_form_shows() -> None:
    code = "import json, lightgbm_parameters; print(json.dumps(dict(lightgbm_parameters.DEFAULTS)))"
    path = "import sys; sys.path.insert(0, '/opt/stage'); "
    assert json.loads(python(images()["training"], path + code).stdout) == SHOWN["LIGHTGBM"]


def test_names_of_lightgbm_are_those_that_the_form_knows() -> None:
    """After an upgrade of LightGBM: write what this prints into dags/lightgbm_names.json."""
    code = "import json, lightgbm; found = lightgbm.basic._ConfigAliases._get_all_param_aliases()"
    print_names = "print(json.dumps({name: sorted(set(found[name]) - {name}) for name in sorted(found)}))"
    found = json.loads(python(images()["training"], f"{code}; {print_names}").stdout)
    known = json.loads((ROOT / "dags/lightgbm_names.json").read_text())
    assert found == known, json.dumps(found)
