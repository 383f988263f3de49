"""The benchmarks run: each program works in its image and both sides do the same work. No figure is judged here."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parent / "bench.py"


def test_every_benchmark_runs_on_few_rows(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    done = subprocess.run(
        [sys.executable, BENCH, "--quick", f"--out={out}"], text=True, capture_output=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())["rows"]
    assert len(done.stdout.splitlines()) == len(rows) + 1
    with_target = [row["what"] for row in rows if row["met"] is not None]
    for part in ("generate", "prepare + split", "train", "score", "memory of predict", "prediction --help"):
        assert any(part in what for what in with_target), part
