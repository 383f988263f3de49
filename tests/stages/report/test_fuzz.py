"""Documents that somebody has damaged or made up: a page or plots show them, or the command ends with exit code 3."""

from conftest import DAY, TRAINED, World, comparison, curves, evaluation, metrics
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import BAD_INPUT, DONE, RUNS, documents

CALIBRATED = {"log_loss": 0.1, "brier_score": 0.02, "calibration": metrics(("0", "1"))["calibration"]}
MEASURED = metrics(("0", "1"), calibrated=CALIBRATED)
SEGMENT = {"field": "channel", "value": "chip", "rows": 900, "candidate": 0.4, "champion": 0.4, "interval": [0.0, 0.1]}
DOCUMENTS = {
    "evaluation.json": (f"reports/{DAY}", evaluation(metrics=MEASURED, trained=MEASURED)),
    "comparison.json": (f"comparisons/{TRAINED}", comparison(segments=[{**SEGMENT, "outcome": "passed"}])),
    "metrics.json": (f"models/{TRAINED}", MEASURED),
    "curves.json": (f"models/{TRAINED}", {"version": 1, "classes": ["0", "1"], "curves": curves(("0", "1"), 0.25)}),
}


@RUNS
@given(data=st.data(), name=st.sampled_from(sorted(DOCUMENTS)))
def test_document_is_shown_or_refused(world: World, data: st.DataObject, name: str) -> None:
    partition, good = DOCUMENTS[name]
    world.whole_day()
    world.publish(partition, "forge", {name: data.draw(documents(good))})
    for command in (["page", "--ds", DAY], ["plot", "--ds", TRAINED]):
        result = world.run(*command, "--force")
        assert result.code in (DONE, BAD_INPUT), result.log
        assert "Traceback" not in result.log
