"""How parameters are given, and which are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import World
from stagekit import UsageError

from lightgbm_parameters import complete, gather

FEW = ("--param", "num_iterations=3")


def test_defaults_are_what_params_json_says(day: World) -> None:
    day.train(*FEW)
    used = day.params()["parameters"]
    assert (used["objective"], used["metric"]) == ("binary", ["binary_logloss", "auc"])
    assert used["num_iterations"] == 3
    assert "num_threads" not in used


def test_the_command_line_wins_over_the_json_text_over_the_file(day: World) -> None:
    file = day.root / "params.json"
    file.write_text(json.dumps({"num_leaves": 4, "max_depth": 2, "lambda_l2": 3}))
    day.train(
        "--params", str(file), "--params-json", '{"num_leaves": 5, "max_depth": 3}', "--param", "num_leaves=6", *FEW
    )
    used = day.params()["parameters"]
    assert (used["num_leaves"], used["max_depth"], used["lambda_l2"]) == (6, 3, 3)
    assert all(
        f"[{line}]" in day.output("model.txt").decode() for line in ("num_leaves: 6", "max_depth: 3", "lambda_l2: 3")
    )


@pytest.mark.parametrize(
    ("pair", "name", "value"),
    [
        ("eta=0.1", "learning_rate", 0.1),
        ("num_boost_round=7", "num_iterations", 7),
        ("extra_trees=true", "extra_trees", True),
        ("metric=auc", "metric", "auc"),
        ('metric=["auc", "average_precision"]', "metric", ["auc", "average_precision"]),
        ("monotone_constraints=[1, 0, -1]", "monotone_constraints", [1, 0, -1]),
    ],
)
def test_param_is_json_or_text_under_its_main_name(pair: str, name: str, value: Any) -> None:
    assert gather(None, None, [pair]) == {name: value}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--param", "num_leafs=3"], "no parameter 'num_leafs'; expected: perhaps num_leaves"),
        (["--param", "num_leaves"], "has no ="),
        (["--param", "eta=0.1", "--param", "learning_rate=0.2"], "learning_rate is given twice"),
        (["--params-json", '{"num_leaves": 3, "num_leaves": 4}'], "num_leaves is given twice"),
        (["--params-json", "{"], "--params-json is no JSON"),
        (["--params-json", "[" * 200_000], "--params-json is no JSON"),
        (["--params-json", "[1]"], "no object"),
        (["--params-json", '{"num_leaves": null}'], "num_leaves is None"),
        (["--params-json", '{"lambda_l1": Infinity}'], "lambda_l1 is inf; expected: a number"),
        (["--param", "learning_rate=NaN"], "learning_rate is nan; expected: a number"),
        (["--params-json", '{"num_leaves": {"a": 1}}'], "num_leaves is [('a', 1)]"),
        (["--param", "metric=auc linear_tree=true"], "text without spaces"),
        (["--params", "/nowhere/params.json"], "/nowhere/params.json cannot be read"),
        (["--params", "/data"], "/data cannot be read"),
        (["--param", "linear_tree=true"], "linear_tree is True: the prediction stage knows no linear leaves"),
        (["--param", "boosting=dart"], "boosting is 'dart'"),
        (["--param", "boosting_type=rf"], "boosting is 'rf'"),
        (["--param", "zero_as_missing=true"], "zero_as_missing is True"),
        (["--param", "sigmoid=2"], "sigmoid is 2"),
        (["--param", "objective=cross_entropy"], "objective is 'cross_entropy': the target has 2 classes"),
        (["--param", "num_class=3"], "num_class is 3: the target has 2 classes"),
        (["--param", "deterministic=false"], "the same inputs must give the same model"),
        (["--param", "boosting=goss"], "boosting is 'goss'"),
        (["--param", "data_sample_strategy=goss"], "depends on the number of threads"),
        (["--param", "use_quantized_grad=true"], "depend on the number of threads"),
        (["--param", "device=gpu"], "device_type is 'gpu'"),
        (["--param", "machines=a:1"], "--ranks says on how many machines"),
        (["--param", "output_model=x.txt"], "nothing but its partitions"),
        (["--param", "cat_feature=0"], "encoder.json says which features are categories"),
        (["--param", "weight=0"], "weight_column cannot be set here"),
        (["--param", "learning_rate=-1"], "LightGBM does not take these parameters"),
        (["--param", "num_leaves=many"], "LightGBM does not take these parameters"),
        (["--param", "num_threads=many"], "LightGBM does not take these parameters"),
        (["--param", "monotone_constraints=[1]"], "LightGBM does not take these parameters"),
        (["--param", "metric=None"], "LightGBM does not take these parameters"),
        (["--param", "early_stopping_round=soon"], "LightGBM does not take these parameters"),
        (["--param", "num_iterations=0"], "num_iterations is 0"),
        (["--param", "num_iterations=1.5"], "num_iterations is 1.5"),
    ],
)  # fmt: skip
def test_parameters_that_do_not_work_are_refused(day: World, arguments: list[str], message: str) -> None:
    result = day.run(*arguments)
    assert result.code == 2
    assert message in result.log
    assert day.leftovers() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--params-json", '{"num_leafs": 3}'], "no parameter 'num_leafs'; expected: perhaps num_leaves"),
        (["--params-json", '{"lerning_rate": 3}'], "expected: perhaps learning_rate"),
        (["--param", "boosting=dart"], "boosting is 'dart'"),
        (["--param", "output_model=x.txt"], "nothing but its partitions"),
    ],
)
def test_parameters_are_checked_before_any_data_is_there(world: World, arguments: list[str], message: str) -> None:
    result = world.run("--check-parameters", *arguments)
    assert result.code == 2
    assert message in result.log
    good = world.run("--check-parameters", "--param", "eta=0.1")
    assert good.line["parameters"] == {"learning_rate": 0.1}
    assert world.leftovers() == []


def test_values_that_are_used_anyway_may_be_given() -> None:
    given = gather(None, '{"objective": "multiclass", "num_class": 3, "boosting": "gbdt", "linear_tree": false}', [])
    assert complete(given, classes=3, threads=1)["num_class"] == 3


def test_multiclass_is_chosen_by_the_number_of_classes() -> None:
    assert complete({}, 2, 1)["objective"] == "binary"
    chosen = complete({}, 5, 1)
    assert (chosen["objective"], chosen["num_class"], chosen["metric"][0]) == ("multiclass", 5, "multi_logloss")


def test_binary_objective_is_refused_for_three_classes() -> None:
    with pytest.raises(UsageError, match="the target has 3 classes"):
        complete({"objective": "binary"}, 3, 1)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "params.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        gather(tmp_path / "params.json", None, [])
