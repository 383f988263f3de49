"""polars in the images that have it, under the limits of a task."""

import pytest

from tests.harness import RESTRICTED, docker, images

# A table takes more than four fifths of the memory, and a query still fits.
NEARLY_FULL = """
import polars as pl
held = pl.int_range(75_500_000, eager=True)
rows = pl.DataFrame({"number": range(200_000), "text": [str(number) for number in range(200_000)]}).lazy()
print(rows.with_columns(twice=pl.col("number") * 2).sort("text").group_by("twice").agg(pl.len()).collect().height)
"""


@pytest.mark.parametrize("name", ["exchange", "preprocessing"])
def test_query_works_while_the_memory_is_nearly_full(name: str) -> None:
    limits = ("--memory=700m", "--memory-swap=700m", "--env=POLARS_MAX_THREADS=2", "--entrypoint=python")
    done = docker("run", *RESTRICTED, *limits, images()[name], "-c", NEARLY_FULL)
    assert done.stdout == "200000\n"
