"""The comparison that a decision is made from."""

import json

import pytest
from conftest import COMPARISON, DAY, World

DECIDE = ("decide", "--ds", DAY, "--promote", "manual")


def test_comparison_of_another_model_is_refused(world: World) -> None:
    world.publish(
        f"comparisons/{DAY}", "compare", {"comparison.json": json.dumps(COMPARISON)}, world.publish_model(trees="old")
    )
    world.publish_model(trees="new")
    result = world.run(*DECIDE)
    assert result.code == 3
    assert f"run `prediction compare --ds {DAY}` again" in result.log


@pytest.mark.parametrize("text", ["[]", "{}", '{"passed": true, "reasons": [], "champion": 3}'])
def test_comparison_that_is_not_understood_is_refused(world: World, text: str) -> None:
    world.publish(f"comparisons/{DAY}", "compare", {"comparison.json": text}, world.publish_model())
    assert world.run(*DECIDE).code == 3
