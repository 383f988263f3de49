"""The images under test: every one that the image lock names, run on the real engine."""

from collections.abc import Iterator

import pytest

from tests.harness import ROOT, Data, data_volume, images
from tests.images.reports_lab import make_world


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`image` runs a test once for every image, `stage` once for every stage."""
    if "image" in metafunc.fixturenames:
        found = images()
        metafunc.parametrize("image", list(found.values()), ids=list(found))
    if "stage" in metafunc.fixturenames:
        metafunc.parametrize("stage", sorted(path.parent.name for path in ROOT.glob("stages/*/Dockerfile")))


@pytest.fixture(scope="session")
def world() -> Iterator[Data]:
    """Reports that the real stages made."""
    with data_volume("reports") as data:
        make_world(data)
        yield data
