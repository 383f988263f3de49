"""Asks a person what becomes of a version whose days in shadow are over.

It has no schedule: `monitor` starts it if enough days have labels and the form of `train_model` said `ask`. A run of
its own waits for the answer, as long as `answer_hours` of `rules.json` says, so that `monitor` goes on. Without an
answer the version stays the challenger.
"""

from airflow.sdk import DAG

from ml import DAY, answer_of, ask_person, dag_defaults, form

with DAG(
    "ask_after_shadow",
    description="Asks a person about a version that was in shadow",
    doc_md=__doc__,
    schedule=None,
    params=form("ds"),
    # As many questions may be open; each step works for one of them at a time.
    max_active_runs=16,
    tags=["ml", "registry"],
    **dag_defaults(max_active_tis_per_dag=1),
):
    ask = ask_person(f"in shadow until {DAY}", "", "compare_shadow", "decide_shadow", of="monitor")

    ask >> answer_of(ask)
