"""The history of the champion: for every order of promotions and rollbacks, not for some examples only."""

import json
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import (
    MOST_CHARACTERS,
    PROMOTE,
    ROLLBACK,
    Event,
    as_of,
    champion,
    format_moment,
    next_moment,
    of_run,
    parse_events,
    parse_moment,
    stack,
)

START = datetime(2026, 11, 15, 2, tzinfo=UTC)


def event(minute: int, version: int, kind: str = PROMOTE, run: str = "") -> Event:
    return Event(START + timedelta(minutes=minute), str(version), kind, "someone", "a reason", run)


def play(wishes: list[int | None]) -> tuple[list[Event], list[list[int]]]:
    """The events of a person who promotes (a number) or rolls back (None), and the stack as a person would keep it."""
    kept: list[int] = []
    events, stacks = [], []
    for minute, wish in enumerate(wishes):
        if wish is None and len(kept) > 1:
            kept.pop()
            events.append(event(minute, kept[-1], ROLLBACK))
        elif wish is not None and kept[-1:] != [wish]:
            kept.append(wish)
            events.append(event(minute, wish))
        else:
            continue
        stacks.append(list(kept))
    return events, stacks


wishes = st.lists(st.none() | st.integers(1, 4), max_size=30)


@given(wishes)
def test_stack_is_what_a_person_would_keep(wishes: list[int | None]) -> None:
    events, stacks = play(wishes)
    for number, kept in enumerate(stacks, start=1):
        assert stack(events[:number]) == [str(version) for version in kept]


@given(wishes)
def test_champion_is_on_top_of_the_stack(wishes: list[int | None]) -> None:
    events, _ = play(wishes)
    assert champion(events) == (stack(events)[-1] if events else None)


@given(wishes, st.integers(-1, 31))
def test_as_of_is_the_champion_that_there_was(wishes: list[int | None], minute: int) -> None:
    events, _ = play(wishes)
    now = None
    for past in events:
        if past.at <= START + timedelta(minutes=minute):
            now = past.version
    assert champion(as_of(events, START + timedelta(minutes=minute))) == now


@given(wishes, st.randoms())
def test_events_survive_as_tags_in_any_order(wishes: list[int | None], order: Random) -> None:
    events, _ = play(wishes)
    tags = [(past.key, past.value) for past in events]
    order.shuffle(tags)
    assert parse_events({**dict(tags), "owner": "a team", "champions": "not ours"}) == events


@given(wishes, st.integers(1, 4), st.integers(1, 4))
def test_two_promotions_at_the_same_time_are_both_recorded_and_the_later_counts(
    wishes: list[int | None], one: int, other: int
) -> None:
    events, _ = play(wishes)
    both = [*events, event(100, one), event(101, other)]
    assert champion(both) == str(other)
    assert stack(both)[-1] == str(other)


@given(wishes)
def test_two_rollbacks_at_the_same_time_go_back_one_step(wishes: list[int | None]) -> None:
    events, stacks = play(wishes)
    if not stacks or len(stacks[-1]) < 2:
        return
    before = stack(events)
    twice = [*events, event(100, int(before[-2]), ROLLBACK), event(101, int(before[-2]), ROLLBACK)]
    assert stack(twice) == before[:-1]


def test_history_goes_back_further_with_each_rollback() -> None:
    events = [event(1, 1), event(2, 2), event(3, 3), event(4, 2, ROLLBACK), event(5, 1, ROLLBACK), event(6, 4)]
    assert [stack(events[:number]) for number in range(1, 7)] == [
        ["1"], ["1", "2"], ["1", "2", "3"], ["1", "2"], ["1"], ["1", "4"],
    ]  # fmt: skip


@given(st.text(max_size=7000), st.text(max_size=50))
def test_value_fits_the_column_and_keeps_all_but_the_end_of_a_long_reason(reason: str, by: str) -> None:
    made = Event(START, "3", PROMOTE, by, reason)
    assert len(made.value) <= MOST_CHARACTERS
    (read,) = parse_events({made.key: made.value})
    if read.reason != reason:
        assert read.reason.endswith("[...cut]")
        assert reason.startswith(read.reason.removesuffix(" [...cut]"))
        assert len(reason) > MOST_CHARACTERS / 10, "short enough to fit, however it is escaped"
    assert (read.version, read.kind, read.by) == ("3", PROMOTE, by)


def test_key_names_the_moment_and_keys_sort_as_moments_do() -> None:
    assert event(0, 1).key == "champion.2026-11-15T02:00:00.000000Z"
    moments = [START + timedelta(microseconds=step) for step in (0, 1, 10, 1_000_000, 86_400_000_000)]
    assert sorted(map(format_moment, moments)) == [format_moment(moment) for moment in moments]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("champion.yesterday", json.dumps({"version": "1", "kind": PROMOTE})),
        ("champion.2026-11-15T02:00:00.000000Z", "no JSON"),
        ("champion.2026-11-15T02:00:00.000000Z", "[]"),
        ("champion.2026-11-15T02:00:00.000000Z", json.dumps({"kind": PROMOTE})),
        ("champion.2026-11-15T02:00:00.000000Z", json.dumps({"version": "one", "kind": PROMOTE})),
        ("champion.2026-11-15T02:00:00.000000Z", json.dumps({"version": "1", "kind": "demote"})),
    ],
)
def test_damaged_event_is_named(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=key.replace(".", r"\.")):
        parse_events({key: value})


def test_event_of_a_run_that_is_tried_again_is_found_and_by_hand_none_is() -> None:
    events = [event(1, 1, run="train_model/a"), event(2, 2)]
    assert of_run(events, "train_model/a") == events[0]
    # The run was cleared and repeated, and promoted another version.
    repeated = [*events, event(3, 3, run="train_model/a"), event(4, 4)]
    assert of_run(repeated, "train_model/a") == repeated[2]
    assert of_run(events, "train_model/b") is None
    assert of_run(events, "") is None


def test_next_event_comes_after_the_last_also_where_the_clock_has_gone_back() -> None:
    last = event(5, 1)
    assert next_moment([last], START) > last.at
    assert next_moment([last], START + timedelta(hours=1)) == START + timedelta(hours=1)
    assert next_moment([], START) == START


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-21", "2026-11-21T23:59:59.999999Z"),
        ("2026-11-21T03:00:00Z", "2026-11-21T03:00:00.000000Z"),
        ("2026-11-21T03:00:00", "2026-11-21T03:00:00.000000Z"),
        ("2026-11-21T03:00:00.5+02:00", "2026-11-21T01:00:00.500000Z"),
    ],
)
def test_moment_is_utc_and_a_day_means_its_end(text: str, moment: str) -> None:
    assert format_moment(parse_moment(text)) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "21.11.2026"])
def test_moment_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"isoformat|month"):
        parse_moment(text)
