"""What an alert says about a real container that failed, or that found a breach."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.dags.engine.conftest import OUT_OF_MEMORY, Engine
from tests.dags.runs import Airflow, day

pytestmark = pytest.mark.usefixtures("_environment")

DAY = "2026-11-21"
BAD_DATA = "import sys; [print('line', number, file=sys.stderr) for number in range(40)]; sys.exit(3)"


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ML_ALERTS_FOLDER", str(tmp_path / "alerts"))
    return tmp_path / "alerts" / "alerts.log"


def run_probe(probes: Airflow, code: str, tries: int = 1) -> str:
    """The state of a probe after so many tries."""
    run = probes.manual("probes", day(DAY), {"code": code})
    return [probes.run_task(run, "probe").ti.state.value for _ in range(tries)][-1]


def facts_of(kept: Path) -> dict[str, str]:
    lines = [line for line in kept.read_text().splitlines() if ": " in line and line[0] not in "|="]
    return dict(line.split(": ", 1) for line in lines)


def test_alert_of_bad_data_has_the_last_lines_and_a_command_that_repeats_it(
    probes: Airflow, engine: Engine, kept: Path
) -> None:
    assert run_probe(probes, BAD_DATA) == "failed"
    facts = facts_of(kept)
    assert facts["Exit code"] == "3: bad input data"
    assert facts["Image"] == engine.tags[0]
    assert f"[error] probes: probe failed for {DAY}: line 39\n" in kept.read_text()
    assert facts["Error"] == "line 39"
    assert facts["Try"] == "1; there is no retry, as it cannot help"
    assert [line for line in kept.read_text().splitlines() if line.startswith("| ")] == [
        f"| line {number}" for number in range(25, 40)
    ]
    again = subprocess.run(shlex.split(facts["By hand"]), capture_output=True, text=True)
    assert again.returncode == 3
    assert again.stderr.splitlines()[-1] == "line 39"


def test_alert_names_a_container_out_of_memory(probes: Airflow, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_STAGE_MEMORY", "128m")  # with less, an engine under load may fail to start the container
    code = "import sys; print('a line', file=sys.stderr, flush=True); x = b'x' * 2**30"
    assert run_probe(probes, code, tries=3) == "failed"
    advice = f"{OUT_OF_MEMORY}, it may use 128m; do: raise ML_STAGE_MEMORY"
    assert re.search(f"\\[error\\] probes: probe failed for {DAY}: {advice}", kept.read_text())
    assert len(re.findall(f"Exit code: 137: {advice}", kept.read_text())) == 1


def test_alert_of_a_missing_image_says_what_to_do(
    probes: Airflow, probe_lock: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.loads(probe_lock.read_text())
    content["images"]["probe"]["image"] = "airflow-ml-base:nowhere"
    (tmp_path / "lock.json").write_text(json.dumps(content))
    monkeypatch.setenv("ML_IMAGE_LOCK", str(tmp_path / "lock.json"))
    assert run_probe(probes, "") == "failed"
    facts = facts_of(kept)
    assert facts["Error"].startswith("image airflow-ml-base:nowhere of the image lock is not there")
    assert facts["Error"].endswith("do: run ./build_images.sh (a retry cannot help).")
    assert "airflow-ml-base:nowhere" in facts["By hand"]
    assert "Exit code" not in facts


@pytest.mark.parametrize("number", [1, 2])
def test_breaches_of_a_green_task_are_one_alert(probes: Airflow, kept: Path, number: int) -> None:
    breaches = ["amount: PSI 0.31, the limit is 0.25", "roc_auc fell by 0.2, the limit is 0.1"][:number]
    assert run_probe(probes, f"print({json.dumps(json.dumps({'ds': DAY, 'breaches': breaches}))})") == "success"
    assert kept.read_text().count(f"[warning] probes: probe found {number} breach") == 1
    assert [facts_of(kept)[f"Breach {index}"] for index in range(1, number + 1)] == breaches


@pytest.mark.parametrize("result", [{"ds": DAY}, {"ds": DAY, "breaches": []}, {"ds": DAY, "breaches": 2}])
def test_green_task_without_breaches_is_silent(probes: Airflow, kept: Path, result: dict[str, object]) -> None:
    assert run_probe(probes, f"print({json.dumps(json.dumps(result))})") == "success"
    assert not kept.exists()
