"""What CI shows of one seed and season, a model shows with another one too."""

from tests.harness import data_volume
from tests.images.test_model_in_time import check_later_days


def test_model_of_another_seed_ranks_later_days_well_but_not_too_well() -> None:
    with data_volume("in-time") as data:
        check_later_days(data, 7, "2026-11-21")
