"""Days that several tests read, made once."""

import functools
from collections.abc import Iterator

import pytest
from feed import Day, generate

import pools
import tables


@pytest.fixture(scope="session", autouse=True)
def _pools_made_once() -> Iterator[None]:
    """Customers and merchants depend on the seed alone, and take longer to make than a thousand payments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "make_pools", functools.cache(pools.make_pools))
        yield


@pytest.fixture(scope="session")
def clean_day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """20,000 payments without a dirty row."""
    return generate(tmp_path_factory.mktemp("clean"), "--rows", "20000", "--dirty", "0")


@pytest.fixture(scope="session")
def dirty_day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """The same payments, a third of them spoilt."""
    return generate(tmp_path_factory.mktemp("dirty"), "--rows", "20000", "--dirty", "0.3")
