"""What a copy of the data, taken while stages write, may hold."""

from airflow_ml.airflow_api import Airflow

from tests.chaos.scene import Copy, Scene

EXPECTED = {"raw/2026-11-15/data.csv": "sha of the day"}


def test_copy_may_lack_a_file_and_may_not_have_other_bytes() -> None:
    scene = Scene(Airflow("http://nowhere", ""))
    for whole in ({}, EXPECTED, {"raw/2026-11-14/data.csv": "sha of another day"}):
        scene.copies.append(Copy(whole, refused=1))
    assert scene.wrong_in_copies(EXPECTED) == []
    scene.copies.append(Copy(dict.fromkeys(EXPECTED, "sha of a half"), refused=0))
    assert scene.wrong_in_copies(EXPECTED) == ["copy of raw/2026-11-15/data.csv"]
