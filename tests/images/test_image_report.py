"""docs/images.md describes the images that are there: every size, layer and part of one."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from maintain import image_report, naive_images

from .test_sizes import ALL_TOGETHER, MB, MLFLOW, TOLERANCE, WITHOUT_MLFLOW

# Sizes are shown with one digit after the point; a module of ours that grew is no reason to renew the page.
ROUNDING_MB = 0.06
HARDLY_WORTH_A_NAME_MB = 1.1 * image_report.WORTH_A_NAME / MB
PAGE = image_report.DOC.read_text()
SIZE = re.compile(r"([\d.]+) ([Mk]B)")
RENEW = "./airflow-ml image-report --keep-naive"
RENEW_NAIVE = "make image-report, or ./airflow-ml image-report --naive"


@pytest.fixture(scope="module")
def generated() -> dict[str, list[str]]:
    return image_report.blocks(image_report.remembered(PAGE))


def committed(name: str) -> list[str]:
    match = re.search(rf"<!-- generated: {name} -->\n\n(.*)\n\n<!-- end: {name} -->", PAGE, re.DOTALL)
    assert match, f"docs/images.md has no part {name}"
    return match[1].splitlines()


def cells(lines: list[str]) -> Iterator[list[str]]:
    """The rows of a table, without its head."""
    yield from [[cell.strip() for cell in line[1:-1].split("|")] for line in lines if line.startswith("| ")][2:]


def megabytes(number: str, unit: str) -> float:
    return float(number) / (1000 if unit == "kB" else 1)


def sizes(lines: list[str]) -> dict[tuple[str, ...], float]:
    """Each figure of the table of sizes, by its row and column."""
    found = {
        (row[0], str(column)): SIZE.fullmatch(cell.removeprefix("<= "))
        for row in cells(lines)
        for column, cell in enumerate(row)
    }
    return {key: megabytes(*match.groups()) for key, match in found.items() if match}


def layers(lines: list[str]) -> dict[tuple[str, ...], float]:
    """Each figure of the table of layers, by images, layer and part."""
    found: dict[tuple[str, ...], float] = {}
    for images, layer, size, parts in cells(lines):
        found[images, layer] = megabytes(*size.split())
        for part in parts.split(", "):
            name, number, unit = part.rsplit(" ", 2)
            found[images, layer, name] = megabytes(number, unit)
    return found


def tree(lines: list[str]) -> dict[tuple[str, ...], float]:
    """Each figure of the tree, by its place in its line; the line by the layers and images that it names."""
    found: dict[tuple[str, ...], float] = {}
    for line in lines[1:-1]:
        names = re.findall(r"[a-z][\w-]+", SIZE.sub("", line))
        for number, size in enumerate(SIZE.findall(line)):
            found[(*names, str(number))] = megabytes(*size)
    return found


@pytest.mark.parametrize(("name", "read"), [("tree", tree), ("sizes", sizes), ("layers", layers)])
def test_figures_of_the_page_are_those_of_the_images(generated: dict[str, list[str]], name: str, read: Any) -> None:
    written, true = read(committed(name)), read(generated[name])
    assert len(true) > 10
    differ = {
        key: (written.get(key), true.get(key))
        for key in written.keys() | true.keys()
        if written.get(key, 0) != pytest.approx(true.get(key, 0), rel=TOLERANCE, abs=ROUNDING_MB)
        and not ((key in written) != (key in true) and written.get(key, true.get(key, 0)) < HARDLY_WORTH_A_NAME_MB)
    }
    assert differ == {}, f"(on the page, true); do: {RENEW}"


def test_parts_of_a_layer_are_all_that_is_in_it(generated: dict[str, list[str]]) -> None:
    found = layers(generated["layers"])
    for images, layer in [key for key in found if len(key) == 2]:
        parts = [size for key, size in found.items() if len(key) == 3 and key[:2] == (images, layer)]
        assert sum(parts) == pytest.approx(found[images, layer], abs=ROUNDING_MB * (1 + len(parts)))


@pytest.mark.parametrize("name", naive_images.naive_names())
def test_naive_figures_are_those_of_the_present_locks(name: str) -> None:
    naive = image_report.remembered(PAGE)
    assert naive["locks"].get(name) == naive_images.fingerprint(name), f"do: {RENEW_NAIVE} '{name}'"
    assert naive["sizes"][name] > naive["sizes"]["base"] > 0


def test_page_and_tests_know_one_target_for_all_together() -> None:
    limits = (image_report.WITHOUT_MLFLOW_MB * MB, image_report.ALL_TOGETHER_MB * MB, image_report.MLFLOW)
    assert limits == (WITHOUT_MLFLOW, ALL_TOGETHER, MLFLOW)
