"""No module imports, by whatever way around, a module that imports it: what depends on what has one direction."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.harness import ROOT

# Folders from which modules are imported by their own names, as they are in an image.
FOLDERS = [
    *("base-image", "dags"),
    *sorted(
        str(path.parent.relative_to(ROOT))
        for units in ("stages", "services")
        for path in ROOT.glob(f"{units}/*/Dockerfile")
    ),
]
Graph = dict[str, set[str]]


def modules_of(folder: Path, *packages: str) -> dict[str, Path]:
    """The modules below a folder, or below some packages in it, by the name that one imports them by."""
    files = [file for name in packages or ("",) for file in sorted((folder / name).rglob("*.py"))]
    return {".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def names_in(tree: ast.AST, package: str) -> Iterator[str]:
    """Every name that is imported, also inside functions: an import that is put off is one all the same."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: 1 - node.level or None] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imports_of(modules: dict[str, Path]) -> Graph:
    """Which of the modules each one imports."""
    graph: Graph = {}
    for module, file in modules.items():
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        found = names_in(ast.parse(file.read_text(encoding="utf-8")), package)
        # A name is a module, or something in one.
        graph[module] = {name if name in modules else name.rpartition(".")[0] for name in found} & modules.keys()
    return graph


def circle(graph: Graph) -> list[str]:
    """A circle, as the modules on the way round; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("folder", FOLDERS)
def test_modules_of_an_image_import_in_one_direction(folder: str) -> None:
    graph = imports_of(modules_of(ROOT / folder))
    assert graph
    assert circle(graph) == []


def test_modules_of_the_host_tool_import_in_one_direction() -> None:
    assert circle(imports_of(modules_of(ROOT, "airflow_ml", "maintain"))) == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a.py": "import b", "b.py": "import c", "c.py": "import os"}, False),
        ({"a.py": "from b import x", "b.py": "def f():\n    from a import y"}, True),
        ({"p/__init__.py": "from p.a import x", "p/a.py": "from . import b", "p/b.py": "from .a import x"}, True),
        ({"p/__init__.py": "from p.a import x", "p/a.py": "from p import y"}, True),
        ({"p/__init__.py": "from .a import x", "p/a.py": "from .b import x", "p/b.py": "x = 1"}, False),
    ],
)
def test_circle_is_found(tmp_path: Path, files: dict[str, str], expected: bool) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert bool(circle(imports_of(modules_of(tmp_path)))) is expected
