"""No attack on the pages of Airflow, MLflow and the reports reads or changes what it may not; each still answers."""

import pytest

from tests.attacks import web

GROUPS = {
    "no login, or a wrong one": 401,
    "a page of another service, with the login of the browser": 403,
    "another name that leads to the service": None,
    "a path to another file": None,
    "a version whose files are elsewhere": 400,
    "more than a request has": None,
    "a link on another page, with the login of the browser": None,
    "many passwords, the right one among them": None,
    "a request in another's body": None,
    "another verb": None,
    "no attack: it may do what it asks for": None,
}


@pytest.fixture(scope="module")
def outcomes() -> list[web.WebOutcome]:
    with web.services() as found:
        return list(web.run(found, list(web.all_attacks(found))))


@pytest.mark.parametrize("group", GROUPS)
def test_nothing_is_read_or_changed_but_what_may_be(outcomes: list[web.WebOutcome], group: str) -> None:
    of_group = [one for one in outcomes if one.attack.group == group]
    assert of_group
    assert [(one.attack.name, one.done, one.answer[:80]) for one in of_group if not one.passed] == []
    if status := GROUPS[group]:
        # Airflow leads a stranger to its form, where a page and no API was asked for.
        others = [one for one in of_group if (one.attack.service, status) != ("airflow", 401)]
        assert {one.answer[9:12] for one in others} == {b"%d" % status}


def test_each_attack_is_in_a_group_of_the_test(outcomes: list[web.WebOutcome]) -> None:
    assert {one.attack.group for one in outcomes} == set(GROUPS)
