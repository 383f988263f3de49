"""What a rank says without the others; tests/images/test_ranks.py has them all."""

import pytest
from conftest import World


@pytest.mark.parametrize("rank", [None, "", "2", "-1", "one"])
def test_rank_without_a_number_of_its_own_is_refused(
    day: World, monkeypatch: pytest.MonkeyPatch, rank: str | None
) -> None:
    monkeypatch.delenv("ML_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("ML_RANK", rank)
    result = day.run("--ranks", "2")
    assert result.code == 2
    assert f"ML_RANK is {rank or 'not set'}; expected: a number from 0 to 1" in result.log


@pytest.mark.parametrize("rank", ["0", "1"])
def test_rank_that_is_left_alone_gives_up(day: World, monkeypatch: pytest.MonkeyPatch, rank: str) -> None:
    monkeypatch.setenv("ML_RANK", rank)
    monkeypatch.setattr("ranks.MEETING_S", 0.5)
    result = day.run("--ranks", "2")
    assert result.code == 1
    assert f"rank {rank} of 2 has waited 0.5 s for the others; expected: 2 containers on one network" in result.log
    assert day.leftovers() == []


def test_explanation_needs_no_other_rank(day: World) -> None:
    day.train("--param", "num_iterations=3")
    assert "--ranks 1 then, 2 now" in day.run("--ranks", "2", "--explain").line["explain"]["changed"]
