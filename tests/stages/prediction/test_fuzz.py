"""Files that somebody has damaged or made up: a command takes them, or ends with exit code 3 and leaves nothing."""

import contextlib
import json

from conftest import DAY, World, load_fixture
from hypothesis import given
from hypothesis import strategies as st
from stagekit.errors import UsageError

from rules import EXPECTED, read_rules
from tests.hostile import BAD_INPUT, DONE, RUNS, TEXTS, VALUES, documents, model_texts, tables

FIXTURE = load_fixture("binary_categories")
REFERENCE = "row,probability_0,probability_1\n" + "".join(
    f"{number},{','.join(scores)}\n" for number, scores in enumerate(FIXTURE.scores)
)


def check(world: World, *arguments: str) -> bool:
    """Run a command, which is done or says what is wrong with its input; returns whether it is done."""
    before = set(world.tree())
    run = world.run(*arguments, "--force")
    assert run.code in (DONE, BAD_INPUT), run.errors
    assert "Traceback" not in run.errors
    assert run.code == DONE or set(world.tree()) == before
    return run.code == DONE


@RUNS
@given(model=model_texts(FIXTURE.model))
def test_model_is_read_or_refused(world: World, model: bytes) -> None:
    world.fixture = FIXTURE
    world.train(model=model)
    check(world, "validate", "--ds", DAY)


@RUNS
@given(encoder=documents(FIXTURE.encoder), reference=st.one_of(st.just(REFERENCE.encode()), tables(REFERENCE)))
def test_encoder_and_reference_scores_are_read_or_refused(world: World, encoder: bytes, reference: bytes) -> None:
    world.fixture = FIXTURE
    world.train(encoder=encoder, reference=reference)
    check(world, "validate", "--ds", DAY)


@RUNS
@given(data=st.data())
def test_rows_are_read_or_refused(world: World, data: st.DataObject) -> None:
    world.fixture = FIXTURE
    world.train(val=data.draw(tables(world.val())))
    if check(world, "validate", "--ds", DAY):
        world.prepare(f"models/{DAY}", data.draw(tables(world.features())))
        check(world, "predict", "--ds", DAY, "--model", f"models/{DAY}")


@RUNS
@given(data=st.data(), name=st.sampled_from(["metrics.json", "baseline.json"]))
def test_documents_of_the_model_are_read_or_refused(world: World, data: st.DataObject, name: str) -> None:
    world.fixture = FIXTURE
    model = world.validated()
    world.publish(model, "forge", {name: data.draw(documents(world.json(f"{model}/{name}")))})
    world.prepare(model)
    if check(world, "predict", "--ds", DAY, "--model", model):
        world.target([[*row[:2], code] for row, code in zip(FIXTURE.rows, world.codes(), strict=True)])
        check(world, "evaluate", "--ds", DAY)


GOOD_RULES = {
    "metric": "roc_auc", "floors": {"roc_auc": 0.7}, "tolerance": 0.01, "days": 30, "segments": None,
    "costs": {"false_positive": 1, "false_negative": "amount"}, "capacity": 5, "purpose": "", "confidence": 0.95,
}  # fmt: skip


@given(text=st.one_of(documents(GOOD_RULES).map(lambda content: content.decode("utf-8", "replace")), TEXTS))
def test_rules_are_read_or_wrong_usage(text: str) -> None:
    with contextlib.suppress(UsageError):
        read_rules(text, dict.fromkeys(EXPECTED))


@given(key=st.sampled_from(sorted(EXPECTED)), value=VALUES)
def test_rule_is_read_or_wrong_usage(key: str, value: object) -> None:
    with contextlib.suppress(UsageError):
        read_rules(json.dumps({key: value}), dict.fromkeys(EXPECTED))
