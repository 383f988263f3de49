"""The estimate before labels: right where scores mean what they meant, wrong under concept drift, never a figure."""

import csv
import json

import numpy as np
import pytest
from conftest import DAY, EARLIER_DAY, World, load_fixture
from scipy.special import expit, logit
from scored import EVALUATION, MODEL, evaluate, scored, targets_of
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score
from stagekit import Publication, read_partition

from estimate import ScoreCounts, calibrated, calibrated_of_others, fit_calibrator
from feature_table import CHUNK_ROWS

# Of scores that are right already.
AS_THEY_ARE = {"coefficients": [0.0, 1.0, 0.0], "covariance": [[0.0] * 3] * 3, "range": [-16.0, 16.0]}
STRICT = json.dumps({"floors": {"roc_auc": 1}, "most_drop": 0})


def rows(draw: np.random.Generator, number: int, slope: float = 1.0, moved: float = 0.0) -> tuple[np.ndarray, ...]:
    """Labels and scores; the true log-odds are the scores' times `slope`, and `moved`."""
    at = draw.normal(-3.5, 1.8, number)
    return (draw.random(number) < expit(slope * at + moved)).astype(int), expit(at)


def counted(scores: np.ndarray) -> ScoreCounts:
    counts = ScoreCounts()
    for start in range(0, len(scores), CHUNK_ROWS):
        counts.add(scores[start : start + CHUNK_ROWS])
    return counts


def test_estimate_is_the_share_of_expected_pairs_in_order() -> None:
    scores = np.array([0.05, 0.2, 0.2, 0.6, 0.97])
    pairs = [(p * (1 - q), 1.0 if p > q else 0.5 if p == q else 0.0) for p in scores for q in scores]
    expected = sum(weight * order for weight, order in pairs) / sum(weight for weight, _ in pairs)
    found = counted(scores).estimate(AS_THEY_ARE, 0.95)
    assert found["roc_auc"] == pytest.approx(expected, abs=1e-3)
    assert found["rows"] == 5


@pytest.mark.parametrize(("slope", "moved"), [(1.0, 0.0), (0.5, -1.0), (1.6, 2.0)])
def test_estimate_holds_the_measured_figures_whatever_the_scores_mean(slope: float, moved: float) -> None:
    """The interval misses about as rarely as promised, of 20 draws once, and a score need not be a probability."""
    draw, missed, differences = np.random.default_rng(1), dict.fromkeys(("roc_auc", "average_precision"), 0), []
    for _ in range(20):
        codes, scores = rows(draw, 4000, slope, moved)
        calibrator = fit_calibrator(codes, scores)
        assert calibrator
        fitted = zip(calibrator["coefficients"], (moved, slope, 0.0), np.diag(calibrator["covariance"]), strict=True)
        assert all(abs(value - true) < 4 * variance**0.5 for value, true, variance in fitted)
        codes, scores = rows(draw, 4000, slope, moved)
        found = counted(scores).estimate(calibrator, 0.95)
        measured = {
            "roc_auc": roc_auc_score(codes, scores),
            "average_precision": average_precision_score(codes, scores),
        }
        differences.append(found["roc_auc"] - measured["roc_auc"])
        for name, (low, high) in found["intervals"].items():
            missed[name] += not low <= measured[name] <= high
    assert max(missed.values()) <= 4
    assert abs(np.mean(differences)) < 0.015


def test_estimate_follows_a_day_whose_rows_are_easier_and_not_one_whose_labels_changed() -> None:
    draw = np.random.default_rng(3)
    calibrator = fit_calibrator(*rows(draw, 20_000))
    assert calibrator
    codes, scores = rows(draw, 20_000)
    usual = counted(scores).estimate(calibrator, 0.95)
    clear = (scores < 0.02) | (scores > 0.1)
    easier = counted(scores[clear]).estimate(calibrator, 0.95)["roc_auc"]
    assert easier > usual["roc_auc"] + 0.02
    assert easier == pytest.approx(roc_auc_score(codes[clear], scores[clear]), abs=0.02)
    other = draw.permutation(codes)  # concept drift: the same scores now say nothing
    assert roc_auc_score(other, scores) < 0.6 < usual["intervals"]["roc_auc"][0]


@pytest.mark.parametrize("scores", [np.linspace(0, 1, 100), np.repeat([0.0, 0.5, 1.0], [30, 40, 30])])
def test_estimate_of_rows_in_perfect_order_is_finite(scores: np.ndarray) -> None:
    found = fit_calibrator(np.repeat([0, 1], 50), scores)
    assert found
    assert np.isfinite([*found["coefficients"], *np.ravel(found["covariance"])]).all()
    low, high = counted(scores).estimate(found, 0.95)["intervals"]["roc_auc"]
    assert 0 <= low < high <= 1


def test_scores_of_two_values_have_no_calibrator() -> None:
    codes = np.repeat([0, 1], 50)
    assert fit_calibrator(codes, np.where(codes == 1, 0.7, 0.3)) is None


def test_curve_is_flat_beyond_the_validation_rows() -> None:
    """A square term fits where rows are; elsewhere it would call the highest scores harmless."""
    bent = {"coefficients": [0.0, 0.7, -0.1], "covariance": [[0.0] * 3] * 3, "range": [-6.0, 3.0]}
    found = calibrated(expit(np.array([-9.0, -6.0, 0.0, 3.0, 9.0])), bent)
    assert found == pytest.approx(expit([-7.8, -7.8, 0.0, 1.2, 1.2]))


def test_calibrated_figures_come_from_calibrators_that_have_not_seen_the_row() -> None:
    """Scores that say nothing: a calibrator that had seen them would find something in them."""
    draw = np.random.default_rng(12)
    codes, scores = np.repeat([0, 1], [150, 50]), draw.random(200)
    found = calibrated_of_others(codes, scores)
    own = fit_calibrator(codes, scores)
    assert found is not None
    assert own
    loss_of_others, loss_of_own = (log_loss(codes, p) for p in (found, calibrated(scores, own)))
    assert loss_of_own < log_loss(codes, np.full(200, 0.25)) < loss_of_others


def test_rows_of_too_few_positives_have_no_calibrated_figures() -> None:
    codes = np.repeat([0, 1], [96, 4])
    assert calibrated_of_others(codes, np.linspace(0, 1, 100)) is None


def test_validation_says_what_calibration_changes(world: World) -> None:
    world.fixture = load_fixture("steep")
    world.validated(EARLIER_DAY)
    metrics = world.json(f"{MODEL}/metrics.json")
    found = metrics["calibrated"]
    assert found["log_loss"] < metrics["log_loss"]
    assert found["brier_score"] < metrics["brier_score"]
    rows = [sum(group["rows"] for group in one["calibration"]) for one in (metrics, found)]
    assert rows == [metrics["rows"]] * 2


def test_bucket_of_a_score_changes_nothing_that_is_shown() -> None:
    draw = np.random.default_rng(8)
    _, scores = rows(draw, 3000)
    p = expit(logit(scores))
    weights = np.concatenate([p, 1 - p])
    exact = roc_auc_score(np.repeat([1, 0], 3000), np.tile(scores, 2), sample_weight=weights)
    assert counted(scores).estimate(AS_THEY_ARE, 0.95)["roc_auc"] == pytest.approx(exact, abs=1e-4)


def test_day_without_labels_has_an_estimate_which_is_no_figure_and_passes_no_rule(world: World) -> None:
    scored(world)
    result = world.run("evaluate", "--ds", DAY, "--rules-json", STRICT)
    assert result.result
    found = world.json(EVALUATION)
    assert found["metrics"] is result.result["metrics"] is None
    assert found["estimate"] == result.result["estimate"]
    low, high = found["estimate"]["intervals"]["roc_auc"]
    assert low < found["estimate"]["roc_auc"] < high
    assert found["estimate"]["rows"] == 200
    assert "estimated from calibrated scores, not measured: roc_auc" in result.errors
    assert "cannot see concept drift" in result.errors
    # The estimate breaks no rule, and where a figure is missing it is no substitute.
    assert found["breaches"] == []
    world.target(targets_of(world, [0] * 200))
    assert evaluate(world, STRICT)["crossed"] == [
        "roc_auc was not measured: it needs rows of the class and other rows, "
        "and of 200 labelled rows 200 are of class '0'"
    ]
    found_later = world.json(EVALUATION)
    assert found_later["estimate"] == found["estimate"]
    with (world.root / f"predictions/{DAY}/predictions.csv").open(encoding="utf-8") as lines:
        scores = [float(row["probability_1"]) for row in csv.DictReader(lines)]
    calibrator = world.json(f"{MODEL}/metrics.json")["calibrator"]
    expected = -np.log(1 - calibrated(np.array(scores), calibrator)).mean()  # of a day of class 0 alone
    assert found_later["metrics"]["calibrated"]["log_loss"] == pytest.approx(expected)


def test_model_without_a_calibrator_has_no_estimate_and_the_day_says_so(world: World) -> None:
    """As a version before this one validated it."""
    world.validated(EARLIER_DAY)
    metrics = world.json(f"{MODEL}/metrics.json")
    del metrics["calibrator"]
    inputs = [read_partition(world.root, MODEL, ["model.txt", "encoder.json"])]
    with Publication(world.root, MODEL, "validate", inputs=inputs) as publication:
        publication.path("metrics.json").write_text(json.dumps(metrics))
    world.prepare(MODEL)
    assert world.run("predict", "--ds", DAY, "--model", MODEL).code == 0
    found = evaluate(world)
    assert "estimate" not in found
    assert found["no_estimate"] == f"{MODEL}/metrics.json has no calibrator; a model that is validated now has one"


def test_model_of_three_classes_has_no_estimate(world: World) -> None:
    scored(world, "multiclass")
    assert evaluate(world)["no_estimate"] == "it needs a model of two classes"
    assert "calibrator" not in world.json(f"{MODEL}/metrics.json")
