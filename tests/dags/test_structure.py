"""What the Dags are: their tasks and order, schedules, forms, assets and documentation."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from airflow_ml import backfill

from ml.operator import StageOperator
from ml.rules import RULES, RulesError, read_rules
from tests.dags.conftest import DAGS
from tests.dags.runs import Dags, make_bag, unmapped

ORDER = {  # task: what runs after it
    "generate_data": {"generate": set()},
    "train_model": {
        "check_parameters": {"wait_for_raw"},
        "wait_for_raw": {"prepare_shards"},
        "prepare_shards": {"prepare"},
        "prepare": {"split"},
        "split": {"train"},
        "train": {"validate"},
        "validate": {"plot", "resolve"},
        "plot": {"register"},
        "register": {"decide"},
        "resolve": {"encode_validation"},
        "encode_validation": {"compare"},
        "compare": {"decide"},
        "decide": {"ask"},
        "ask": {"answer"},
        "answer": set(),
    },
    "tune_model": {
        "wait_for_raw": {"prepare"},
        "prepare": {"split"},
        "split": {"tune"},
        "tune": set(),
    },
    "backtest": {
        "wait_for_raw": {"prepare"},
        "prepare": {"encode_days"},
        "encode_days": {"backtest"},
        "backtest": {"backtest_page"},
        "backtest_page": set(),
    },
    "predict": {
        "wait_for_raw": {"resolve", "features_shards", "predict_shards"},
        "resolve": {"features_shards"},
        "features_shards": {"features", "predict_shards"},
        "features": {"predict"},
        "predict_shards": {"predict"},
        "predict": {"explain"},
        "explain": set(),
    },
    "monitor": {
        "wait_for_predictions": {"label_shards", "evaluate_shards"},
        "label_shards": {"label", "evaluate_shards"},
        "label": {"evaluate"},
        "evaluate_shards": {"evaluate"},
        "evaluate": {"confirm"},
        "confirm": {"page", "retrain"},
        "page": {"log_evaluation"},
        "log_evaluation": set(),
        "retrain": set(),
    },
    "monitor_late_labels": {"late_labels": {"evaluate_again"}, "evaluate_again": set()},
    "ask_after_shadow": {"ask": {"answer"}, "answer": set()},
    "promote_model": {"promote": set()},
    "roll_back_model": {"roll_back": set()},
}
COMMANDS = {
    ("generate_data", "generate"): ("generator", []),
    ("train_model", "prepare_shards"): ("preprocessing", ["prepare"]),
    ("train_model", "prepare"): ("preprocessing", ["prepare"]),
    ("train_model", "split"): ("preprocessing", ["split"]),
    ("train_model", "check_parameters"): ("training", []),
    ("train_model", "train"): ("training", []),
    ("train_model", "validate"): ("prediction", ["validate"]),
    ("train_model", "plot"): ("report", ["plot"]),
    ("train_model", "register"): ("registry", ["register"]),
    ("train_model", "resolve"): ("registry", ["resolve"]),
    ("train_model", "encode_validation"): ("preprocessing", ["encode-validation"]),
    ("train_model", "compare"): ("prediction", ["compare"]),
    ("train_model", "decide"): ("registry", ["decide"]),
    ("train_model", "answer"): ("registry", ["answer"]),
    ("tune_model", "prepare"): ("preprocessing", ["prepare"]),
    ("tune_model", "split"): ("preprocessing", ["split"]),
    ("tune_model", "tune"): ("tuning", []),
    ("backtest", "prepare"): ("preprocessing", ["prepare"]),
    ("backtest", "encode_days"): ("preprocessing", ["encode-days"]),
    ("backtest", "backtest"): ("training", ["backtest"]),
    ("backtest", "backtest_page"): ("report", ["backtest-page"]),
    ("predict", "resolve"): ("registry", ["resolve"]),
    ("predict", "features_shards"): ("preprocessing", ["features"]),
    ("predict", "features"): ("preprocessing", ["features"]),
    ("predict", "predict_shards"): ("prediction", ["predict"]),
    ("predict", "predict"): ("prediction", ["predict"]),
    ("predict", "explain"): ("explanation", []),
    ("monitor", "label_shards"): ("preprocessing", ["label"]),
    ("monitor", "label"): ("preprocessing", ["label"]),
    ("monitor", "evaluate_shards"): ("prediction", ["evaluate"]),
    ("monitor", "evaluate"): ("prediction", ["evaluate"]),
    ("monitor", "confirm"): ("prediction", ["confirm"]),
    ("monitor", "page"): ("report", ["page"]),
    ("monitor", "log_evaluation"): ("registry", ["log-evaluation"]),
    ("monitor_late_labels", "late_labels"): ("preprocessing", ["late-labels"]),
    ("ask_after_shadow", "answer"): ("registry", ["answer"]),
    ("promote_model", "promote"): ("registry", ["promote"]),
    ("roll_back_model", "roll_back"): ("registry", ["roll-back"]),
}
ASSETS = {  # task: what it uses (tests/dags/engine compares it with marks), what is complete once it is done
    ("generate_data", "generate"): ([], ["raw"]),
    ("train_model", "wait_for_raw"): (["raw"], []),
    ("train_model", "check_parameters"): ([], []),
    ("train_model", "prepare_shards"): (["raw"], []),
    ("train_model", "prepare"): (["raw"], []),
    ("train_model", "split"): (["raw", "processed"], ["processed"]),
    ("train_model", "train"): (["processed", "tuning"], []),
    ("train_model", "validate"): (["processed", "models"], ["models"]),
    ("train_model", "plot"): (["models"], ["plots"]),
    ("train_model", "register"): (["models", "plots"], ["registry"]),
    ("train_model", "resolve"): (["registry"], []),
    ("train_model", "encode_validation"): (["processed", "models"], []),
    ("train_model", "compare"): (["models", "processed"], ["comparisons"]),
    ("train_model", "decide"): (["comparisons"], ["registry"]),
    ("train_model", "ask"): ([], []),
    ("train_model", "answer"): (["registry"], ["registry"]),
    ("tune_model", "wait_for_raw"): (["raw"], []),
    ("tune_model", "prepare"): (["raw"], []),
    ("tune_model", "split"): (["raw", "processed"], ["processed"]),
    ("tune_model", "tune"): (["processed"], ["tuning"]),
    ("backtest", "wait_for_raw"): (["raw"], []),
    ("backtest", "prepare"): (["raw"], []),
    ("backtest", "encode_days"): (["raw", "processed"], []),
    ("backtest", "backtest"): (["backtests"], ["backtests"]),
    ("backtest", "backtest_page"): (["backtests"], []),
    ("predict", "wait_for_raw"): (["raw"], []),
    ("predict", "resolve"): (["registry", "models"], []),
    ("predict", "features_shards"): (["raw", "models"], []),
    ("predict", "predict_shards"): (["models"], []),
    ("predict", "features"): (["raw", "models"], ["features"]),
    ("predict", "predict"): (["features", "models"], ["predictions"]),
    ("predict", "explain"): (["features", "models"], ["explanations"]),
    ("monitor", "wait_for_predictions"): (["predictions"], []),
    ("monitor", "label_shards"): (["predictions", "raw", "models"], []),
    ("monitor", "label"): (["predictions", "raw", "models"], []),
    ("monitor", "evaluate_shards"): (["models"], []),
    ("monitor", "evaluate"): (["predictions", "features", "labels", "models"], []),
    ("monitor", "confirm"): (["reports"], []),
    ("monitor", "page"): (
        ["predictions", "features", "models", "explanations", "comparisons", "reports", "shadows"],
        ["reports"],
    ),
    ("monitor", "log_evaluation"): (["reports"], ["registry"]),
    ("monitor_late_labels", "late_labels"): (["raw", "reports"], []),
    ("monitor_late_labels", "evaluate_again"): ([], []),
    ("ask_after_shadow", "ask"): ([], []),
    ("ask_after_shadow", "answer"): (["registry"], ["registry"]),
    ("promote_model", "promote"): (["registry"], ["registry"]),
    ("roll_back_model", "roll_back"): (["registry"], ["registry"]),
}
SCHEDULES = {
    "generate_data": "0 1 * * *",
    "train_model": "0 2 * * 0",
    "predict": "0 3 * * *",
    "monitor": "0 4 * * *",
    "monitor_late_labels": "0 5 * * *",
}
FORMS = {  # each field with what it is when nobody fills it in
    "generate_data": {"ds": None, "rows": None, "seed": 42, "label_delay": None, "force": False},
    "train_model": {
        "ds": None,
        "days": 1,
        "min_days": 1,
        "as_of": None,
        "wait_hours": 12,
        "max_rejected": 0.1,
        "val_fraction": 0.2,
        "seed": 0,
        "lightgbm": {},
        "tuned_max_age": None,
        "shards": 1,
        "ranks": 1,
        "promote": "auto",
        "answer_hours": 168,
        "force": False,
    },
    "tune_model": {
        "ds": None,
        "days": 1,
        "min_days": 1,
        "as_of": None,
        "trials": 30,
        "minutes": None,
        "search_seed": 0,
        "wait_hours": 12,
        "max_rejected": 0.1,
        "val_fraction": 0.2,
        "seed": 0,
        "force": False,
    },
    "backtest": {
        "ds": None,
        "days": 60,
        "windows": "1,7,28",
        "every": "0,1,7,28",
        "wait_hours": 12,
        "max_rejected": 0.1,
        "force": False,
    },
    "predict": {
        "ds": None,
        "wait_hours": 12,
        "max_rejected": 0.1,
        "as_of": False,
        "reasons": 0,
        "shards": 1,
        "force": False,
    },
    "monitor": {"ds": None, "wait_hours": 12, "as_of": None, "shards": 1, "retrain": False, "force": False},
    "monitor_late_labels": {"ds": None},
    "ask_after_shadow": {"ds": None},
}
REQUIRED = {"promote_model": {"reason"}, "roll_back_model": {"reason"}}
OPTIONAL = {"promote_model": {"version"}, "roll_back_model": set[str]()}


def test_dags_folder_holds_these_dags(dags: Dags) -> None:
    assert set(dags) == set(ORDER)


@pytest.mark.parametrize("dag_id", ORDER)
def test_dag_runs_its_tasks_in_order(dags: Dags, dag_id: str) -> None:
    assert {task.task_id: task.downstream_task_ids for task in dags[dag_id].tasks} == ORDER[dag_id]


def test_readme_names_tasks_in_their_order(dags: Dags) -> None:
    """It had `retrain` after the report, of which it has been independent since."""
    text = (DAGS / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|", text, re.MULTILINE))
    for dag_id in ORDER:
        for chain in re.findall(r"`([^`]+>>[^`]+)`", rows[dag_id]):
            for before, after in itertools.pairwise(chain.split(" >> ")):
                assert after in dags[dag_id].get_task(before).get_flat_relative_ids(upstream=False), (dag_id, chain)


@pytest.mark.parametrize(("dag_id", "task_id"), COMMANDS)
def test_task_runs_its_stage_and_command(dags: Dags, dag_id: str, task_id: str) -> None:
    stage, words = COMMANDS[dag_id, task_id]
    task = unmapped(dags[dag_id].get_task(task_id))
    assert (task.stage, task.operator_name) == (stage, stage)
    assert [word for word in task.command if word and not word.startswith(("-", "{"))] == words


@pytest.mark.parametrize(("dag_id", "task_id"), ASSETS)
def test_task_declares_what_it_uses_and_makes(dags: Dags, dag_id: str, task_id: str) -> None:
    task = dags[dag_id].get_task(task_id)
    assert ([asset.name for asset in task.inlets], [asset.name for asset in task.outlets]) == ASSETS[dag_id, task_id]


@pytest.mark.parametrize("dag_id", SCHEDULES)
def test_dag_starts_unpaused_on_its_schedule_without_catching_up(dags: Dags, dag_id: str) -> None:
    dag = dags[dag_id]
    assert dag.is_paused_upon_creation is False
    assert dag.catchup is False
    assert dag.timetable.expression == SCHEDULES[dag_id]
    assert str(dag.timetable.timezone) == "UTC"


@pytest.mark.parametrize("dag_id", ORDER)
def test_dag_and_tasks_explain_themselves(dags: Dags, dag_id: str) -> None:
    dag = dags[dag_id]
    assert dag.description
    assert len(dag.doc_md.splitlines()) > 2
    assert "ml" in dag.tags
    assert len(dag.tags) > 1
    for task in dag.tasks:
        assert task.owner == "ml"
        assert "Reads" in task.doc_md
        assert "Writes" in task.doc_md
        if isinstance(task, StageOperator):
            assert "docker run --rm --volume data:/data" in task.doc_md
            assert f" {task.image} " in task.doc_md
            assert ("--network" in task.doc_md) is (task.stage == "registry")


@pytest.mark.parametrize("dag_id", FORMS)
def test_form_has_a_title_help_and_limits_for_each_field(dags: Dags, dag_id: str) -> None:
    params = dags[dag_id].params
    assert set(params) == set(FORMS[dag_id])
    for name in params:
        param = params.get_param(name)
        assert param.schema["title"]
        assert param.description
        assert param.resolve() == FORMS[dag_id][name]


def test_backfill_knows_the_dags_that_wait(dags: Dags) -> None:
    assert {dag for dag in backfill.DAILY if "wait_hours" in dags[dag].params} == {*backfill.WAITING}


@pytest.mark.parametrize("dag_id", REQUIRED)
def test_form_of_a_decision_asks_for_what_nobody_can_guess(dags: Dags, dag_id: str) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    dag = dags[dag_id]
    assert dag.schedule is None
    assert set(dag.params) == REQUIRED[dag_id] | OPTIONAL[dag_id]
    for name in REQUIRED[dag_id]:
        param = dag.params.get_param(name)
        assert param.schema["title"]
        assert param.description
        with pytest.raises(ParamValidationError):
            param.resolve()


@pytest.mark.parametrize(
    ("dag_id", "field", "value"),
    [
        ("generate_data", "ds", "21.11.2026"),
        ("generate_data", "ds", "2026-02-30"),
        ("generate_data", "rows", 0),
        ("generate_data", "rows", "many"),
        ("generate_data", "seed", -1),
        ("predict", "max_rejected", 1.5),
        ("predict", "reasons", -1),
        ("predict", "reasons", 101),
        ("predict", "shards", 0),
        ("predict", "shards", 257),
        ("monitor", "shards", 257),
        ("predict", "reasons", True),
        ("predict", "wait_hours", -1),
        ("predict", "wait_hours", 169),
        ("predict", "wait_hours", "long"),
        ("train_model", "val_fraction", 1),
        ("train_model", "days", 0),
        ("train_model", "min_days", 367),
        ("train_model", "lightgbm", "num_leaves=3"),
        ("train_model", "promote", "always"),
        ("train_model", "answer_hours", 0),
        ("train_model", "answer_hours", 721),
        ("train_model", "force", "yes"),
        ("backtest", "windows", "1, seven"),
        ("backtest", "every", "7,"),
        ("backtest", "days", 1),
        ("promote_model", "version", 0),
        ("promote_model", "version", "champion"),
        ("promote_model", "reason", "  "),
        ("roll_back_model", "reason", ""),
    ],
)
def test_form_refuses_values_out_of_bounds(dags: Dags, dag_id: str, field: str, value: object) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        dags[dag_id].params.get_param(field).resolve(value)


def test_parsing_twice_gives_the_same_dags(parsed_elsewhere: dict[str, Any]) -> None:
    """Otherwise Airflow stores a new version of each Dag at every parse."""
    assert differences(parsed_elsewhere["here"], parsed_elsewhere["dags"]) == []


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Where two documents differ, each place with both values: a whole Dag would be too long to see it."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [text for key in one for text in differences(one[key], other[key], f"{place}/{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [text for number, pair in pairs for text in differences(*pair, f"{place}/{number}")]
    return [] if one == other else [f"{place}: {str(one)[:300]} against {str(other)[:300]}"]


@pytest.mark.parametrize(
    ("dag_id", "merging", "mapped"),
    [
        ("predict", "features", "features_shards"),
        ("predict", "predict", "predict_shards"),
        ("train_model", "prepare", "prepare_shards"),
        ("monitor", "label", "label_shards"),
        ("monitor", "evaluate", "evaluate_shards"),
    ],
)
def test_shards_are_mapped_tasks_and_the_day_is_made_of_them(
    dags: Dags, dag_id: str, merging: str, mapped: str
) -> None:
    """Without shards the mapped task is skipped, and the other works on the rows."""
    dag = dags[dag_id]
    shards, day = dag.get_task(mapped), dag.get_task(merging)
    (source,) = shards.iter_mapped_dependencies()
    assert source.task_id == ("wait_for_predictions" if dag_id == "monitor" else "wait_for_raw")
    assert mapped in day.upstream_task_ids
    assert (day.trigger_rule, shards.max_active_tis_per_dag) == ("none_failed", None)
    assert unmapped(shards).command[-1] == "--shard=3"
    (shared,) = (argument for argument in day.command if argument.startswith("{{ '--shards="))
    assert shared in unmapped(shards).command
    assert not [argument for argument in day.command if argument.startswith("--shard=")]


def test_shadow_days_add_the_tasks_of_a_version_in_shadow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps({**json.loads(RULES.read_text()), "shadow_days": 3}))
    monkeypatch.setattr("ml.rules.RULES", rules)
    bag = make_bag(DAGS)
    assert bag.import_errors == {}
    train, predict, monitor = (bag.dags[name] for name in ("train_model", "predict", "monitor"))
    assert "{% raw %}--shadow-days=3{% endraw %}" in train.get_task("decide").command
    assert "{% raw %}--shadow{% endraw %}" in predict.get_task("resolve").command
    assert predict.get_task("predict").downstream_task_ids == {"explain", "shadow_features"}
    assert predict.get_task("shadow_features").downstream_task_ids == {"shadow_predict"}
    assert {predict.get_task(f"shadow_{name}").only_with for name in ("features", "predict")} == {
        ("resolve", "shadow_version")
    }
    assert monitor.get_task("evaluate").downstream_task_ids == {"confirm", "compare_shadow"}
    assert monitor.get_task("compare_shadow").downstream_task_ids == {"decide_shadow", "shadow_compared"}
    # The page waits for the comparison, and is made without it if it fails.
    assert monitor.get_task("page").upstream_task_ids == {"confirm", "shadow_compared"}
    assert monitor.get_task("shadow_compared").trigger_rule == "all_done"
    assert monitor.get_task("decide_shadow").downstream_task_ids == {"ask"}
    assert monitor.get_task("ask").downstream_task_ids == set()
    assert monitor.get_task("ask").trigger_dag_id == "ask_after_shadow"
    assert monitor.get_task("decide_shadow").only_with == ("compare_shadow", "complete")
    assert monitor.get_task("decide_shadow").read_only


@pytest.mark.parametrize("days", [-1, 32, True, "3"])
def test_shadow_days_that_cannot_be_are_an_import_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, days: object
) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps({**json.loads(RULES.read_text()), "shadow_days": days}))
    monkeypatch.setattr("ml.rules.RULES", rules)
    with pytest.raises(RulesError, match="shadow_days"):
        read_rules()


@pytest.mark.parametrize("inner", ['"floors": {}, "floors": {"roc_auc": 0.9}', '"floors": ' + "[" * 100_000])
def test_rules_that_cannot_be_read_as_one_object_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inner: str
) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text(f'{{"gate": {{{inner}}}}}')
    monkeypatch.setattr("ml.rules.RULES", rules)
    with pytest.raises(RulesError, match="the file cannot be read"):
        read_rules()
