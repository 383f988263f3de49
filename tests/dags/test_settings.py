"""A setting has no default in the Dags: one that is missing is an import error that says what to do."""

import re
from pathlib import Path

import pytest

from ml.settings import EXPECTED, SettingError, setting
from tests.dags.conftest import DAGS, ROOT
from tests.dags.runs import make_bag


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_setting_that_is_missing_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv(name, raising=False)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingError) as error:
        setting(name)
    assert str(error.value) == (
        f"{name} is unset or empty, expected {EXPECTED[name]}; "
        "do: set it in .env, where .env.example explains it, then `make up`"
    )


def test_memory_that_is_not_set_is_the_import_error_of_every_dag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ML_STAGE_MEMORY")
    bag = make_bag(DAGS)
    assert not bag.dags
    assert {Path(name).name for name in bag.import_errors} == {path.name for path in DAGS.glob("*.py")}
    assert all("ML_STAGE_MEMORY is unset or empty" in error for error in bag.import_errors.values())


def test_compose_gives_airflow_every_setting() -> None:
    given = set(re.findall(r"^    (ML_\w+):", (ROOT / "docker-compose.yml").read_text(), re.MULTILINE))
    assert set(EXPECTED) <= given
