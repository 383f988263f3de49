"""Prepares the machine, builds the images, starts the stack, and runs two simulated days through Airflow.

Starts generate_data for the day and for the day before, train_model for the day before, predict and monitor for the
day, through the REST API, as a person would in the page. The model is trained on one day and scores another, so the
figures of the day are of rows that it has not seen. With --label-delay the labels come days after the data.
Shows each task when it ends, and a summary of the day.
Exit codes: 0 the day is done; 1 a task failed, or the stack did not start; 2 wrong usage; 3 the history in MLflow
cannot be signed, because an event is malformed.
"""

import argparse
import sys
import time
from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone
from typing import Any

from airflow_ml import machine, stack, up
from airflow_ml.airflow_api import Airflow
from airflow_ml.common import AirflowMlError, day, docker, locked_image, number_from_1, settings

RUN_TIMEOUT_S = 1800
LOG_LINES = 15
METRICS = ("roc_auc", "average_precision", "log_loss", "brier_score", "accuracy", "f1")
REASONS_SHOWN = 5
# Rows that are neither rejected nor trained on, as `prepare` counts them.
SET_ASIDE = {"unlabelled": "without a label", "superseded": "of target.csv, whose keys are in a later delivery"}
# The result line of each command of a Dag.
Results = dict[str, dict[str, Any]]


def show_task(task: dict[str, Any]) -> None:
    """Print a task when it ends, with its duration, and when it must be tried again."""
    if task["state"] in {"success", "failed", "skipped", "upstream_failed", "up_for_retry", "awaiting_input"}:
        seconds = f"{task['duration']:6.1f} s" if task["duration"] else " " * 8
        print(f"      {task['task_id']:28} {seconds}  {task['state']}", file=sys.stderr)


def run_dag(airflow: Airflow, dag: str, what: str, conf: dict[str, Any]) -> Results:
    """Run a Dag for `what`, such as a day; returns its stages' result lines by command.

    Errors: AirflowMlError, with the address of the run if it was started; also for a Dag that is paused.
    """
    return finish_dag(airflow, dag, what, start_dag(airflow, dag, what, conf))


def start_dag(airflow: Airflow, dag: str, what: str, conf: dict[str, Any]) -> str:
    """Start a run of a Dag; returns its id. Errors: AirflowMlError, also for a Dag that is paused."""
    require_switched_on(airflow, dag)
    print(f"==> {dag} for {what}", file=sys.stderr)
    return airflow.trigger(dag, conf)


def finish_dag(airflow: Airflow, dag: str, what: str, run: str) -> Results:
    """Wait for a run; returns its stages' result lines by command. Errors: AirflowMlError with the run's address."""
    page = airflow.page_of(dag, run)
    try:
        if airflow.wait(dag, run, RUN_TIMEOUT_S, show_task) == "success":
            return {result["command"]: result for result in airflow.results(dag, run)}
        show_failures(airflow, dag, run)
    except AirflowMlError as error:
        raise AirflowMlError(f"{error}; the run of {dag} for {what} may go on, its page is {page}") from None
    raise AirflowMlError(f"{dag} failed for {what}", do=f"look at {page}")


def require_switched_on(airflow: Airflow, dag: str) -> None:
    """Errors: AirflowMlError if a Dag is paused: its run would wait until somebody switches it on."""
    if airflow.is_paused(dag):
        raise AirflowMlError(
            f"the Dag {dag} is paused, so a run of it would not begin",
            do=f"switch it on at {airflow.url}/dags/{dag}; `own` pauses generate_data when your own data takes over",
        )


def run_dags(airflow: Airflow, dags: Iterable[str], ds: str) -> dict[str, Results]:
    """Run Dags for a day, one after the other."""
    return {dag: run_dag(airflow, dag, ds, {"ds": ds}) for dag in dags}


def run_days(airflow: Airflow, trained: str, scored: str) -> dict[str, Results]:
    """Make the data of two days, train on the first one, score and evaluate the second one."""
    made = {ds: start_dag(airflow, "generate_data", ds, {"ds": ds}) for ds in (trained, scored)}
    generated = {ds: finish_dag(airflow, "generate_data", ds, run) for ds, run in made.items()}
    return {"generate_data": generated[scored], **train_and_score(airflow, trained, scored)}


def run_days_with_late_labels(airflow: Airflow, trained: str, scored: str, delay: int) -> dict[str, Results]:
    """The same, with labels that come so many days later: those of the first day come with the data of the second.

    At the end, days are evaluated again whose labels have come.
    """
    # One after the other: labels come to data that is there.
    made = [run_dag(airflow, "generate_data", ds, {"ds": ds, "label_delay": delay}) for ds in (trained, scored)]
    return {
        "generate_data": made[-1],
        **train_and_score(airflow, trained, scored),
        **run_dags(airflow, ["monitor_late_labels"], scored),
    }


def train_and_score(airflow: Airflow, trained: str, scored: str) -> dict[str, Results]:
    """Train on a day, score and evaluate another one."""
    return {**run_dags(airflow, ["train_model"], trained), **run_dags(airflow, ["predict", "monitor"], scored)}


def connect() -> Airflow:
    """The Airflow of this installation. Errors: AirflowMlError if its password is not known, or it does not run."""
    if not (password := settings().get("ML_ADMIN_PASSWORD")):
        raise AirflowMlError(".env has no ML_ADMIN_PASSWORD, the password of Airflow's account admin", do="make up")
    stack.require_pages("airflow")
    return Airflow(stack.pages()["airflow"], password)


def show_failures(airflow: Airflow, dag: str, run: str) -> None:
    """Print the end of the log of each task that failed."""
    for task in airflow.tasks(dag, run):
        if task["state"] == "failed":
            tail = airflow.log_of(dag, run, task).splitlines()[-LOG_LINES:]
            title = f"error: task {task['task_id']} of {dag} failed; the end of its log:"
            print(title, *tail, sep="\n  ", file=sys.stderr)


def first_rows(data: str, ds: str, rows: int = 5) -> list[str]:
    """The first lines of the day's predictions, read in a container."""
    path = f"/data/predictions/{ds}/predictions.csv"
    code = f"import itertools; print(*itertools.islice(open('{path}'), {rows + 1}), sep='', end='')"
    options = ("--rm", "--network=none", f"--volume={data}:/data:ro")
    return docker("run", *options, locked_image("base"), "-c", code).splitlines()


def reasons_text(reasons: dict[str, int]) -> str:
    """The most frequent reasons for which rows were rejected, after a colon, and how many others there are."""
    if not reasons:
        return ""
    ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{reason} {count:,}" for reason, count in ranked[:REASONS_SHOWN]]
    rest = len(ranked) - len(shown)
    return ": " + ", ".join(shown + ([f"{rest} more reasons"] if rest > 0 else []))


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


def warnings_of(results: dict[str, Results]) -> list[str]:
    """What the stages warn of, each sentence once."""
    found = [
        text for commands in results.values() for result in commands.values() for text in result.get("warnings", [])
    ]
    return list(dict.fromkeys(found))


def summarize(results: dict[str, Results], source: str, rows: int, data: str, ds: str) -> str:
    """The summary of the day; `source` says how its raw rows came, such as generated."""
    prepared = results["train_model"]["prepare"]
    validated, decided = results["train_model"]["validate"], results["train_model"]["decide"]
    resolved, predicted = results["predict"]["resolve"], results["predict"]["predict"]
    evaluated, confirmed = results["monitor"]["evaluate"], results["monitor"]["confirm"]
    promotions = [commands["promote"] for dag, commands in results.items() if dag == "promote_model"]
    again = [day["ds"] for day in results.get("monitor_late_labels", {}).get("late-labels", {}).get("days", [])]
    counts = ", ".join(f"{count:,} as {label!r}" for label, count in predicted["predicted"].items())
    flattering = "; flattering, the model was trained on this day" if evaluated["trained_on_day"] else ""
    version = f"version {resolved['version']}, " if resolved["version"] else ""
    lines = [
        f"The day {ds}",
        f"  {source:14} {rows:,} rows",
        f"  trained on     the data of {prepared['ds']}",
        f"  not trained on {sum(prepared['rejected'].values()):,} rows{reasons_text(prepared['reasons'])}",
        *(f"  {name:14} {prepared[name]:,} rows {why}" for name, why in SET_ASIDE.items() if prepared.get(name)),
        f"  validation     {figures_text(validated)}",
        f"  decided        version {decided['version']}: {decided['decision']}; {'; '.join(decided['reasons'])}",
        *(f"  promoted       {event['reason'] or 'before'}" for event in promotions),
        *([f"  by hand        {decided['do']}"] if decided.get("do") and not promotions else []),
        f"  in production  {version}{resolved['model']} ({resolved['source']})",
        f"  predicted      {predicted['rows']:,} rows, {counts}",
        f"  not predicted  {rows - predicted['rows']:,} rows, which were rejected",
        f"  that day       {figures_text(evaluated['metrics'])}{flattering}",
        f"  drift          {drift_text(evaluated['drift'])}",
        *([f"  evaluated too  {', '.join(again)}, whose labels have come"] if again else []),
        *(f"  warning        {text}" for text in warnings_of(results)),
        *(f"  look           {breach}" for breach in confirmed["breaches"]),
        f"  predictions    /predictions/{ds}/predictions.csv in {data!r}; the first of them:",
        *(f"    {line}" for line in first_rows(data, ds)),
        f"  report         /reports/{ds}/index.html in {data!r}, {stack.pages()['reports']}/{ds}/",
        "",
        *stack.addresses(),
        "Stop     make down",
    ]
    return "\n".join(lines)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    today = datetime.now(timezone.utc).date().isoformat()
    parser.add_argument(
        "--ds", type=day, default=today, metavar="YYYY-MM-DD", help="the day to score (default: today, UTC)"
    )

    parser.add_argument(
        "--label-delay", type=number_from_1, metavar="DAYS",
        help="let labels come so many days after the data; trains on the day so many days before, and evaluates days "
        "again whose labels have come (default: with the data)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Run the day and an earlier one, and print the day's summary."""
    started, delay = time.monotonic(), arguments.label_delay
    before = (date.fromisoformat(arguments.ds) - timedelta(days=delay or 1)).isoformat()
    machine.images()
    up.start()
    if delay:
        results = run_days_with_late_labels(connect(), before, arguments.ds, delay)
    else:
        results = run_days(connect(), before, arguments.ds)
    rows = results["generate_data"]["generate"]["rows"]
    print("\n" + summarize(results, "generated", rows, settings()["ML_DATA"], arguments.ds))
    print(f"Took     {time.monotonic() - started:.0f} s")
    return 0
