"""The benchmarks run: each program works in its image and both sides do the same work. No figure is judged here."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from airflow_ml.__main__ import COMMANDS, call
from maintain import image_report, naive_images

from .lab import ROOT, Lab

BENCH = Path(__file__).parent / "bench.py"


def names_on_the_engine(prefix: str) -> list[str]:
    """The volumes and images whose names begin so."""
    volumes = ["docker", "volume", "ls", "--quiet", f"--filter=name=^{prefix}"]
    images = ["docker", "image", "ls", "--format={{.Repository}}", f"--filter=reference={prefix}*"]
    return [
        name
        for command in (volumes, images)
        for name in subprocess.run(command, text=True, capture_output=True, check=True).stdout.split()
    ]


def test_every_benchmark_runs_on_few_rows(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    done = subprocess.run(
        [sys.executable, BENCH, "--quick", f"--out={out}"], text=True, capture_output=True, timeout=3600, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text())
    rows, starts = report["rows"], report["cold_start"]
    # Two tables, each with its header, an empty line between.
    assert len(done.stdout.splitlines()) == len(rows) + len(starts) + 3
    with_target = [row["what"] for row in rows if row["met"] is not None]
    parts = ("generate", "prepare + split", "train", "score", "memory of predict", "prediction --help")
    for part in (*parts, "nothing changed", "one line changed"):
        assert any(part in what for what in with_target), part
    assert any("tune demo" in row["what"] for row in rows)
    assert any("backtest of 4 days" in row["what"] for row in rows)
    assert names_on_the_engine(report["run"]) == []
    shares = {start["what"]: start["shares"] for start in starts}
    assert all(min(one.values()) > 0 for name, one in shares.items() if name != "base: pass")
    # `--help` imports no library, the work does.
    assert shares["predict, 1,000 rows"]["imports"] > 2 * shares["prediction --help"]["imports"]


def test_thresholds_of_costs_are_measured() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.thresholds", "--quick", "--seeds=1"]
    done = subprocess.run(command, text=True, capture_output=True, check=True, cwd=ROOT)
    of_seed, _, _, *lines = done.stdout.splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == list(json.loads(of_seed))[1:]


def test_false_alarms_are_counted() -> None:
    command = [sys.executable, BENCH.with_name("alarms.py"), "--quick"]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (ROOT / "docs/monitoring.md").read_text()
    header, line, *rows = done.stdout.splitlines()
    assert f"{header}\n{line}\n" in page
    assert [row.split(" | ")[0] for row in rows] == ["| 30", "| 1,000"]


def test_ranks_are_measured() -> None:
    few = ("--rows=3000", "--ranks", "1", "2", "--iterations=3")
    command = [sys.executable, "-m", "tests.benchmarks.ranks", *few]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True)
    *_, one, two = done.stdout.splitlines()
    assert one.startswith("| 1 | ")
    assert two.startswith("| 2 | ")


def test_shards_on_a_swarm_are_measured() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.shards_on_swarm", "--rows=3000", "--shards=2"]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=True)
    assert [line.split()[1] for line in done.stdout.splitlines()[-3:]] == ["prepare", "features", "predict"]


def test_two_runs_do_not_share_their_data() -> None:
    with Lab(1, 1, 1, images={}) as one:
        with Lab(1, 1, 1, images={}) as other:
            assert one.data != other.data
        assert names_on_the_engine(one.data) == [one.data]
    assert names_on_the_engine(one.data) == []


def test_naive_image_is_built_weighed_shown_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "images.md"
    shutil.copy(image_report.DOC, page)
    before = image_report.remembered(page.read_text())
    # As after a change of the lock: that figure is measured again, the others stay.
    page.write_text(page.read_text().replace(str(before["sizes"]["generator"]), "1"))
    monkeypatch.setattr(naive_images.secrets, "token_hex", lambda _: "of-this-test")
    assert call(COMMANDS["image-report"], ["--naive", "generator", "--doc", str(page)]) == 0
    after = image_report.remembered(page.read_text())
    assert after["sizes"]["generator"] > after["sizes"]["base"] > 0
    assert {**after["sizes"], "generator": 0, "base": 0} == {**before["sizes"], "generator": 0, "base": 0}
    assert f" | {image_report.text_of(after['sizes']['generator'])} | " in page.read_text()
    assert names_on_the_engine("naive-of-this-test") == []
