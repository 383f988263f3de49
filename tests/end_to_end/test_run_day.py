"""`run`: two days through the real scheduler, and a first result that is true."""

from airflow_ml import run_day

from .conftest import PORT, Mlflow, Stack, data

TRAINED, SCORED = "2026-12-01", "2026-12-02"


def test_run_scores_a_day_that_the_model_has_not_seen(stack: Stack) -> None:
    """A model that scored the day it was trained on looked better than it was, and then seemed to get worse."""
    results = run_day.run_days(stack.airflow, TRAINED, SCORED)
    assert results["train_model"]["train"]["model"] == f"models/{TRAINED}"
    evaluated = results["monitor"]["evaluate"]
    assert (evaluated["ds"], evaluated["trained_on_day"]) == (SCORED, False)
    assert evaluated["metrics"]["rows"] > 10_000
    used = results["predict"]["resolve"]
    history = Mlflow(f"http://localhost:{PORT + 1}").history(used["run_id"], "live.roc_auc")
    assert evaluated["metrics"]["roc_auc"] in [point["value"] for point in history]
    summary = run_day.summarize(results, "generated", 1, data.source, SCORED)
    assert f"trained on     the data of {TRAINED}" in summary
    assert "flattering" not in summary
    assert "the model was trained on this day" not in stack.page(f"http://localhost:{PORT + 2}/{SCORED}/")


def test_second_run_compares_with_the_champion_and_makes_nothing_else_again(stack: Stack) -> None:
    """The first model had none to be compared with. The page shows the comparison."""
    results = run_day.run_days(stack.airflow, TRAINED, SCORED)
    made = [result for commands in results.values() for result in commands.values() if result["stage"] != "registry"]
    assert len(made) > 10
    again = {result["command"] for result in made if not result.get("cached")}
    assert again <= {"encode-validation", "compare", "page"}
