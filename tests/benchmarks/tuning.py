"""What a search gains over the defaults, on rows that it has not seen: the demo and sets that people publish.

Each set is split several times, by other seeds. Each time `tuning` searches on the rows that train, then `training`
runs with the defaults and with what was found. Both stop early on the rows of val.csv, which the search has not seen,
and are measured there: early stopping flatters both alike. The figure is log loss, which both minimise.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from figures import Row
from lab import ROOT, SMALL, Lab

sys.path.insert(0, str(ROOT))

from tests.data_sets.sets import SETS
from tests.data_sets.way import Calls, call_all, day_of, files_of, raw_calls
from tests.harness import Data

NAMES = ("actg175", "gbsg2", "democracies", "weather")
DEMO, DEMO_ROWS, TRIALS = "demo", 20_000, 30
SEEDS = (0, 1, 2, 3, 4)


def tuning(lab: Lab) -> list[Row]:
    """Log loss with what a search found, beside that of the defaults; a row for each set."""
    quick = lab.repeats == 1
    names, trials, seeds = ((), 2, (0,)) if quick else (NAMES, TRIALS, SEEDS)
    data = Data(lab.data)
    data.generate(SMALL, f"--rows={min(lab.rows, DEMO_ROWS)}")
    days = {DEMO: SMALL, **{name: day_of(name) for name in names}}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        sets = [one for one in SETS if one.name in names]
        files = files_of(sets, folder)
        calls: dict[str, Calls] = {DEMO: [["prepare", f"--ds={SMALL}"], ["split", f"--ds={SMALL}"]]}
        calls |= {one.name: raw_calls(one, files[one.name]) for one in sets}
        _call("preprocessing", calls, data, folder)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in days}
        for seed in seeds:
            for name, pair in _measure(days, trials, seed, data, folder).items():
                found[name].append(pair)
    return [_row(name, trials, pairs) for name, pairs in found.items()]


def _measure(
    days: Mapping[str, str], trials: int, seed: int, data: Data, folder: Path
) -> dict[str, tuple[float, float]]:
    """Log loss with what was found and with the defaults, of each set."""
    at = {name: f"--ds={day}" for name, day in days.items()}
    _call("preprocessing", {name: [["split", ds, f"--seed={seed}"]] for name, ds in at.items()}, data, folder)
    search = {name: [[ds, f"--trials={trials}", f"--seed={seed}"]] for name, ds in at.items()}
    _call("tuning", search, data, folder)
    both = {name: [[ds, "--tuned-max-age=0", "--force"], [ds, "--force"]] for name, ds in at.items()}
    trained = _call("training", both, data, folder)
    return {
        name: (_log_loss(tuned["validation"]), _log_loss(default["validation"]))
        for name, (tuned, default) in trained.items()
    }


def _call(
    stage: str, calls: Mapping[str, Calls], data: Data, folder: Path
) -> dict[str, Sequence[dict[str, dict[str, float]]]]:
    """The result lines of each set. Errors: SystemExit if a command fails."""
    made = call_all(stage, calls, data, folder)
    for name, called in made.items():
        if called[-1].code:
            raise SystemExit(
                f"error: {stage}, {name}: {called[-1].command} ended with {called[-1].code}\n{called[-1].log}"
            )
    return {name: [one.line for one in called] for name, called in made.items()}


def _log_loss(validation: Mapping[str, float]) -> float:
    return next(value for name, value in validation.items() if name.endswith("logloss"))


def _row(name: str, trials: int, pairs: Sequence[tuple[float, float]]) -> Row:
    ours, theirs = (mean(column) for column in zip(*pairs, strict=True))
    changes = [100 * (tuned / default - 1) for tuned, default in pairs]
    return Row(
        f"tune {name}, {trials} trials: log loss on unseen rows, mean of {len(pairs)} splits",
        f"{ours:.4f} ({', '.join(f'{change:+.1f} %' for change in changes)})",
        f"the defaults: {theirs:.4f}",
        100 * (ours / theirs - 1),
        "{:+.1f} %",
        samples={"pairs": [list(pair) for pair in pairs]},
    )
