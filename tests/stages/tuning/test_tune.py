"""The search on days of a few rows: what it publishes, what it refuses, and that nothing else decides the bytes."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import DAY, DAYS, TRIALS, TUNED, World, make_encoder, make_rows

import tuning
from search_rows import last_rows, spread_rows
from tests.harness import PATIENCE_S


def test_best_trial_is_the_least_log_loss_and_the_first_has_the_defaults(searched: dict[str, bytes]) -> None:
    trials = [json.loads(line) for line in searched["trials.jsonl"].splitlines()]
    best = json.loads(searched["best.json"])
    assert [trial["number"] for trial in trials] == list(range(TRIALS))
    assert trials[0]["parameters"] == {"feature_pre_filter": False}
    finished = [trial for trial in trials if not trial["pruned"]]
    assert best["value"] == min(trial["value"] for trial in finished) <= trials[0]["value"] == best["defaults"]
    assert best["parameters"] == trials[best["trial"]]["parameters"]
    for trial in trials:
        assert trial["value"] == trial["curve"][trial["best_iteration"] - 1]
    pruned = [trial for trial in trials if trial["pruned"]]
    assert pruned
    assert all(len(trial["curve"]) >= 50 for trial in pruned)


def test_rows_that_another_run_has_split_for_another_time_are_refused(day: World) -> None:
    result = day.run("--trials", "1", "--as-of", "2026-11-21")
    assert result.code == 3
    assert f"processed/{DAY}/train.csv was made without --as-of" in result.log


def test_search_reads_none_of_the_rows_that_judge_the_model(day: World) -> None:
    day.tune("--trials", "1")
    step = json.loads((day.root / TUNED / "_meta.json").read_text())["steps"]["tune"]
    assert sorted(step["inputs"]) == [f"processed/{DAY}/encoder.json", f"processed/{DAY}/train.csv"]
    assert day.best()["rows"] == {"fit": 320, "val": 80}


def test_same_seed_gives_the_same_trials_and_fewer_are_the_first_of_more(
    day: World, searched: dict[str, bytes]
) -> None:
    day.tune("--trials", "12")
    assert day.output("trials.jsonl").splitlines() == searched["trials.jsonl"].splitlines()[:12]


def test_another_seed_tries_something_else(day: World, searched: dict[str, bytes]) -> None:
    day.tune("--trials", "2", "--seed", "1")
    assert day.trials()[1]["parameters"] != json.loads(searched["trials.jsonl"].splitlines()[1])["parameters"]


def test_minutes_only_stop_earlier_and_a_warning_says_so(day: World) -> None:
    line = day.tune("--trials", "2", "--minutes", "0").line
    assert line["trials"] == 1
    assert "--trials 1 gives the same result" in line["warnings"][0]
    early = day.outputs()
    day.tune("--trials", "1")
    assert day.outputs() == early


def test_killed_search_continues_and_has_the_bytes_of_one_that_was_not(day: World, searched: dict[str, bytes]) -> None:
    command = [sys.executable, tuning.__file__, "--ds", DAY, "--data-dir", str(day.root), "--trials", str(TRIALS)]
    journal = day.root / TUNED / ".search.jsonl"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + PATIENCE_S
        while not journal.exists() or journal.read_bytes().count(b"\n") < 4:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    done = journal.read_bytes().count(b"\n") - 1
    assert 3 <= done < TRIALS
    # A line that is damaged, and one as a kill in the middle of it leaves it.
    journal.write_bytes(journal.read_bytes() + b'{"number": 98, "pruned": "no"}\n{"number": 99, "pru')
    log = day.tune("--trials", str(TRIALS)).log
    assert f"{done} trials were finished before" in log
    assert f"trial {done - 1}: " not in log
    assert day.outputs() == searched
    assert day.files() == ["_meta.json", "best.json", "trials.jsonl"]


def test_journal_of_other_rows_is_not_used(day: World) -> None:
    folder = day.root / TUNED
    folder.mkdir(parents=True)
    (folder / ".search.jsonl").write_text('{"search": "another"}\n{"number": 0}\n')
    assert "finished before" not in day.tune("--trials", "1").log


def test_second_search_of_a_day_at_the_same_time_is_refused(day: World) -> None:
    import fcntl

    folder = day.root / TUNED
    folder.mkdir(parents=True)
    descriptor = os.open(folder / ".search.jsonl", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    result = day.run("--trials", "1")
    os.close(descriptor)
    assert result.code == 1
    assert "another search" in result.log


def test_result_is_not_made_twice(day: World) -> None:
    day.tune("--trials", "1")
    assert day.tune("--trials", "1").line["cached"] is True


def test_more_classes_and_weights_are_searched_too(world: World) -> None:
    lines = [line.replace(",", ",2.5,", 1) for line in make_rows(400, 3, classes=3)]
    world.publish(lines, make_encoder(3, weight="stake"))
    assert world.tune("--trials", "1").line["metric"] == "multi_logloss"
    weighted = world.trials()[0]["curve"]
    world.publish(make_rows(400, 3, classes=3), make_encoder(3))
    world.tune("--trials", "1")
    # Equal weights change no mean but scale each gradient, so only the first iterations are alike.
    assert weighted[0] == pytest.approx(world.trials()[0]["curve"][0], rel=0.02)


def test_window_is_validated_on_its_last_rows(world: World) -> None:
    lines = make_rows(400, seed=1)
    world.publish(lines, make_encoder(days=DAYS))
    world.tune("--trials", "1")
    assert world.best()["validated_on"] == "the last rows of the window"
    first = world.trials()
    # Another order of the rows that fit is no other search; of the rows that validate, only the set counts.
    world.publish([*lines[:320], *reversed(lines[320:])], make_encoder(days=DAYS))
    world.tune("--trials", "1")
    assert world.trials()[0]["curve"] == pytest.approx(first[0]["curve"], abs=1e-9)
    world.publish([*lines[320:], *lines[:320]], make_encoder(days=DAYS))
    world.tune("--trials", "1")
    assert world.trials()[0]["curve"][0] != pytest.approx(first[0]["curve"][0], abs=1e-6)


def test_rows_of_one_day_validate_by_class() -> None:
    codes = np.array([0] * 90 + [1] * 9 + [2])
    chosen = spread_rows(codes, 0.2, seed=4)
    assert [int(chosen[codes == code].sum()) for code in (0, 1, 2)] == [18, 2, 0]
    assert (spread_rows(codes, 0.2, seed=4) == chosen).all()
    assert (spread_rows(codes, 0.2, seed=5) != chosen).any()
    assert last_rows(10, 0.2).tolist() == [False] * 8 + [True] * 2


@pytest.mark.parametrize(
    ("lines", "header", "message"),
    [
        (["0,1,2,3"], "kind,price,shop", "expected: those of encoder.json"),
        ([], None, "no rows"),
        (["0,1,2,3", "1,1,2"], None, "line 3 has 3 fields"),
        (["0,1,2,3", "1,1,x,3"], None, "line 3, column 'shop' has 'x'"),
        (["0,1,2,nan"], None, "line 2, column 'size' has 'nan'"),
        (["7,1,2,3"], None, "line 2 has the target 7"),
        ([",1,2,3"], None, "line 2 has the target nan"),
        (["0,1,2,3"] * 20, None, "has one class"),
        (["0,1,2,3"] * 20 + ["1,1,2,3"], None, "the part that validates the trials has one class"),
    ],
)
def test_bad_table_is_named_and_nothing_is_published(
    world: World, lines: list[str], header: str | None, message: str
) -> None:
    world.publish(lines, header=header)
    result = world.run("--trials", "1")
    assert result.code == 3
    assert message in result.log
    assert not (world.root / TUNED).exists()


def test_weight_that_is_not_above_0_is_refused(world: World) -> None:
    lines = [line.replace(",", ",1,", 1) for line in make_rows(60, 3)]
    world.publish([*lines, "1,0,1,2,3"], make_encoder(weight="stake"))
    result = world.run("--trials", "1")
    assert result.code == 3
    assert "line 62 has the weight 0" in result.log


def test_missing_day_is_not_ready(world: World) -> None:
    assert world.run().code == 4


@pytest.mark.parametrize(
    "arguments", [["--trials", "0"], ["--minutes", "-1"], ["--val-fraction", "1"], ["--seed", "x"]]
)
def test_wrong_option_is_wrong_usage(world: World, arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        world.run(*arguments)
