"""Runs one simulated day through Airflow, shows each task as it ends, and sums up the day.

Triggers generate_data, train_model, predict and monitor for the day, one after the other, through the REST API, as
a person would in the page. Usage: run_day.py [--ds YYYY-MM-DD]. Exit codes: 0 the day is done, 1 a task failed.
"""

import argparse
import json
import subprocess
import sys
from datetime import date, datetime, timezone
from typing import Any

from airflow_api import Airflow, AirflowError
from stack import ROOT, settings

DAGS = ("generate_data", "train_model", "predict", "monitor")
RUN_TIMEOUT_S = 1800
LOG_LINES = 15
METRICS = ("roc_auc", "average_precision", "log_loss", "brier_score", "accuracy", "f1")
REASONS_SHOWN = 5
# What each command of each Dag said on its result line.
Results = dict[str, dict[str, Any]]


def show_task(task: dict[str, Any]) -> None:
    """Print a task when it ends, with its duration, and when it must be tried again."""
    if task["state"] in {"success", "failed", "skipped", "upstream_failed", "up_for_retry"}:
        seconds = f"{task['duration']:6.1f} s" if task["duration"] else " " * 8
        print(f"      {task['task_id']:28} {seconds}  {task['state']}", file=sys.stderr)


def run_dag(airflow: Airflow, dag: str, ds: str) -> Results:
    """Run a Dag for the day; returns its stages' result lines by command."""
    print(f"==> {dag} for {ds}", file=sys.stderr)
    run = airflow.trigger(dag, {"ds": ds})
    if airflow.wait(dag, run, RUN_TIMEOUT_S, show_task) != "success":
        failed = [task for task in airflow.tasks(dag, run) if task["state"] == "failed"]
        for task in failed:
            tail = airflow.log_of(dag, run, task).splitlines()[-LOG_LINES:]
            print(
                f"error: task {task['task_id']} of {dag} failed; the end of its log:",
                *tail,
                sep="\n  ",
                file=sys.stderr,
            )
        raise AirflowError(f"{dag} failed for {ds}; look at {airflow.url}/dags/{dag}/runs/{run}")
    return {result["command"]: result for result in airflow.results(dag, run)}


def first_rows(data: str, ds: str, rows: int = 5) -> list[str]:
    """The first lines of the day's predictions, read in a container as any person's would be."""
    lock = json.loads((ROOT / "dags" / "images.lock.json").read_text(encoding="utf-8"))
    path = f"/data/predictions/{ds}/predictions.csv"
    code = f"import itertools; print(*itertools.islice(open('{path}'), {rows + 1}), sep='', end='')"
    command = ["docker", "run", "--rm", "--network=none", f"--volume={data}:/data:ro", lock["images"]["base"]["image"]]
    return subprocess.run([*command, "-c", code], text=True, capture_output=True, check=True).stdout.splitlines()


def reasons_text(reasons: dict[str, int]) -> str:
    """The most frequent reasons for which rows were rejected, and how many others there are."""
    ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{reason} {count:,}" for reason, count in ranked[:REASONS_SHOWN]]
    rest = len(ranked) - len(shown)
    return ", ".join(shown + ([f"{rest} more reasons"] if rest > 0 else []))


def figures_text(figures: dict[str, Any] | None) -> str:
    """The metrics that people look at first; without targets there are none."""
    found = [f"{name} {figures[name]:.4f}" for name in METRICS if figures and figures.get(name) is not None]
    return ", ".join(found) or "not known, the day has no target.csv yet"


def drift_text(drift: dict[str, Any] | None) -> str:
    """How far the scores and the feature that moved most are from those of the training data."""
    if not drift or not drift.get("max_feature"):
        return "not known, the model has no baseline"
    most = drift["max_feature"]
    return f"scores {drift['score']:.3f}, most of all {most['name']} {most['psi']:.3f} (PSI; 0.1 is little, 0.25 much)"


def summarize(results: dict[str, Results], data: str, ds: str, pages: dict[str, str]) -> str:
    """What a person wants to know at the end of the day."""
    generated, prepared = results["generate_data"]["generate"], results["train_model"]["prepare"]
    validated, decided = results["train_model"]["validate"], results["train_model"]["decide"]
    resolved, predicted = results["predict"]["resolve"], results["predict"]["predict"]
    evaluated = results["monitor"]["evaluate"]
    counts = ", ".join(f"{count:,} as {label!r}" for label, count in predicted["predicted"].items())
    flattering = "; flattering, the model was trained on this day" if evaluated["trained_on_day"] else ""
    version = f"version {resolved['version']}, " if resolved["version"] else ""
    lines = [
        f"The day {ds}",
        f"  generated      {generated['rows']:,} rows",
        f"  rejected       {sum(prepared['rejected'].values()):,} rows: {reasons_text(prepared['reasons'])}",
        f"  validation     {figures_text(validated)}",
        f"  decided        version {decided['version']}: {decided['decision']}; {'; '.join(decided['reasons'])}",
        f"  in production  {version}{resolved['model']} ({resolved['source']})",
        f"  predicted      {predicted['rows']:,} rows, {counts}",
        f"  that day       {figures_text(evaluated['metrics'])}{flattering}",
        f"  drift          {drift_text(evaluated['drift'])}",
        *(f"  look           {breach}" for breach in evaluated["breaches"]),
        f"  predictions    /predictions/{ds}/predictions.csv in {data!r}; the first of them:",
        *(f"    {line}" for line in first_rows(data, ds)),
        f"  report         /reports/{ds}/index.html in {data!r}, {pages['reports']}/{ds}/",
        "",
        f"Airflow  {pages['airflow']}   user admin; its password: grep ML_ADMIN_PASSWORD .env",
        f"MLflow   {pages['mlflow']}   runs, versions, who is champion",
        f"Reports  {pages['reports']}   a page a day",
        "Stop     make down",
    ]
    return "\n".join(lines)


def day(text: str) -> str:
    """A date as it is written in the names of partitions."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date of the form YYYY-MM-DD") from None


def parse_arguments() -> argparse.Namespace:
    today = datetime.now(timezone.utc).date().isoformat()
    parser = argparse.ArgumentParser(description="Run one simulated day through Airflow.")
    parser.add_argument("--ds", type=day, default=today, metavar="YYYY-MM-DD", help="the day (default: today, UTC)")
    return parser.parse_args()


def main() -> int:
    ds = parse_arguments().ds
    config = settings()
    pages = {name: f"http://localhost:{config[f'ML_{name.upper()}_PORT']}" for name in ("airflow", "mlflow", "reports")}
    airflow = Airflow(pages["airflow"], config["ML_ADMIN_PASSWORD"])
    try:
        results = {dag: run_dag(airflow, dag, ds) for dag in DAGS}
    except AirflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n" + summarize(results, config["ML_DATA"], ds, pages))
    return 0


if __name__ == "__main__":
    sys.exit(main())
