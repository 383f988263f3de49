"""Every stage has the same anatomy: who has read one finds the way in each.

The entry module lists the commands and does nothing else. Each command is a function of its name in a module of its
name, and publishes a step of its name.
"""

import ast
from pathlib import Path

import pytest

from tests.harness import ROOT

STAGES = sorted(path.parent for path in ROOT.glob("stages/*/Dockerfile"))
Command = tuple[str, str]


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def calls(tree: ast.AST, name: str) -> list[ast.Call]:
    """The calls of a function."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in found if isinstance(call.func, ast.Name) and call.func.id == name]


def text_of(node: ast.expr) -> str:
    """A literal text; empty for anything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def commands(stage: Path) -> list[Command]:
    """The commands that the entry module lists: the name, and what it runs."""
    found = calls(parse(stage / f"{stage.name}.py"), "Command")
    assert found, f"{stage.name}.py lists no command"
    return [(text_of(call.args[0]), text_of({one.arg: one.value for one in call.keywords}["run"])) for call in found]


def functions(tree: ast.Module) -> list[str]:
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_entry_module_only_lists_the_commands(stage: Path) -> None:
    assert functions(parse(stage / f"{stage.name}.py")) == ["main"]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_command_has_one_name(stage: Path) -> None:
    for name, run in commands(stage):
        module, _, function = run.partition(":")
        # A word that Python has itself gets an underscore: `import_`.
        assert module.removesuffix("_") == function.removesuffix("_") == name.replace("-", "_"), run
        tree = parse(stage / f"{module}.py")
        assert function in functions(tree), f"{module}.py has no function {function}"
        steps = [step for call in calls(tree, "publish") if (step := text_of(call.args[2]))]
        assert not steps or name in steps, f"{module}.py publishes {steps}"
