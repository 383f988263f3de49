"""Which LightGBM parameters a run uses: defaults, a file, the command line; what cannot be served is refused.

LightGBM takes half a second to load: it is loaded for names and values that were given, and none are in most runs.
"""

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stagekit import UsageError

DEFAULTS: Mapping[str, Any] = {
    "learning_rate": 0.05,
    "num_iterations": 500,
    "num_leaves": 31,
    "early_stopping_round": 50,
    # Above what the order in which threads add up does to a metric: the best iteration must not hang on it.
    "early_stopping_min_delta": 1e-9,
    "first_metric_only": True,
    "seed": 42,
    "verbosity": 0,
}
# The first metric is the one that early stopping follows.
METRICS = {"binary": ["binary_logloss", "auc"], "multiclass": ["multi_logloss", "multi_error"]}

RANKS = "--ranks says on how many machines a model is trained"
# Parameters with one value that works: the value and why.
_FIXED: Mapping[str, tuple[Any, str]] = {
    "boosting": ("gbdt", "the prediction stage adds the trees up as gbdt does; dart and rf weigh them differently"),
    "linear_tree": (False, "the prediction stage knows no linear leaves"),
    "zero_as_missing": (False, "in the prediction stage zero is not missing"),
    "sigmoid": (1.0, "the prediction stage uses the plain logistic function"),
    "deterministic": (True, "the same inputs must give the same model"),
    "force_row_wise": (True, "the same inputs must give the same model"),
    "force_col_wise": (False, "the same inputs must give the same model"),
    "data_sample_strategy": ("bagging", "what goss draws depends on the number of threads"),
    "use_quantized_grad": (False, "its trees depend on the number of threads"),
    "device_type": ("cpu", "the image holds LightGBM for CPUs, and other devices do not repeat a run exactly"),
    "tree_learner": ("serial", RANKS),
    "num_machines": (1, RANKS),
}
# Parameters that cannot be set at all, by the reason.
_UNWANTED: Mapping[str, str] = {
    "a stage reads and writes nothing but its partitions": """
        config convert_model convert_model_language data forcedbins_filename forcedsplits_filename input_model
        machine_list_filename output_model output_result parser_config_file save_binary snapshot_freq valid""",
    "the data contract says how train.csv and val.csv are read": """
        group_column header ignore_column label_column pre_partition precise_float_parser two_round weight_column""",
    "this stage trains and does nothing else": """
        num_iteration_predict pred_early_stop pred_early_stop_freq pred_early_stop_margin predict_contrib
        predict_disable_shape_check predict_leaf_index predict_raw_score refit_decay_rate start_iteration_predict
        task""",
    RANKS: "local_listen_port machines time_out",
    "encoder.json says which features are categories": "categorical_feature",
}
_REFUSED = {name: why for why, names in _UNWANTED.items() for name in names.split()}


def gather(file: Path | None, text: str | None, pairs: Iterable[str]) -> dict[str, Any]:
    """The parameters that a user gave, by LightGBM's own names; a later source wins over an earlier one.

    `file` is a JSON file, `text` a JSON object, each of `pairs` is `name=value` with the value in JSON or as plain
    text. Errors: UsageError for what is no JSON object, a name that LightGBM does not know or one given twice.
    """
    given: dict[str, Any] = {}
    if file is not None:
        try:
            given |= _named(_object(file.read_text(encoding="utf-8"), str(file)), str(file))
        except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError) as error:
            raise UsageError(f"--params {file} cannot be read ({error})", expected="a JSON file") from None
    if text is not None:
        given |= _named(_object(text, "--params-json"), "--params-json")
    return given | _named([_pair(pair) for pair in pairs], "--param")


def check(given: Mapping[str, Any]) -> None:
    """Refuse what this pipeline cannot take, whatever the data. Errors: UsageError naming a parameter, and why."""
    _require_usable(given, _FIXED)


def complete(given: Mapping[str, Any], classes: int, threads: int) -> dict[str, Any]:
    """All parameters of a run: what was `given` over the defaults, for so many `classes` and CPU `threads`.

    Errors: UsageError naming a parameter that this pipeline cannot take, and why.
    """
    objective = "binary" if classes == 2 else "multiclass"
    why = f"the target has {classes} classes, and the prediction stage knows binary and multiclass only"
    fixed = {**_FIXED, "objective": (objective, why), "num_class": (1 if classes == 2 else classes, why)}
    _require_usable(given, fixed)
    forced = {name: value for name, (value, _) in fixed.items()}
    return {**DEFAULTS, "metric": METRICS[objective], "num_threads": threads, **forced, **given}


def _require_usable(given: Mapping[str, Any], fixed: Mapping[str, tuple[Any, str]]) -> None:
    for name, value in given.items():
        if name in _REFUSED:
            raise UsageError(f"parameter {name} cannot be set here: {_REFUSED[name]}", do=f"leave {name} out")
        if name in fixed and value != fixed[name][0]:
            raise UsageError(
                f"parameter {name} is {value!r}: {fixed[name][1]}",
                expected=f"{fixed[name][0]!r}",
                do=f"leave {name} out",
            )


def try_out(parameters: Mapping[str, Any], features: int, classes: int) -> None:
    """Let LightGBM check the values of the parameters on a few made-up rows, before real ones are read.

    Errors: UsageError with what LightGBM says.
    """
    import lightgbm
    import numpy as np

    rounds = parameters["num_iterations"]
    if not isinstance(rounds, int) or rounds < 1:
        raise UsageError(f"parameter num_iterations is {rounds!r}", expected="a whole number above 0")
    tiny = {**parameters, "num_iterations": 1, "verbosity": -1}
    codes = np.repeat(np.arange(classes), 2)
    values = np.tile(codes[:, None], (1, features)).astype(float)
    try:
        train = lightgbm.Dataset(values, codes, params=tiny)
        lightgbm.train(tiny, train, valid_sets=[lightgbm.Dataset(values, codes, reference=train, params=tiny)])
    except (lightgbm.basic.LightGBMError, TypeError, ValueError) as error:
        raise UsageError(
            f"LightGBM does not take these parameters: {error}", expected="values as in LightGBM's documentation"
        ) from None


def _object(text: str, where: str) -> list[tuple[str, Any]]:
    """The members of a JSON object, in order and with those that are named twice."""
    try:
        members = json.loads(text, object_pairs_hook=_Members)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} is no JSON ({error})", expected='an object, such as {"num_leaves": 63}') from None
    if not isinstance(members, _Members):
        raise UsageError(f"{where} is JSON, but no object", expected='an object, such as {"num_leaves": 63}')
    return members


class _Members(list[tuple[str, Any]]):
    """A JSON object as the list of its members."""


def _pair(pair: str) -> tuple[str, Any]:
    name, equals, text = pair.partition("=")
    if not equals:
        raise UsageError(f"--param {pair!r} has no =", expected="NAME=VALUE, such as num_leaves=63")
    try:
        return name, json.loads(text)
    except (ValueError, RecursionError):
        return name, text


def _named(members: Sequence[tuple[str, Any]], where: str) -> dict[str, Any]:
    """Members by LightGBM's main names: `eta` is `learning_rate`."""
    if not members:
        return {}
    import lightgbm

    # LightGBM itself only warns of names that it does not know, and trains with its defaults.
    known = lightgbm.basic._ConfigAliases._get_all_param_aliases()
    main_names = {alias: name for name, aliases in known.items() for alias in aliases}
    named: dict[str, Any] = {}
    for alias, value in members:
        name = main_names.get(alias)
        if name is None:
            near = dict.fromkeys(main_names[close] for close in difflib.get_close_matches(alias, main_names, n=3))
            raise UsageError(
                f"{where}: LightGBM has no parameter {alias!r}",
                expected=f"perhaps {', '.join(near)}" if near else "a name from LightGBM's documentation",
            )
        if name in named:
            raise UsageError(f"{where}: {name} is given twice (the second time as {alias!r})", do="give it once")
        if not _is_value(value):
            raise UsageError(
                f"{where}: {alias} is {value!r}",
                expected="a number, text without spaces, true, false or a list of these",
            )
        named[name] = value
    return named


def _is_value(value: Any) -> bool:
    """Whether LightGBM can be handed the value: it gets all parameters as one text, `name=value name=value`."""
    if isinstance(value, list):
        return not isinstance(value, _Members) and all(_is_value(item) for item in value)
    if isinstance(value, str):
        return not re.search(r"[\s=]", value)
    return isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))
