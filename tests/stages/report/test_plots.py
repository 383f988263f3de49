"""The plots of a model: well-formed, true to their points, the same each time, and with any text in them."""

import json
import re
from xml.etree import ElementTree

import pytest
from conftest import SVG, TRAINED, World, metrics, words

FILES = ["roc.svg", "precision_recall.svg", "calibration.svg", "importances.svg", "training_curve.svg"]


def points(plot: ElementTree.Element, kind: str) -> list[tuple[float, float]]:
    """The points of the first line of a kind, in the units of the axes: read off at the ticks, as a person would."""
    texts = [text for text in plot.iter(f"{SVG}text") if re.fullmatch(r"[0-9.]+", "".join(text.itertext()))]
    wide = {float(text.text or 0): float(text.attrib["x"]) for text in texts if text.attrib["class"] == "t m"}
    high = {float(text.text or 0): float(text.attrib["y"]) - 4 for text in texts if text.attrib["class"] == "t e"}
    line = next(path for path in plot.iter(f"{SVG}path") if path.attrib["class"].startswith(kind))
    drawn = [tuple(map(float, pair.split())) for pair in re.split("[ML]", line.attrib["d"]) if pair]
    return [(share(x, wide), share(y, high)) for x, y in drawn]


def share(place: float, ticks: dict[float, float]) -> float:
    low, high = min(ticks), max(ticks)
    return low + (place - ticks[low]) / (ticks[high] - ticks[low]) * (high - low)


def test_model_has_five_plots_that_stand_alone(world: World) -> None:
    world.model()
    plots = world.plots()
    assert list(plots) == FILES
    for plot in plots.values():
        assert plot.tag == f"{SVG}svg"
        assert {float(plot.attrib[name]) > 0 for name in ("width", "height")} == {True}
        assert "screen and (prefers-color-scheme: dark)" in str(plot.findtext(f"{SVG}style"))
        assert [one.attrib["class"] for one in plot.findall(f"{SVG}rect")] == ["paper"]
        text = ElementTree.tostring(plot, encoding="unicode")
        assert not re.search(r"(href|src|url\(|@import|<script)", text)


def test_titles_tell_the_figures_of_the_model(world: World) -> None:
    world.model()
    plots = world.plots()
    assert "ROC, AUC 0.9193" in words(plots["roc.svg"])
    assert "Precision and recall, AP 0.4009" in words(plots["precision_recall.svg"])
    assert "Brier score 0.0289" in words(plots["calibration.svg"])
    assert "binary_logloss: 0.0830 at the best iteration, 30" in words(plots["training_curve.svg"])
    assert "auc: 0.9133 at the best iteration, 30" in words(plots["training_curve.svg"])


@pytest.mark.parametrize(
    ("file", "axes", "key", "names"),
    [
        ("roc.svg", ("false positive rate", "true positive rate"), "roc", ("fpr", "tpr")),
        ("precision_recall.svg", ("recall", "precision"), "precision_recall", ("recall", "precision")),
    ],
)
def test_curve_goes_through_the_points_of_the_file(
    world: World, file: str, axes: tuple[str, str], key: str, names: tuple[str, str]
) -> None:
    world.model()
    plot = world.plots()[file]
    content = json.loads(world.output(f"models/{TRAINED}", "curves.json"))["curves"][0][key]
    expected = list(zip(content[names[0]], content[names[1]], strict=True))
    found = points(plot, "l s0")
    assert len(found) == len(expected)
    for (x, y), (a, b) in zip(found, expected, strict=True):
        assert x == pytest.approx(a, abs=1e-3)
        assert y == pytest.approx(b, abs=1e-3)
    for axis in axes:
        assert axis in words(plot)


def test_roc_has_its_diagonal(world: World) -> None:
    world.model()
    first, last = points(world.plots()["roc.svg"], "r")
    assert first == pytest.approx((0, 0), abs=1e-3)
    assert last == pytest.approx((1, 1), abs=1e-3)


def test_precision_is_seen_against_the_share_of_positives(world: World) -> None:
    world.model()
    assert [y for _, y in points(world.plots()["precision_recall.svg"], "r")] == pytest.approx([0.1, 0.1], abs=1e-3)


def test_calibration_goes_through_its_bins(world: World) -> None:
    world.model()
    expected = [(one["mean_predicted"], one["observed"]) for one in metrics(["0", "1"])["calibration"]]
    for found, point in zip(points(world.plots()["calibration.svg"], "l s0"), expected, strict=True):
        assert found == pytest.approx(point, abs=1e-3)


def test_calibration_is_drawn_before_and_after(world: World) -> None:
    bins = metrics(["0", "1"])["calibration"]
    after = [{**one, "observed": one["mean_predicted"]} for one in bins]
    calibrated = {"log_loss": 0.1, "brier_score": 0.0281, "calibration": after}
    world.model(measured=metrics(["0", "1"], calibrated=calibrated))
    plot = world.plots()["calibration.svg"]
    assert "Brier score 0.0289, 0.0281 if calibrated" in words(plot)
    assert len(points(plot, "l s1 thin")) == len(after)


def test_importances_are_shares_the_greatest_first(world: World) -> None:
    world.model()
    text = words(world.plots()["importances.svg"])
    assert text.index("amount") < text.index("channel") < text.index("time_hour")
    assert "66.0%, 420 splits" in text
    assert "0.0%, 0 splits" in text


def test_importances_of_many_features_are_cut(world: World) -> None:
    world.model(importances=[[f"f{index}", index, 1] for index in range(300)])
    assert "and 280 more features" in words(world.plots()["importances.svg"])


@pytest.mark.parametrize(("number", "note"), [(3, ""), (8, ""), (11, "3 more classes are not drawn")])
def test_more_classes_have_a_legend(world: World, number: int, note: str) -> None:
    classes = [f"kind {index}" for index in range(number)]
    world.model(classes=classes)
    text = words(world.plots()["roc.svg"])
    for name in classes[:8]:
        assert f"class {name}" in text
    assert note in text
    assert "mean of the classes" in text


def test_hostile_names_stay_texts(world: World) -> None:
    name = "</text></svg><script>alert(1)</script>\x00\x1b\u202e" + "x" * 10_000
    importances = [["<script>alert(1)</script>" + "y" * 5000, 1, 1]]
    world.model(classes=[name, f"{name}2", f"{name}3"], importances=importances, params={"curve": {name: [1.0, 2.0]}})
    for file, plot in world.plots().items():
        assert [one.tag for one in plot.iter() if "script" in one.tag] == []
        assert len(world.output(f"plots/{TRAINED}", file)) < 40_000


def test_model_without_a_curve_or_figures_is_drawn_all_the_same(world: World) -> None:
    world.model(params={}, measured={"rows": 1, "classes": ["0", "1"]}, importances=[])
    texts = {file: words(plot) for file, plot in world.plots().items()}
    assert "No curve was recorded." in texts["training_curve.svg"]
    assert "AUC –" in texts["roc.svg"]


@pytest.mark.parametrize("values", [[1.0], [0.5, 0.5], [1e-12, 2e-12], [-1e300, 1e300], [0.0, 0.0, 0.0]])
def test_training_curve_of_any_values_is_drawn(world: World, values: list[float]) -> None:
    world.model(params={"best_iteration": 1, "curve": {"loss": values}})
    plot = world.plots()["training_curve.svg"]
    assert not re.search("nan|inf", ElementTree.tostring(plot, encoding="unicode").partition("</style>")[2])


def test_same_model_gives_the_same_bytes(world: World) -> None:
    world.model()
    world.plots()
    first = [world.output(f"plots/{TRAINED}", file) for file in FILES]
    assert world.run("plot", "--ds", TRAINED).line["cached"] is True
    assert world.run("plot", "--ds", TRAINED, "--force").code == 0
    assert [world.output(f"plots/{TRAINED}", file) for file in FILES] == first


def test_model_that_is_not_validated_is_not_ready(world: World) -> None:
    result = world.run("plot", "--ds", TRAINED)
    assert (result.code, "models/2026-11-15 is not ready" in result.log) == (4, True)
    world.publish(f"models/{TRAINED}", "train", {"params.json": {}, "feature_importance.csv": "feature,gain,split\n"})
    result = world.run("plot", "--ds", TRAINED)
    assert (result.code, "has no curves.json yet" in result.log) == (4, True)


@pytest.mark.parametrize(
    ("importances", "message"),
    [
        ([["amount", "much", 1]], "holds 'much, 1'"),
        ([["amount", "inf", 1]], "finite numbers"),
        ([["a", 1]], "finite numbers"),
    ],
)
def test_importance_that_is_no_number_is_refused(world: World, importances: list[list[object]], message: str) -> None:
    world.model(importances=importances)
    result = world.run("plot", "--ds", TRAINED)
    assert result.code == 3
    assert message in result.log
    assert not list((world.root / "plots").glob("*/*"))


def test_torn_model_is_refused(world: World) -> None:
    world.model()
    path = world.root / f"models/{TRAINED}/metrics.json"
    path.write_text(path.read_text().replace("0.9193", "0.9999"))
    result = world.run("plot", "--ds", TRAINED)
    assert (result.code, f"models/{TRAINED}/metrics.json has sha256" in result.log) == (3, True)
