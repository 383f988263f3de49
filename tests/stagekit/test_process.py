"""How many CPUs a container may use."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from stagekit import available_cpus

ALL = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, ALL, id="no cgroup"),
        pytest.param({"cpu.max": "max 100000\n"}, ALL, id="v2 without a limit"),
        pytest.param({"cpu.max": "100000 100000\n"}, 1, id="v2 one CPU"),
        pytest.param({"cpu.max": "50000 100000\n"}, 1, id="v2 half a CPU"),
        pytest.param({"cpu.max": "190000 100000\n"}, 1, id="v2 not quite two"),
        pytest.param({"cpu.max": "99900000 100000\n"}, ALL, id="v2 more than there are"),
        pytest.param({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, ALL, id="v1 no limit"),
        pytest.param({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1, id="v1 one CPU"),
    ],
)
def test_available_cpus_is_the_smaller_of_cpu_set_and_quota(
    tmp_path: Path, files: Mapping[str, str], expected: int
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert available_cpus(tmp_path) == expected
