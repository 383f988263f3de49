"""No attack on the engine proxy does anything at the engine, and the lab sees what the same attacks do without it."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.attacks import requests
from tests.attacks.lab import Lab, attack_lab
from tests.attacks.proxy import Attack, Outcome, all_attacks, run, run_directly
from tests.images.proxy_lab import answers_in

ATTACKS = all_attacks()
GROUPS = sorted({attack.group for attack in ATTACKS})


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with attack_lab() as made:
        yield made


@pytest.fixture(scope="module")
def outcomes(lab: Lab) -> list[Outcome]:
    return list(run(lab, ATTACKS))


@pytest.mark.parametrize("group", GROUPS)
def test_nothing_happens_at_the_engine_but_what_may_happen(outcomes: list[Outcome], group: str) -> None:
    of_group = [outcome for outcome in outcomes if outcome.attack.group == group]
    assert of_group
    assert [(one.attack.name, one.done, one.answer[:80]) for one in of_group if not one.passed] == []


@pytest.mark.parametrize("name", requests.MALFORMED)
def test_request_that_is_malformed_gets_one_answer_and_no_more(outcomes: list[Outcome], name: str) -> None:
    content, status = requests.MALFORMED[name]
    (answer,) = (outcome.answer for outcome in outcomes if outcome.attack.parts == (content,))
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answers_in(answer) == 1
    head, _, message = answer.partition(b"\r\n\r\n")
    assert b"Connection: close" in head
    assert json.loads(message)["message"]


@pytest.mark.parametrize("name", requests.SECOND)
def test_what_follows_a_request_is_not_answered(outcomes: list[Outcome], name: str) -> None:
    (answer,) = (outcome.answer for outcome in outcomes if outcome.attack.name == name)
    assert answers_in(answer) == 1


# A part of the name of an attack, and of what it does to an engine without a proxy.
HARM = {
    'User is "0:0"': "container created, other than a stage's: Config.User",
    "HostConfig.Privileged is true": "HostConfig.Privileged",
    "HostConfig.bindſ is": "HostConfig.Binds, Mounts",
    "TaskTemplate.ContainerSpec.CapabilityAdd": "service created, other than a stage's: ContainerSpec.CapabilityAdd",
    "Internal is false": "network created: overlay",
    "GET /v1.45/containers/OTHER/logs": "another's secret read",
    "GET /v1.45/info": "the engine's own facts read",
    "a second request, later": "container of another changed",
}


@pytest.mark.parametrize("name", HARM)
def test_lab_sees_what_an_attack_does_to_an_engine_without_a_proxy(lab: Lab, name: str) -> None:
    attack: Attack = next(one for one in ATTACKS if re.match(re.escape(name), one.name))
    (done,) = run_directly(lab, [attack])
    assert HARM[name] in "; ".join(done)
