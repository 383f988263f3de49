"""AskPerson: asks a person whether a version goes into production, and shows what there is to know of it.

It waits for the answer without a worker and without the triggerer, and ends with the answer: `version`, `answer`, `by`,
`reason`. It does not change anything: the next task does. Reads: the results of `decide`, `compare` and `register`.

StartQuestion: starts a run of another Dag that asks, so that the run which found the question ends.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Context, Param
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput

from ml import alerts
from ml.links import TARGETS, run_page
from ml.rules import read_rules

# The buttons, and what `registry answer` calls them.
PROMOTE, KEEP, REJECT = "Promote", "Keep as challenger", "Reject"
ANSWERS = {PROMOTE: "promote", KEEP: "keep", REJECT: "reject"}
# What `registry decide` has decided if a person is to answer.
ASKED = "a person is asked"
REASON, LONGEST = "reason", 500
NO_REASON = "no reason was given"
# The run that has the evidence, in the `conf` of the run that asks.
ASKED_BY = "asked_by"
# What Markdown reads as something else than text.
SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~-])")


def reason_field() -> dict[str, Param]:
    """The field beside the buttons; a new one each time, as Airflow keeps a run's value in it."""
    what = "Why; it is kept with your name and the time."
    return {REASON: Param("", type="string", title="Reason", description=what)}


class AskPerson(HITLOperator):
    """Asks whether to promote the version that `decide` has left to a person; skipped if it has decided itself.

    The form's field `answer_hours`, or else the rules, say how long it waits; after that the answer is to keep the
    version as challenger.

    :param about: what the question says of the version, such as on which day it was trained (templated)
    :param tasks: those whose results are the evidence: which registered the version ('' for none), compared, decided
    :param of: the Dag of these tasks, if another one has started this run by StartQuestion
    """

    template_fields = ("subject", "body", "about")

    def __init__(
        self,
        *,
        about: str,
        tasks: tuple[str, str, str] = ("register", "compare", "decide"),
        of: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            subject="A version waits for your answer",
            options=list(ANSWERS),
            defaults=KEEP,
            **kwargs,
        )
        self.about, self.tasks, self.of = about, tasks, of

    def execute(self, context: Context) -> None:
        """Ask, and send a message. Errors: AirflowSkipException if there is nothing to ask; TaskAwaitingInput."""
        ti, hours = context["ti"], _hours(context)
        registered, compared, decided = (self._result(context, task) for task in self.tasks)
        if decided.get("decision") != ASKED:
            raise AirflowSkipException(f"nobody is asked: {decided.get('decision')}")
        self.response_timeout = timedelta(hours=hours)
        until = f"{datetime.now(UTC) + self.response_timeout:%Y-%m-%d %H:%M} UTC"
        self.subject = f"Promote version {decided['version']} of {decided['name']}, {self.about}?"
        # The page of a day in shadow shows the comparison; that of a training day may be made before it, or never.
        day = str(context["params"]["ds"]) if self.of else ""
        self.body = "\n".join(evidence(registered, compared, decided, until, day))
        try:
            super().execute(context)
        except TaskAwaitingInput:
            page = f"{run_page(ti.dag_id, ti.run_id)}/tasks/{ti.task_id}/required_actions"
            alerts.person_asked(context, self.subject, [str(reason) for reason in decided["reasons"]], until, page)
            raise

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, str]:
        """The answer, who gave it and why; it is "keep" if nobody answered in time."""
        reason = str((event.get("params_input") or {}).get(REASON) or "").strip()[:LONGEST]
        given = super().execute_complete(context, {**event, "params_input": {REASON: reason}})
        answer, user = ANSWERS[given["chosen_options"][0]], given["responded_by_user"]
        version = self._result(context, self.tasks[-1])["version"]
        if not user:
            late = f"nobody answered within {_hours(context):g} hours"
            return {"version": version, "answer": answer, "by": f"the Dag {context['ti'].dag_id}", "reason": late}
        self.log.info("%s answered %s: %s", user["name"], answer, reason or NO_REASON)
        return {"version": version, "answer": answer, "by": str(user["name"]), "reason": reason or NO_REASON}

    def _result(self, context: Context, task: str) -> dict[str, Any]:
        """The result of a task of this run, or of the run that has started it; empty if there is none."""
        ti, asked_by = context["ti"], str((context["dag_run"].conf or {}).get(ASKED_BY) or "")
        if not task or (self.of and not asked_by):
            return {}
        found = ti.xcom_pull(task, dag_id=self.of, run_id=asked_by) if self.of else ti.xcom_pull(task)
        return dict(found or {})


class StartQuestion(TriggerDagRunOperator):
    """Starts `ask_after_shadow` if a task has left its version to a person; skipped if it has decided itself.

    :param decide: the task that decides
    :param day: the day that the question names (templated)
    """

    def __init__(self, *, decide: str, day: str, **kwargs: Any) -> None:
        super().__init__(
            task_id="ask",
            trigger_dag_id="ask_after_shadow",
            # One question of each run, whatever its tries.
            trigger_run_id="question__{{ run_id }}",
            conf={"ds": day, ASKED_BY: "{{ run_id }}"},
            logical_date=None,
            skip_when_already_exists=True,
            openlineage_inject_parent_info=False,
            **kwargs,
        )
        self.decide = decide

    def execute(self, context: Context) -> None:
        """Errors: AirflowSkipException if there is nothing to ask."""
        decided = context["ti"].xcom_pull(self.decide) or {}
        if decided.get("decision") != ASKED:
            raise AirflowSkipException(f"nobody is asked: {decided.get('decision')}")
        super().execute(context)


def _hours(context: Context) -> float:
    """How long to wait: as the form says; as the rules say, where the form of a Dag has no such field."""
    return float(context["params"].get("answer_hours") or read_rules()["answer_hours"])


def evidence(
    registered: Mapping[str, Any], compared: Mapping[str, Any], decided: Mapping[str, Any], until: str, day: str = ""
) -> Iterator[str]:
    """What a person needs to answer, as lines of Markdown.

    :param registered: the result line of the command that registered the version, as the others
    :param until: when the question ends, in words
    :param day: the day whose report shows the comparison; '' if none does, and the start page is linked
    """
    yield f"**The gate: {plain(decided.get('outcome') or 'not known')}**"
    yield ""
    yield from (f"- {plain(reason)}" for reason in decided.get("reasons") or ["no reasons are recorded"])
    yield ""
    yield f"| | model | version | {plain(compared.get('metric') or 'metric')} |"
    yield "|---|---|---|---|"
    yield _row("candidate", compared.get("candidate"), decided["version"])
    yield _row("in production", compared.get("champion"), (compared.get("champion") or {}).get("version"))
    yield ""
    yield _difference(compared)
    yield ""
    yield from _segments(compared.get("segments") or [])
    links = [f"[{name}]({page})" for name, page in _pages({**registered, **decided}, day).items() if page]
    yield " · ".join(links) if links else "The pages of MLflow and of the reports are not known here."
    yield ""
    yield f"Without an answer until {until} the version stays the challenger."
    yield f"After *{REJECT}* only a person can promote it."


def _pages(result: Mapping[str, Any], day: str) -> dict[str, str]:
    """The addresses of pages by name; '' for one that is not known."""
    reports = os.environ.get("ML_REPORTS_PAGE", "").rstrip("/")
    targets = [(target, os.environ.get(target.variable, "").rstrip("/")) for target in TARGETS["registry"]]
    pages = {target.name: target.page_of(result, page) for target, page in targets if page}
    name, place = (f"Report of {day}", f"/{day}/") if day else ("Reports", "/")
    return {**pages, name: f"{reports}{place}" if reports else ""}


def _row(side: str, model: Mapping[str, Any] | None, version: object) -> str:
    if not model:
        return f"| {side} | none, or not comparable | - | - |"
    return f"| {side} | {plain(model.get('model'))} | {plain(version or '-')} | {_figure(model.get('value'))} |"


def _segments(parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The segments that rules of the gate are about, as a table; the reasons of the gate name their metric."""
    if not parts:
        return
    yield "| segment | rows | candidate | in production | difference from, to | verdict |"
    yield "|---|---|---|---|---|---|"
    for part in parts:
        figures = " | ".join(_figure(part.get(side)) for side in ("candidate", "champion"))
        low_high = part.get("interval")
        bounds = f"{low_high[0]:+.4g}, {low_high[1]:+.4g}" if low_high else "not measured"
        verdict = plain(part.get("outcome") or "not judged")
        yield f"| {plain(part['field'])} {plain(part['value'])} | {part['rows']} | {figures} | {bounds} | {verdict} |"
    yield ""


def _difference(compared: Mapping[str, Any]) -> str:
    """The difference with its interval, in words; what was not measured is named as such."""
    if compared.get("difference") is None or not compared.get("interval"):
        return "The difference was not measured."
    low, high = compared["interval"]
    return f"Difference {compared['difference']:+.4g}, with its interval from {low:+.4g} to {high:+.4g}."


def _figure(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float | int) else "not measured"


def plain(text: object) -> str:
    """A text of a stage on one line, which Markdown shows as it is."""
    return SPECIAL.sub(r"\\\1", " ".join(str(text).split()))
