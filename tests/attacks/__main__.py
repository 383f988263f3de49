"""Sends every attack to the engine proxy, to an engine without one, to Airflow, MLflow and the reports.

Prints the table, writes its summary.
The summary is docs/attacks.md. Exit codes: 0 nothing happened but what may happen; 1 something did.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence

from tests.attacks import web
from tests.attacks.lab import attack_lab
from tests.attacks.proxy import Outcome, all_attacks, run, run_directly
from tests.harness import ROOT

PAGE = ROOT / "docs" / "attacks.md"
Row = tuple[Outcome, Sequence[str]]
INTRODUCTION = """\
# Attacks

## The engine proxy

`make attack` sends hostile requests to the engine proxy, which is between Airflow and the Docker engine, and writes
this page. It looks at the engine before and after: what was created, changed or removed there, and whether an answer
holds what belongs to somebody else. What the proxy answered does not count. Every attack then goes to an engine
without a proxy, which shows what it does there. The engine is made for this, and nothing else is on it. CI sends all
of them to the proxy.

The rows are in [tests/attacks](../tests/attacks). The command prints each.

"""
WEB = """\

## The pages of Airflow, MLflow and the reports

The same command sends hostile requests to each service. An attack does harm if the answer holds a secret of the service
or a file of its machine, logs somebody in, leads to another site or is a page without a content security policy; if the
service then keeps something else, or does not answer. Requests that may do what they ask for are among them, so that
harm would be seen. CI sends all of them.

"""


def main() -> int:
    """Run all, print all."""
    attacks = all_attacks()
    with attack_lab() as lab:
        print(f"{len(attacks)} attacks on the engine proxy", flush=True)
        outcomes = list(run(lab, attacks))
        print("the same on an engine without a proxy, which takes minutes", flush=True)
        rows = list(zip(outcomes, run_directly(lab, attacks), strict=True))
    print(f"{'attack':100}  {'expected':32}  {'at the engine':32}  without the proxy")
    for outcome, direct in rows:
        attack = outcome.attack
        cells = (f"{attack.group}: {attack.name}", _words(attack.expected), _words(outcome.done), _words(direct))
        mark = "" if outcome.passed else "FAILED  "
        print(f"{mark}{cells[0]:100}  {cells[1]:32}  {cells[2]:32}  {cells[3]}")
    with web.services() as found:
        pages = list(web.run(found, list(web.all_attacks(found))))
    for page in pages:
        mark = "" if page.passed else "FAILED  "
        print(f"{mark}{f'{page.attack.service}: {page.attack.group}: {page.attack.name}':134}  {_words(page.done)}")
    failed = [one for one in [*outcomes, *pages] if not one.passed]
    PAGE.write_text(INTRODUCTION + summary(rows) + WEB + summary_of_pages(pages), encoding="utf-8")
    print(
        f"\n{len(rows) + len(pages)} attacks, {len(failed)} did what they may not; {PAGE.relative_to(ROOT)} is written"
    )
    return 1 if failed else 0


def _words(effects: Iterable[str]) -> str:
    return "; ".join(effects) or "nothing"


def summary(rows: Sequence[Row]) -> str:
    """One row for each group of attacks, in Markdown."""
    lines = [
        "| attacks | how many | did something without the proxy | let through, and harmless | did harm |",
        "|---|---|---|---|---|",
    ]
    counts: dict[str, Counter[str]] = {}
    for outcome, direct in rows:
        count = counts.setdefault(outcome.attack.group, Counter())
        total = counts.setdefault("all", Counter())
        for one in (count, total):
            one["all"] += 1
            one["direct"] += bool(direct)
            one["harmless"] += bool(outcome.passed and outcome.done)
            one["harm"] += not outcome.passed
    for group, count in [*((name, found) for name, found in counts.items() if name != "all"), ("all", counts["all"])]:
        lines.append(f"| {group} | {count['all']} | {count['direct']} | {count['harmless']} | {count['harm']} |")
    return "\n".join(lines) + "\n"


def summary_of_pages(outcomes: Sequence[web.WebOutcome]) -> str:
    """One row for each group of attacks on the services, in Markdown."""
    groups = list(dict.fromkeys(one.attack.group for one in outcomes))
    lines = ["| attacks | on Airflow | on MLflow | on the reports | did harm |", "|---|---|---|---|---|"]
    for group in [*groups, "all"]:
        rows = [one for one in outcomes if group in (one.attack.group, "all")]
        counts = [sum(one.attack.service == name for one in rows) for name in ("airflow", "mlflow", "reports")]
        cells = (group, *counts, sum(not one.passed for one in rows))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
