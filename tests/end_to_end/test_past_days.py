"""What looks at past days, through a real scheduler: a backtest, and a search for parameters."""

from .conftest import Stack, compose_stack, data

DAYS = ("2026-02-02", "2026-02-03", "2026-02-04")
LAST = DAYS[-1]


def test_backtest_and_a_search_at_the_same_time(stack: Stack) -> None:
    """Both prepare the last day."""
    for ds in DAYS:
        data.generate(ds)
    walk = {"ds": LAST, "days": len(DAYS), "windows": "1,2", "every": "0,1"}
    walked, searched = stack.run_together([("backtest", walk), ("tune_model", {"ds": LAST, "trials": 3})])
    walk_results, search_results = stack.results("backtest", walked), stack.results("tune_model", searched)
    assert walk_results["preprocessing", "encode-days"]["partition"] == f"backtests/{LAST}"
    assert walk_results["training", "backtest"]["models"] > 1
    assert search_results["tuning", "tune"]["trials"] == len(data.read(f"tuning/{LAST}/trials.jsonl").splitlines()) == 3
    reports = compose_stack.pages()["reports"]
    assert f"/{LAST}/backtest.html" in stack.page(f"{reports}/")
    assert f'<h1>Backtest until <time datetime="{LAST}">' in stack.page(f"{reports}/{LAST}/backtest.html")
