"""The command line: help, wrong usage, and a server that is down."""

import json
import subprocess
import sys

import pytest
from conftest import COMPARISON, DAY, EVALUATION, MODEL, NOWHERE, World

COMMANDS = {
    "register": ("register", "--ds", DAY),
    "decide": ("decide", "--ds", DAY, "--promote", "manual"),
    "promote": ("promote", "--version", "1", "--by", "me", "--reason", "why"),
    "roll-back": ("roll-back", "--by", "me", "--reason", "why"),
    "resolve": ("resolve",),
    "list": ("list",),
    "log-evaluation": ("log-evaluation", "--ds", DAY),
    "tidy": ("tidy", "--before", DAY),
}
RUN = """
import sys, registry, server
server.PAUSES_S = ()
try:
    code = registry.main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print(code, "mlflow" in sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [("--help",), ("resolve", "--help"), ("promote", "--version", "x"), ("resolve",)])
def test_help_wrong_usage_and_a_server_that_is_down_do_not_wait_for_mlflow(world: World, arguments: list[str]) -> None:
    folder = () if "--help" in arguments else ("--data-dir", str(world.root))
    done = subprocess.run([sys.executable, "-c", RUN, *arguments, *folder], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1].endswith(" False"), done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_server_that_is_down_fails_every_command_and_is_named(world: World, command: str) -> None:
    model = world.publish_model()
    world.publish(f"comparisons/{DAY}", "compare", {"comparison.json": json.dumps(COMPARISON)}, model)
    world.publish(
        f"reports/{DAY}", "evaluate", {"evaluation.json": json.dumps(EVALUATION), "index.html": "<html>"}, model
    )
    result = world.run(*COMMANDS[command])
    assert result.code == 1
    assert f"the MLflow server at {NOWHERE} is out of reach" in result.log
    assert "docker compose up -d mlflow" in result.log


@pytest.mark.parametrize(
    "arguments",
    [
        ("promote", "--version", "0", "--by", "me", "--reason", "why"),
        ("promote", "--version", "1", "--by", " ", "--reason", "why"),
        ("promote", "--version", "1", "--by", "me"),
        ("roll-back", "--by", "me", "--reason", ""),
        ("decide", "--ds", DAY, "--promote", "perhaps"),
    ],
)
def test_promotion_without_a_record_is_wrong_usage(world: World, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit, match="2"):
        world.run(*arguments)


@pytest.mark.parametrize("command", ["register", "decide"])
def test_model_that_is_not_validated_is_refused_before_the_server_is_asked(world: World, command: str) -> None:
    model = world.publish(MODEL, "train", {"model.txt": "tree", "encoder.json": "{}"})
    world.publish(f"comparisons/{DAY}", "compare", {"comparison.json": json.dumps(COMPARISON)}, model)
    result = world.run(*COMMANDS[command])
    assert result.code == 4
    assert "is not validated" in result.log
