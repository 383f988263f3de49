"""The page of a day shows what the files hold, says what is missing, and treats every text as text."""

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import DAY, MODEL, TRAINED, Page, World, comparison, curve, evaluation, feature, metrics

from charts import share_of_positives

REPORT = f"reports/{DAY}"
HOSTILE = [
    "<script>alert(1)</script>",
    "\"' onload=alert(1) x='",
    "</style></svg></title><img src=//evil.example/x>",
    "{{ 7 * 7 }}{% include 'page.css' %}",
    "&amp;&#60;b>",
    "\u202etxt.exe\u2066",
    "שלום עולם",
    "\x00\x08\x1b[31mred",
    "long " * 3000,
    "x" * 20_000,
    "javascript:alert(1)",
    "-- > ]]> <!--",
]


def breach(text: str) -> dict[str, Any]:
    return {"what": "feature_psi", "subject": "amount", "value": 0.3127, "limit": 0.25, "text": text}


def test_page_begins_with_the_day_its_state_and_its_model(world: World) -> None:
    page = world.whole_day().day()
    top = page.text("")
    assert DAY in top
    assert "Good. No threshold was crossed." in top
    assert "Rows scored 24,939 1.1% rejected" in top
    assert "Not measured" not in top
    assert f"Model in production version 3 {MODEL}" in top
    assert f"scores since {DAY}" in top


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("log_loss", "Log loss 0.1234 0.1073 in training"),
        ("roc_auc", "Area under the ROC curve 0.8911 0.9193 in training"),
        (None, "Area under the ROC curve 0.8911"),
        ("unheard of", "Area under the ROC curve 0.8911"),
    ],
)
def test_page_begins_with_the_figure_that_is_watched(world: World, metric: str | None, words: str) -> None:
    assert words in world.whole_day(rules={"metric": metric}).day().text("")


def test_page_says_which_thresholds_were_crossed(world: World) -> None:
    world.whole_day(breaches=[breach("the feature amount has moved"), breach("roc_auc fell")])
    top = world.day().text("")
    assert "2 thresholds were crossed. the feature amount has moved roc_auc fell" in top
    assert "Good" not in top


@pytest.mark.parametrize(
    ("confirmed", "unconfirmed", "state", "sentence"),
    [
        ([], [], "● Good. No threshold was crossed.", "No threshold was crossed."),
        (["amount"], [], "◆ 1 threshold was crossed.", "amount moved"),
        (
            [],
            ["amount"],
            "▲ Not confirmed. A threshold was crossed, without",
            "Crossed, without enough evidence: amount",
        ),
        (["amount"], ["score"], "◆ 1 threshold was crossed.", "Crossed, without enough evidence: score"),
    ],
)
def test_headline_counts_the_breaches_that_are_confirmed(
    world: World, confirmed: list[str], unconfirmed: list[str], state: str, sentence: str
) -> None:
    breaches = [{"what": "feature_psi", "subject": name, "text": f"{name} moved"} for name in confirmed + unconfirmed]
    world.whole_day(breaches=breaches)
    dated = [{**one, "days": [DAY, "2026-11-20"] if one["subject"] in confirmed else [DAY]} for one in breaches]
    content = {
        "version": 1, "ds": DAY, "days": [DAY, "2026-11-20"],
        "confirmed": dated[: len(confirmed)], "unconfirmed": dated[len(confirmed) :],
    }  # fmt: skip
    world.publish(f"reports/{DAY}", "confirm", {"breaches.json": content}, [f"reports/{DAY}/evaluation.json"])
    page = world.day()
    assert state in page.text("")
    assert sentence in page.text("")


def test_breach_of_several_days_is_on_the_page_of_the_day(world: World) -> None:
    world.whole_day()
    text = "on the rows of 8 days, 2026-11-14 to 2026-11-21: roc_auc 0.6 (0.5 to 0.7) is below the floor 0.7"
    confirmed = [{"what": "floors", "subject": "roc_auc", "text": text, "days": [DAY, "2026-11-20"]}]
    content = {"version": 1, "ds": DAY, "days": [DAY, "2026-11-20"], "confirmed": confirmed}
    world.publish(f"reports/{DAY}", "confirm", {"breaches.json": content}, [f"reports/{DAY}/evaluation.json"])
    assert f"1 threshold was crossed. {text}" in world.day().text("")


@pytest.mark.parametrize(
    ("what", "subject", "place", "words"),
    [
        ("feature_psi", "amount", "drift-0", "amount"),
        ("missing_as_zero", "amount", "drift-0", "amount"),
        ("feature_psi", "of an older model", "drift", "Drift against the training data"),
        ("score_psi", "score", "drift-score", "The score"),
        ("floors", "roc_auc", "metrics", "How good the scores were"),
        ("most_drop", "roc_auc", "metrics", "How good the scores were"),
        ("new_class", "2", "metrics", "How good the scores were"),
        ("rejected", "data.csv", "quality", "Data of the day"),
        ("unheard of", "data.csv", "", ""),
        (None, None, "", ""),
    ],
)
def test_breach_links_to_where_the_page_shows_it(
    world: World, what: str | None, subject: str | None, place: str, words: str
) -> None:
    kind = {"what": what, "subject": subject} if what else {}
    page = world.whole_day(breaches=[{**kind, "text": "it has moved"}]).day()
    links = re.findall(r'<a href="#([^"]*)">it has moved</a>', page.content.decode())
    assert links == ([place] if place else [])
    assert "it has moved" in page.text("")
    shown = page.content.decode().partition(f'id="{place}"')[2]
    assert words in re.sub("<[^>]*>", "", shown)[:300]


def test_metrics_come_before_drift_and_data(world: World) -> None:
    page = world.whole_day().day()
    sections = page.attributes("section", "id")
    assert sections[:3] == ["metrics", "drift", "quality"]
    assert sections[-1] == "made"
    assert [f"#{section}" for section in sections] == page.attributes("a", "href")[: len(sections)]


@pytest.mark.parametrize("more", [0, 1, 7])
def test_breaches_beyond_the_first_are_counted(world: World, more: int) -> None:
    page = world.whole_day(breaches=[breach(f"number {number} fell") for number in range(20 + more)]).day()
    assert "number 19 fell" in page.text("")
    assert "number 20 fell" not in page.text("")
    assert (f"and {more} more." in page.text("")) == bool(more)


@pytest.mark.parametrize(
    ("is_day_weighted", "said"),
    [
        (True, "Each row counts by its weight in the figures, once in the numbers of rows."),
        (False, "On this day each counts once, because rows lack their weight: do not compare the two."),
    ],
)
def test_page_says_what_is_weighted(world: World, is_day_weighted: bool, said: str) -> None:
    own = {"weighted": True} if is_day_weighted else {}
    weighted = metrics(["0", "1"], weighted=True)
    page = world.whole_day(metrics={**evaluation()["metrics"], **own}, trained=weighted).day()
    assert said in page.text("metrics")


@pytest.mark.parametrize(("figures", "share"), [({}, 0.1), ({"weighted": True}, 0.25)])
def test_precision_of_chance_is_the_share_of_the_class(figures: dict[str, Any], share: float) -> None:
    """10 of 40 in weight, 100 of 1,000 in rows."""
    bins = [{"rows": 900, "weight": 30.0, "observed": 0.0}, {"rows": 100, "weight": 10.0, "observed": 1.0}]
    assert share_of_positives(metrics(["0", "1"], calibration=bins, **figures)) == share


def test_figures_of_the_day_are_shown_with_their_intervals(world: World) -> None:
    measured = {**evaluation()["metrics"], "intervals": {"roc_auc": [0.8712, 0.9087], "recall": None}}
    page = world.whole_day(metrics=measured).day()
    assert "0.8712 to 0.9087" in page.text("metrics")
    assert "Area under the ROC curve 0.8911 0.8712 to 0.9087; 0.9193 in training" in page.text("")


def test_drift_that_chance_explains_is_not_called_strong(world: World) -> None:
    world.whole_day()
    content = evaluation()
    content["drift"]["features"][0]["by_chance"] = 0.25
    world.evaluate(content)
    page = world.day()
    assert "0 are strong" in page.text("drift")
    assert "by chance 0.25" in page.text("drift")


def test_page_says_since_when_the_model_scores(world: World) -> None:
    world.model()
    world.model("2026-11-08")
    for day, model, version in [
        ("2026-11-16", "models/2026-11-08", "2"),
        ("2026-11-18", MODEL, "3"),
        ("2026-11-20", MODEL, "3"),
        (DAY, MODEL, "3"),
        ("2026-11-22", MODEL, "4"),
    ]:
        world.scored(day, model, version)
    world.evaluate(evaluation())
    assert "scores since 2026-11-18 (3 days)" in world.day().text("")


def test_rows_that_need_no_label_are_shown(world: World) -> None:
    target = {"rows": 30_000, "unlabelled": 5_061}
    page = world.whole_day(target=target).day()
    assert "5,061 of 30,000 rows of target.csv have no label." in page.text("metrics")


def test_page_shows_the_figures_of_the_files(world: World) -> None:
    page = world.whole_day().day()
    assert page.row("Area under the ROC curve") == [
        "Area under the ROC curve more is better", "0.9193", "0.8911", "−0.0282 chance not tested",
    ]  # fmt: skip
    assert page.row("Log loss")[1:] == ["0.1073", "0.1234", "+0.0161 chance not tested"]
    assert page.row("F1")[1:] == ["0.4494", "0.4494", "0.0000"]
    assert "Measured on 24,939 rows whose target has come; in training, on 1,000 validation rows." in page.text(
        "metrics"
    )
    assert "weight" not in page.text("metrics")
    assert page.row("0")[1:] == ["890", "10"]
    assert page.row("1")[1:] == ["10", "90"]


@pytest.mark.parametrize("own", [True, False])
def test_page_warns_of_figures_of_the_day_that_the_model_was_trained_on(world: World, own: bool) -> None:
    page = world.whole_day(trained_on_day=own).day()
    assert ("so the figures flatter it" in page.text("metrics")) is own
    head = page.text("")
    assert ("How good the scores are on new rows: the model was trained on this day." in head) is own
    assert ("Good." in head) is not own
    assert (page.row("figure")[2] == "training day") is own


def test_page_shows_the_warnings_on_the_model_and_on_the_scores(world: World) -> None:
    """Those of another candidate are not about this day."""
    world.model(warnings=["amount <equals> the target"])
    world.scored(warnings=["wait is missing"])
    world.model("2026-11-20", warnings=["of another model"])
    world.compare(comparison(ds="2026-11-20"), "2026-11-20")
    world.evaluate(evaluation())
    page = world.day()
    said = page.text("")
    assert "Warnings on the model and on the scores: train: amount <equals> the target predict: wait is missing" in said
    assert "of another model" not in page.content.decode()


def test_page_without_warnings_has_no_list_of_them(world: World) -> None:
    assert "Warnings" not in world.whole_day().day().text("")


def test_page_shows_rejects_with_reasons_and_examples(world: World) -> None:
    page = world.whole_day().day()
    text = page.text("quality")
    assert "25,219 rows came in, 24,939 were scored, 280 were rejected (1.1%)." in text
    assert "Rows without a target are scored; only training rejects them." in text
    assert page.row("amount: above maximum")[1] == "150"
    assert page.row("data.csv, 26")[1:] == ["amount: '9999999.99' above maximum 20000"]
    assert page.row("data.csv, 44")[1:] == ["customer_id: … does not match C[0-9]{6}"]


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("no target for this key", "no target for this key"),
        ("3 fields, expected 4", "3 fields, expected 4"),
        ("amount: missing, a value is required", "amount: missing, a value is required"),
        ("transaction_id: 'T7' is not unique, it is on line 3", "transaction_id: 'T7' is not unique, it is on line 3"),
        ("name: 'Ada Secret' is longer than 8 characters", "name: … is longer than 8 characters"),
        ("name: 'Ada' Secret' is longer than 8 characters", "name: … is longer than 8 characters"),
        ("amount: '9' above maximum 5; name: 'Ada Secret' does not match A", "amount: …; name: … does not match A"),
        ("name: 'Ada; amount: 'Secret' does not match A", "name: …; amount: … does not match A"),
        ("name: 'Ada'Secret; amount: 'Secret' does not match A", "name: …; amount: … does not match A"),
        ("a name that no field has: 'Ada Secret' is wrong", "a name that no field has: … is wrong"),
    ],
)
def test_examples_hide_values_of_fields_that_identify_a_person(world: World, reason: str, shown: str) -> None:
    world.model()
    world.scored(rejected=[["data.csv", 26, reason, "T1,Ada Secret,C000042"]])
    counts = {"amount: maximum": 1, "name: pattern": 1, "customer_id: pattern": 1, "transaction_id: unique": 1}
    quality = {"rows_in": 10, "rows_out": 9, "rejected": {"data.csv": 1}, "reasons": counts}
    world.evaluate(evaluation(quality=quality))
    page = world.day()
    assert page.row("data.csv, 26")[1:] == [shown]
    assert not re.search("Secret|C000042", page.content.decode())


def test_examples_hide_all_values_if_the_model_is_gone(world: World) -> None:
    world.whole_day()
    shutil.rmtree(world.root / MODEL)
    assert world.day().row("data.csv, 26")[1:] == ["amount: … above maximum 20000"]


def test_page_orders_the_features_by_drift_and_names_its_strength(world: World) -> None:
    page = world.whole_day().day()
    text = page.text("drift")
    places = [text.index(f"{name} ") for name in ("The score", "amount", "channel", "time_hour", "country")]
    assert places == sorted(places)
    assert "amount ◆ strong PSI 0.3127" in text
    assert "channel ▲ moderate PSI 0.1444" in text
    assert "country ● stable PSI 0.0051" in text
    assert "Of 4 features, 2 are stable, 1 is moderate, 1 is strong." in text


@pytest.mark.parametrize(
    ("psi", "word"), [(0.0999, "stable"), (0.1, "moderate"), (0.25, "moderate"), (0.2501, "strong")]
)
def test_strength_of_drift_has_the_usual_limits(world: World, psi: float, word: str) -> None:
    content = evaluation()
    content["drift"]["features"] = [feature("amount", psi)]
    world.whole_day(drift=content["drift"])
    assert f"{word} PSI {psi:.4f}" in world.day().text("drift")


def test_features_of_the_calendar_are_shown_but_not_judged(world: World) -> None:
    content = evaluation()
    content["drift"]["features"] = [feature("time_day", 18.4, kind="day"), feature("amount", 0.01)]
    page = world.whole_day(drift=content["drift"]).day()
    assert "Of 1 features, 1 is stable, 0 are moderate, 0 are strong. 1 of the calendar is not judged" in page.text(
        "drift"
    )
    assert "Strongest drift 0.0100 amount , stable" in page.text("")


def test_bins_of_a_feature_are_shown_in_numbers(world: World) -> None:
    content = evaluation()
    shares = {
        "name": "a",
        "kind": "number",
        "labels": ["low", "unseen"],
        "expected": [0.75, 0.25],
        "actual": [1.0, 0.0],
    }
    content["drift"]["features"] = [{**shares, "psi": 2.2}]
    page = world.whole_day(drift=content["drift"]).day()
    assert page.row("low") == ["low", "75.0%", "100%"]
    assert page.row("unseen") == ["unseen", "25.0%", "0.0%"]


def test_page_shows_the_last_comparison(world: World) -> None:
    page = world.whole_day().day()
    text = page.text("comparison")
    assert (
        f"On {TRAINED}, on 4,975 validation rows: candidate {MODEL} against champion models/2026-11-08 , version 2."
        in text
    )
    assert "Passed. average_precision differs by +0.0103 , between −0.0021 and +0.0233 with 95% confidence" in text
    assert "average_precision is 0.4112, the champion's 0.4009" in text
    rows = [row for row in page.rows if row[0].startswith("Average precision")]
    assert [cell.strip() for cell in rows[1][1:3]] == ["0.4009", "0.4112"]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"outcome": "passed"}, "Passed."),
        ({"outcome": "failed", "passed": False}, "Did not pass."),
        ({"outcome": "undecided", "passed": False}, "Cannot be distinguished. The champion is kept."),
        ({"outcome": "undecided", "passed": True}, "Cannot be distinguished. The newer one is taken."),
    ],
)
def test_page_says_what_the_gate_said(world: World, found: dict[str, Any], said: str) -> None:
    world.model()
    world.compare(comparison(**found))
    world.scored()
    world.evaluate(evaluation())
    verdicts = ("Passed.", "Did not pass.", "Cannot be distinguished.")
    text = world.day().text("comparison")
    assert said in text
    assert [one for one in verdicts if one in text] == [one for one in verdicts if said.startswith(one)]


def test_page_never_says_that_a_confidence_is_100_percent(world: World) -> None:
    world.whole_day()
    world.compare(comparison(confidence=0.99999999))
    assert "with 99.999999% confidence" in world.day().text("comparison")


def test_page_shows_the_segments_that_the_gate_judged(world: World) -> None:
    world.whole_day()
    parts = [
        {"field": "channel", "value": "chip", "rows": 3000, "candidate": 0.41, "champion": 0.4,
         "interval": [-0.002, 0.02], "outcome": "passed"},
        {"field": "channel", "value": "online", "rows": 1900, "candidate": 0.3, "champion": 0.38,
         "interval": [-0.1, -0.06], "outcome": "failed"},
        {"field": "channel", "value": "phone", "rows": 75, "candidate": None, "champion": None,
         "interval": None, "outcome": None},
    ]  # fmt: skip
    world.compare(comparison(segments=parts))
    text = world.day().text("comparison")
    assert "channel chip 3,000 0.4000 0.4100 −0.0020 to +0.0200 ● passed" in text
    assert "channel online 1,900 0.3800 0.3000 −0.1000 to −0.0600 ◆ did not pass" in text
    assert "channel phone 75 – – not judged" in text


def test_page_shows_the_newest_comparison_up_to_its_day(world: World) -> None:
    world.whole_day()
    world.model("2026-11-18")
    world.compare(comparison(ds="2026-11-18", passed=False, rows=777), "2026-11-18")
    world.model("2026-11-22")
    world.compare(comparison(ds="2026-11-22", rows=888), "2026-11-22")
    text = world.day().text("comparison")
    assert "On 2026-11-18, on 777 validation rows" in text
    assert "Did not pass." in text


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"champion": None, "difference": None, "interval": None},
            "there was no champion yet, so only the floors counted.",
        ),
        (
            {
                "champion": None,
                "difference": None,
                "incomparable": {"model": "models/2026-11-01", "why": "other fields"},
            },
            "models/2026-11-01 , could not be measured on these rows: other fields",
        ),
    ],
)
def test_comparison_without_a_champion_says_so(world: World, more: dict[str, Any], words: str) -> None:
    world.model()
    content = comparison(**more)
    content["curves"]["champion"] = None
    world.compare(content)
    world.scored()
    world.evaluate(evaluation())
    assert words in world.day().text("comparison")


# --- what is missing ---


def test_day_without_a_target_shows_drift_and_says_so(world: World) -> None:
    page = world.whole_day(metrics=None, curves=None).day()
    top = page.text("")
    assert "▲ Not everything was measured. No threshold was crossed." in top
    assert "Not measured: How good the scores are: no target has come for this day yet." in top
    assert "Good" not in top
    assert "No figures of this day" in page.text("metrics")
    assert page.row("Recall")[1:] == ["0.5155", "–", "–"]
    assert "amount ◆ strong" in page.text("drift")
    assert "stimate" not in top + page.text("metrics")


def test_superseded_labels_are_named(world: World) -> None:
    target = {"matched": 100, "without_target": 0, "superseded": 1700, "new_classes": {}}
    section = world.whole_day(target=target).day().text("metrics")
    assert "1,700 rows of target.csv are superseded: a later delivery has their key." in section


def test_day_without_a_target_shows_its_estimate_as_one(world: World) -> None:
    bounds = {"roc_auc": [0.8761, 0.9459], "average_precision": [0.3015, 0.5094]}
    estimate = {"rows": 24939, "roc_auc": 0.9115, "average_precision": 0.405, "intervals": bounds}
    page = world.whole_day(metrics=None, curves=None, estimate=estimate).day()
    top, section = page.text(""), page.text("metrics")
    assert "▲ Not everything was measured." in top
    assert "Not measured: How good the scores are: no target has come for this day yet." in top
    area = "Area under the ROC curve"
    assert f"{area}, estimated 0.9115 0.8761 to 0.9459; not measured, no target has come" in top
    assert f"Estimated from the scores of 24,939 rows, not measured: {area} 0.9115 (0.8761 to 0.9459), " in section
    assert "it cannot see concept drift" in section
    assert page.row(area)[2:] == ["–", "–"]


def test_page_has_figures_before_and_after_calibration(world: World) -> None:
    def calibrated(log_loss: float) -> dict[str, Any]:
        return {"log_loss": log_loss, "brier_score": 0.0281, "calibration": metrics(["0", "1"])["calibration"]}

    own = {**evaluation()["metrics"], "calibrated": calibrated(0.1201)}
    trained = {**evaluation()["trained"], "calibrated": calibrated(0.1055)}
    page = world.whole_day(metrics=own, trained=trained).day()
    text = page.text("metrics")
    assert "Log loss in training 0.1073 0.1055 Log loss this day 0.1234 0.1201 Brier" in text
    assert "No row was calibrated by itself" in text
    assert "Calibration of calibrated scores" in text
    without_labels = world.whole_day(metrics=None, curves=None, trained=trained).day().text("metrics")
    assert "Log loss in training 0.1073 0.1055 Brier" in without_labels


def test_page_shows_the_version_in_shadow_beside_the_champion(world: World) -> None:
    world.whole_day()
    assert "In shadow" not in world.day().text("")
    world.publish(f"shadows/{DAY}-v7", "predict", {"predictions.csv": "1\n"})
    assert "In shadow version 7 no day with labels has been compared yet" in world.day().text("")
    progress = {"version": "7", "days": ["2026-11-20", DAY], "of": 3, "complete": False}
    compared = comparison(ds=DAY, shadow=progress)
    world.publish(f"shadows/{DAY}-v7", "compare-shadow", {"comparison.json": compared})
    figures = "Average precision 0.4112, the champion's 0.4009; it differs by −0.0021 to +0.0233"
    assert f"In shadow version 7, day 2 of 3 {figures}" in world.day().text("")
    shown = world.run("page", "--ds", DAY).line["shadow"]
    assert shown == {"version": "version 7, day 2 of 3", "figures": figures}


def test_shadow_that_cannot_be_read_does_not_stop_the_page(world: World) -> None:
    world.whole_day()
    world.publish(f"shadows/{DAY}-v7", "compare-shadow", {"comparison.json": comparison()})
    (world.root / f"shadows/{DAY}-v7/comparison.json").write_text("torn")
    assert "In shadow version 7 no day" in world.day().text("")


def test_day_without_an_estimate_says_why(world: World) -> None:
    page = world.whole_day(metrics=None, curves=None, no_estimate="it needs a model of two classes").day()
    assert "There is no estimate: it needs a model of two classes." in page.text("metrics")


@pytest.mark.parametrize(
    ("more", "word", "sentence"),
    [
        ({"drift": None}, "Not everything was measured.", "Drift: the model has no baseline."),
        (
            {"metrics": None, "target": {"matched": 0}},
            "Not everything was measured.",
            "How good the scores are: no prediction has a usable target.",
        ),
        (
            {"metrics": metrics(["0", "1"], rows=24939, roc_auc=None)},
            "Not everything was measured.",
            "Area under the ROC curve: it has no value for the rows of this day.",
        ),
        (
            {"metrics": metrics(["0", "1"], rows=20000)},
            "Not everything was measured.",
            "4,939 of 24,939 predictions (19.8%) have no usable target.",
        ),
        *(
            (
                {"metrics": metrics(["0", "1"], rows=24900), "target": {"without_target": waiting}},
                "Good.",
                f"39 of 24,939 predictions (0.2%) have no {said}.",
            )
            for waiting, said in ((39, "target yet"), (9, "usable target; 9 of them have none yet"))
        ),
    ],
)
def test_headline_says_what_was_not_measured(world: World, more: dict[str, Any], word: str, sentence: str) -> None:
    page = world.whole_day(**more).day()
    assert f"{word} No threshold was crossed. Not measured: {sentence}" in page.text("")
    # One fact, one sentence.
    assert "no target" not in page.text("metrics")
    assert "no prediction has" not in page.text("metrics")


def test_headline_of_a_breach_also_says_what_was_not_measured(world: World) -> None:
    top = world.whole_day(breaches=[breach("amount has moved")], metrics=None).day().text("")
    assert "1 threshold was crossed. amount has moved Not measured: How good the scores are" in top


@pytest.mark.parametrize(
    ("more", "unconfirmed", "state"),
    [
        ({}, [], "good"),
        ({"trained_on_day": True}, [], "partly measured"),
        ({"metrics": metrics(["0", "1"], rows=24939, roc_auc=None)}, [], "partly measured"),
        ({"metrics": metrics(["0", "1"], rows=3)}, [], "partly measured"),
        ({"breaches": [breach("amount has moved")]}, [breach("amount has moved") | {"days": [DAY]}], "not confirmed"),
        ({"breaches": [breach("amount has moved")]}, None, "crossed"),
    ],
    ids=["all is well", "trained on the day", "one class", "few labels", "one breach alone", "a breach"],
)
def test_result_line_has_the_state_of_the_headline(
    world: World, more: dict[str, Any], unconfirmed: list[Any] | None, state: str
) -> None:
    """The start page of the reports shows it, so that no day is good there and not on its own page."""
    world.whole_day(**more)
    if unconfirmed:
        content = {"version": 1, "ds": DAY, "days": [DAY], "confirmed": [], "unconfirmed": unconfirmed}
        world.publish(f"reports/{DAY}", "confirm", {"breaches.json": content}, [f"reports/{DAY}/evaluation.json"])
    done = world.run("page", "--ds", DAY)
    assert done.code == 0, done.log
    assert done.line["state"] == state
    title = re.search(r"<title>.*?</title>", world.output(REPORT, "index.html").decode())
    assert title
    assert f"{'1 ' if state == 'crossed' else ''}{state}" in title[0]


def test_first_day_says_what_it_has_not(world: World) -> None:
    world.model()
    world.scored(version=None)
    quality = {"rows_in": None, "rows_out": None, "rejected": None, "reasons": None}
    world.evaluate(evaluation(drift=None, quality=quality, metrics=None, curves=None))
    page = world.day()
    assert "No candidate has been compared up to this day" in page.text("comparison")
    assert "has no baseline" in page.text("drift")
    assert "recorded no counts" in page.text("quality")
    assert "The sizes of the images were not given." in page.text("made")


def test_folders_that_are_gone_are_said_to_be(world: World) -> None:
    world.whole_day()
    for folder in (f"features/{DAY}", MODEL, f"raw/{DAY}"):
        shutil.rmtree(world.root / folder)
    page = world.day()
    assert f"features/{DAY} is not there any more" in page.text("quality")
    assert f"The model {MODEL} is not there any more" in page.text("importance")
    assert f"{MODEL} : there is no {MODEL}/_meta.json, so the steps before it are not known." in page.text("lineage")


def test_input_that_was_published_again_is_shown(world: World) -> None:
    world.whole_day()
    world.publish(f"raw/{DAY}", "generate", {"data.csv": "id\nother\n"})
    assert f"raw/{DAY}/data.csv was published again with other bytes: this step read" in world.day().text("lineage")


# --- where it comes from ---


def test_lineage_says_which_search_the_parameters_come_from(world: World) -> None:
    world.whole_day()
    assert "The parameters of the model" not in world.day().text("lineage")
    world.publish("tuning/2026-11-10", "tune", {"best.json": {}})
    world.model(tuned=["tuning/2026-11-10/best.json"])
    assert "The parameters of the model come from the search tuning/2026-11-10 ." in world.day("--force").text(
        "lineage"
    )


def test_lineage_shows_every_partition_and_step_with_its_image(world: World) -> None:
    text = world.whole_day().day().text("lineage")
    for words in (
        f"raw/{TRAINED}",
        f"processed/{TRAINED}",
        MODEL,
        f"raw/{DAY}",
        f"features/{DAY}",
        f"predictions/{DAY}",
    ):
        assert words in text
    for step in ("generate", "prepare", "split", "train", "validate", "features", "predict", "evaluate"):
        assert f" {step} " in text
    page = world.day("--force")
    assert page.row(f"predictions/{DAY}")[1:] == [
        "predict predictions.csv", "prediction:86991694d4d2", f"features/{DAY} {MODEL}",
    ]  # fmt: skip


def test_timeline_groups_the_steps_by_their_dag_run(world: World) -> None:
    page = world.whole_day().day("--airflow-page", "http://localhost:8080/")
    text = page.text("runs")
    places = [text.index(f"{dag} ") for dag in ("train_model", "predict", "monitor")]
    assert places == sorted(places)
    assert f"split → processed/{TRAINED}" in text
    drawn = page.content.decode().partition('id="runs"')[2]
    bars = re.findall(r'<rect class="b s0" x="([^"]*)" width="([^"]*)"', drawn)
    assert bars
    assert all(float(begin) >= 0 < float(width) and float(begin) + float(width) <= 100.2 for begin, width in bars)
    links = page.attributes("a", "href")
    assert f"http://localhost:8080/dags/predict/runs/scheduled__{DAY}T03%3A00%3A00%2B00%3A00" in links


def test_page_links_to_airflow_and_mlflow_only_if_given(world: World) -> None:
    world.whole_day()
    assert all(link.startswith("#") for link in world.day().attributes("a", "href"))
    page = world.day("--mlflow-page", "http://localhost:5000", "--model-name", "my model/x")
    version = "http://localhost:5000/#/models/my%20model%2Fx/versions/3?workflowType=machine_learning"
    assert version in page.attributes("a", "href")


def test_page_shows_the_sizes_of_the_images(world: World) -> None:
    page = world.whole_day().day("--images-json", '{"training": 183.4, "generator": 48}')
    assert page.row("training")[1] == "183"
    assert page.row("generator")[1] == "48"


# --- any text is a text ---


def hostile_day(world: World) -> Page:
    name = HOSTILE[0]
    classes = [f"{text}{index}" for index, text in enumerate(HOSTILE[:8])]
    world.model(classes=classes, importances=[[text, 5, 3] for text in HOSTILE if "\x00" not in text])
    world.compare(comparison(classes, reasons=HOSTILE, metric=name))
    world.scored(rejected=[["<b>data</b>", "<i>", text.replace("\x00", ""), "<u>row</u>"] for text in HOSTILE])
    features = [{**feature(text, 0.3), "labels": [text] * 11} for text in HOSTILE]
    drift = {"features": features, "score": evaluation()["drift"]["score"]}
    quality = {"rows_in": 10, "rows_out": 9, "rejected": {name: 1}, "reasons": dict.fromkeys(HOSTILE, 1)}
    world.evaluate(evaluation(classes, drift=drift, quality=quality, breaches=[breach(text) for text in HOSTILE]))
    return world.day("--images-json", json.dumps(dict.fromkeys(HOSTILE, 1.0)), "--model-name", HOSTILE[2])


def test_hostile_texts_stay_texts(world: World) -> None:
    page = hostile_day(world)
    assert {"script", "img", "b>", "u", "i", "iframe", "object", "link", "base", "form"} & {
        tag for tag, _ in page.tags
    } == set()
    assert [
        name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "style"
    ] == []
    assert page.attributes("img", "src") == []
    for section in ("", "quality", "drift", "comparison"):
        assert "<script>alert(1)</script>" in page.text(section)
        assert "{{ 7 * 7 }}" in page.text(section)
    assert "<b>data</b>, <i>" in page.text("quality")


def test_hostile_texts_cannot_break_the_encoding_or_the_direction(world: World) -> None:
    text = hostile_day(world).content.decode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert "שלום עולם" in text
    assert "�txt.exe�" in text
    assert text.count("x" * 301) == 0


def test_page_needs_nothing_from_elsewhere_and_forbids_it(world: World) -> None:
    page = hostile_day(world)
    style = re.search(r"<style>(.*?)</style>", page.content.decode(), re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert policy in page.attributes("meta", "content")
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    loading = {"src", "srcset", "data", "poster", "background", "xlink:href", "action", "ping"}
    assert [name for _, attributes in page.tags for name in attributes if name in loading] == []
    assert all(link.startswith("#") for link in page.attributes("a", "href"))


def test_page_can_be_read_without_eyes(world: World) -> None:
    page = world.whole_day().day("--images-json", '{"training": 183}')
    assert page.attributes("html", "lang") == ["en"]
    drawings = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert drawings
    for attributes in drawings:
        assert attributes.get("aria-hidden") == "true" or (attributes["role"] == "img" and attributes["aria-label"])
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in page.tags if tag == "th")
    assert [tag for tag, _ in page.tags if tag in ("h1", "main", "nav")] == ["h1", "nav", "main"]
    named = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {link[1:] for link in page.attributes("a", "href")} <= named


# --- size ---


def test_page_of_fifty_features_is_small(world: World) -> None:
    content = evaluation()
    content["drift"]["features"] = [feature(f"feature_{i}", 0.3 / (i + 1), 17) for i in range(50)]
    page = world.whole_day(drift=content["drift"]).day()
    assert len(page.content) < 500_000
    assert "39 more features, with a PSI of 0.0250 or less" in page.text("drift")
    assert "not drawn" not in page.text("drift")


def test_page_of_300_features_draws_fifty_and_says_so(world: World) -> None:
    content = evaluation()
    content["drift"]["features"] = [feature(f"feature_{i:03}", i / 1000, 17) for i in range(300)]
    page = world.whole_day(drift=content["drift"]).day()
    assert "250 more features are not drawn; their PSI is 0.2490 or less." in page.text("drift")
    assert "feature_299" in page.text("drift")
    assert "feature_249" not in page.text("drift")
    assert len(page.content) < 500_000


def test_page_of_many_classes_draws_some_and_says_so(world: World) -> None:
    classes = [f"kind {index}" for index in range(12)]
    page = world.whole_day(classes).day()
    assert "8 more classes are not drawn" in page.text("metrics")
    assert "class kind 0 · this day" in page.text("metrics")
    assert "truth as kind 0" in page.text("metrics")
    assert "threshold" not in page.text("metrics")


def test_page_says_what_the_threshold_was_chosen_by(world: World) -> None:
    assert "costs" not in world.whole_day().day().text("metrics")
    rules = {"costs": {"false_positive": 1, "false_negative": 9}, "capacity": 200}
    costs = {"threshold": 0.25, "cost": 0.87, "default_cost": 1.33, "decision": rules}
    live = metrics(("0", "1"), cost=0.91, default_cost=1.35)
    text = world.whole_day(metrics=live, trained=metrics(("0", "1"), **costs)).day().text("metrics")
    for sentence in (
        "The second class is predicted for at most 200 rows a day, those with the highest scores. "
        "Their scores are 0.2500 or more.",
        "In training a row costs 0.8700; with the threshold of the greatest F1 and no capacity, 1.3300.",
        "On this day a row costs 0.9100; with the threshold of the greatest F1 and no capacity, 1.3500.",
    ):
        assert sentence in text
    trained = metrics(("0", "1"), threshold=0.25, decision={"capacity": 200})
    text = world.whole_day(trained=trained).day().text("metrics")
    assert "the highest scores. Their scores are 0.2500 or more in training." in text


PART = {"field": "channel", "value": "chip", "rows": 900, "figure": 0.9, "interval": [0.88, 0.92], "weak": False}


def test_page_names_weak_segments(world: World) -> None:
    chip = {**PART, "trained": {"figure": 0.91, "interval": [0.85, 0.95]}}
    weak = {"value": "online", "figure": 0.7, "interval": [0.65, 0.75], "weak": True}
    rare = {**PART, "value": "<b>", "rows": 9, "figure": None, "interval": None, "trained": None}
    parts = [chip, {**chip, **weak}, rare]
    page = world.whole_day(segments={"metric": "roc_auc", "figure": 0.89, "parts": parts}).day()
    text = page.text("metrics")
    assert "1 segment is weak, of 2 that are judged by Area under the ROC curve." in text
    assert "online 900 0.9100 0.8500 to 0.9500 0.7000 0.6500 to 0.7500 ◆ weak channel chip 900" in text
    assert "channel <b> 9 – –" in text


def test_segments_without_a_figure_in_training_are_not_judged(world: World) -> None:
    """As in an evaluation of before, where weak meant worse than all rows."""
    content = {"metric": "roc_auc", "figure": 0.95, "parts": [{**PART, "weak": True}]}
    text = world.whole_day(segments=content).day().text("metrics")
    assert "no segment has a figure in training, so none is judged" in text
    assert "◆ weak" not in text


# --- the step ---


def test_same_inputs_give_the_same_bytes(world: World) -> None:
    first = world.whole_day().day().content
    assert world.day("--force").content == first


def test_page_is_not_made_again_until_something_behind_it_changes(world: World) -> None:
    world.whole_day().day()
    assert world.run("page", "--ds", DAY).line["cached"] is True
    assert "cached" not in world.run("page", "--ds", DAY, "--airflow-page", "http://localhost:8080").line
    world.model("2026-11-18")
    world.compare(comparison(ds="2026-11-18"), "2026-11-18")
    assert "cached" not in world.run("page", "--ds", DAY).line
    world.scored("2026-11-20")
    assert "cached" not in world.run("page", "--ds", DAY).line
    assert world.run("page", "--ds", DAY).line["cached"] is True


def test_mark_names_what_the_page_was_made_from(world: World) -> None:
    world.whole_day().day()
    step = json.loads((world.root / REPORT / "_meta.json").read_text())["steps"]["page"]
    assert set(step["inputs"]) == {
        f"{REPORT}/evaluation.json",
        f"predictions/{DAY}/predictions.csv",
        f"features/{DAY}/rejected.csv",
        f"{MODEL}/curves.json",
        f"{MODEL}/encoder.json",
        f"{MODEL}/feature_importance.csv",
        f"comparisons/{TRAINED}/comparison.json",
    }
    assert re.fullmatch("[0-9a-f]{64}", step["parameters"]["lineage"])


def test_result_line_counts_the_crossed_thresholds(world: World) -> None:
    """Only `evaluate` has `breaches`, a list of texts that becomes an alert: a second list would be a second alert."""
    world.whole_day(breaches=[breach("one")])
    line = world.run("page", "--ds", DAY).line
    assert (line["page"], line["crossed"], line["partition"]) == ("index.html", 1, REPORT)
    assert "breaches" not in line
    assert line["bytes"] == len(world.output(REPORT, "index.html"))


def test_day_that_is_not_scored_or_evaluated_yet_is_not_ready(world: World) -> None:
    world.model()
    assert "predictions/2026-11-21 is not ready" in failed(world, 4)
    world.scored()
    assert "reports/2026-11-21 is not ready" in failed(world, 4)


def test_day_that_was_scored_again_is_not_ready(world: World) -> None:
    world.whole_day()
    world.publish(f"predictions/{DAY}", "predict", {"predictions.csv": "other\n"}, model=MODEL, version="3")
    assert "run `prediction evaluate` for 2026-11-21 again" in failed(world, 4)


@pytest.mark.parametrize(
    "file",
    [
        f"{REPORT}/evaluation.json",
        f"predictions/{DAY}/predictions.csv",
        f"features/{DAY}/rejected.csv",
        f"{MODEL}/curves.json",
        f"comparisons/{TRAINED}/comparison.json",
    ],
)
def test_torn_file_is_refused(world: World, file: str) -> None:
    world.whole_day()
    path = world.root / file
    path.write_bytes(path.read_bytes()[:-1])
    assert file in failed(world, 3)
    assert not (world.root / REPORT / "index.html").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[", "is no JSON"),
        ("[" * 100_000, "nested too deep"),
        ("[]", "the whole file is a list; expected: an object"),
        (evaluation(rows="many"), "rows is a text; expected: a whole number"),
        (evaluation(rows=True), "rows is true or false; expected: a whole number"),
        (evaluation(breaches=[{}]), "breaches[0] has no text"),
        (evaluation(metrics=metrics(["0", "1"], roc_auc="NaN")), "metrics.roc_auc is a text; expected: a number"),
        (json.dumps(evaluation()).replace("0.3127", "NaN"), "psi is NaN"),
        (
            evaluation(drift={"features": [], "score": {"labels": [], "expected": [1.0], "actual": [], "psi": 0}}),
            "drift.score has 0 labels, 1 expected, 0 actual",
        ),
        (
            evaluation(curves=[{**curve("1", 0.5), "roc": {"fpr": [0], "tpr": []}}]),
            "curves[0].roc has 1 fpr, 0 tpr",
        ),
    ],
)  # fmt: skip
def test_evaluation_that_is_not_of_the_form_is_refused_by_its_place(world: World, content: object, words: str) -> None:
    world.model()
    world.scored()
    world.evaluate(content)
    assert words in failed(world, 3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--images-json", "{"], "--images-json"),
        (["--images-json", "[1]"], "sizes in MB by image"),
        (["--images-json", f'{{"a": {10**400}}}'], "sizes in MB by image"),
        (["--images-json", '{"training": "big"}'], "sizes in MB by image"),
        (["--images-json", '{"training": -1}'], "sizes in MB by image"),
        (["--airflow-page", "javascript:alert(1)"], "an address such as http://localhost:8080"),
        (["--mlflow-page", "localhost:5000"], "an address such as"),
        (["--mlflow-page", "http://me:secret@localhost"], "an address such as"),
        (["--airflow-page", "http://[x"], "an address such as"),
    ],
)
def test_option_that_is_wrong_is_named(world: World, options: list[str], words: str) -> None:
    world.whole_day()
    result = world.run("page", "--ds", DAY, *options)
    assert result.code == 2
    assert words in result.log


def test_marks_that_lead_in_a_circle_or_out_of_the_data_end(world: World, tmp_path: Path) -> None:
    world.whole_day()
    for partition in (f"raw/{DAY}", f"processed/{TRAINED}"):
        mark = world.root / partition / "_meta.json"
        content = json.loads(mark.read_text())
        for step in content["steps"].values():
            step["inputs"] = {
                f"{REPORT}/evaluation.json": "0" * 64,
                "../../etc/passwd": "0" * 64,
                "/etc/passwd": "0" * 64,
            }
        mark.write_text(json.dumps(content))
    assert f"features/{DAY}" in world.day().text("lineage")


def failed(world: World, code: int) -> str:
    """What the log says of a call that ends with this code."""
    result = world.run("page", "--ds", DAY)
    assert result.code == code, result.log
    return result.log


def test_page_starts_with_what_changed_since_yesterday(world: World) -> None:
    yesterday = evaluation(ds="2026-11-20", rows=20000, model={"name": MODEL, "version": "2", "run_id": "f00"})
    yesterday["metrics"] |= {"roc_auc": 0.9, "intervals": {"roc_auc": [0.885, 0.915]}}
    yesterday["drift"]["features"][0] |= {"psi": 0.05}
    yesterday["quality"] |= {"rows_in": 20200, "rejected": {"data.csv": 202}}
    world.model()
    world.scored("2026-11-20", version="2")
    world.evaluate(yesterday, "2026-11-20")
    world.scored()
    world.evaluate(evaluation(metrics={**evaluation()["metrics"], "intervals": {"roc_auc": [0.876, 0.906]}}))
    page = world.day()
    assert page.row("Area under the ROC curve") == [
        *("Area under the ROC curve", "0.9000", "0.8911", "−0.0089 no clear difference"),
    ]
    assert page.row("Rows scored")[1:] == ["20,000", "24,939", "+24.7%"]
    assert page.row("Rows rejected")[1:] == ["1.0%", "1.1%", "+0.11 points"]
    assert page.row("Strongest drift")[1:] == ["channel 0.1444", "amount 0.3127", "amount stable → strong"]
    assert page.row("Model")[1:] == ["version 2", "version 3", "another model"]
    shown = page.content.decode()
    assert shown.index('id="changes"') < shown.index('class="tiles"')


@pytest.mark.parametrize("torn", [False, True])
def test_page_without_yesterday_compares_nothing(world: World, torn: bool) -> None:
    world.whole_day()
    if torn:
        world.scored("2026-11-20")
        world.evaluate(evaluation(ds="2026-11-20"), "2026-11-20")
        (world.root / "reports/2026-11-20/evaluation.json").write_text("{}")
    shown = world.day().content.decode()
    assert "yesterday" not in shown.lower()
    assert "#changes" not in shown


@pytest.mark.parametrize(
    "more", [{"metrics": None}, {"trained_on_day": True}, {"drift": None}, {"quality": {"reasons": {}}}]
)
def test_what_was_not_measured_yesterday_is_not_compared(world: World, more: dict[str, Any]) -> None:
    world.model()
    world.scored("2026-11-20")
    world.evaluate(evaluation(ds="2026-11-20", **more), "2026-11-20")
    world.scored()
    world.evaluate(evaluation())
    assert world.day().text("changes").count("not comparable") == 1


@pytest.mark.parametrize(
    ("intervals", "said"),
    [
        ({"roc_auc": [0.87, 0.90]}, "−0.0282 worse"),
        ({"roc_auc": [0.86, 0.93]}, "−0.0282 no clear difference"),
        ({}, "−0.0282 chance not tested"),
    ],
)
def test_difference_is_judged_only_beyond_its_interval(world: World, intervals: dict[str, Any], said: str) -> None:
    page = world.whole_day(metrics={**evaluation()["metrics"], "intervals": intervals}).day()
    assert page.row("Area under the ROC curve more")[3] == said
