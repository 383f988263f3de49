"""Days that several tests read, made once."""

import pytest
from feed import Day, generate


@pytest.fixture(scope="session")
def clean_day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """20,000 payments without a dirty row."""
    return generate(tmp_path_factory.mktemp("clean"), "--rows", "20000", "--dirty", "0")


@pytest.fixture(scope="session")
def dirty_day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """The same payments, a third of them spoilt."""
    return generate(tmp_path_factory.mktemp("dirty"), "--rows", "20000", "--dirty", "0.3")
