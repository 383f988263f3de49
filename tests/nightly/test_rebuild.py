"""The same folders give the same images, bit for bit, on an engine that has nothing cached. This takes minutes."""

import subprocess

from tests.harness import ROOT, images


def test_base_and_stages_are_the_same_bytes_when_an_empty_engine_builds_them() -> None:
    done = subprocess.run([ROOT / "airflow-ml", "reproduce"], capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    names = ["base", *sorted(path.parent.name for path in ROOT.glob("stages/*/Dockerfile"))]
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [images()[name] for name in names]
    assert all(line.endswith("the same image id") for line in lines)
