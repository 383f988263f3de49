"""How exact a difference between two models is: a paired bootstrap over the rows that both were measured on.

A draw gives each row a number of times that it counts, the same for both models, beside its weight if it has one. The
numbers are Poisson distributed with mean 1, which is drawing with replacement except
for the exact total (Hanley and MacGibbon, Creating non-parametric bootstrap samples using Poisson frequencies, 2006).
The interval is between two percentiles of the differences (Efron and Tibshirani, An Introduction to the Bootstrap,
1993, chapter 13). A draw without a row of a class that the figure needs has no value, and does not count.
"""

import numpy as np
from stagekit import track

from metrics import FIGURES, LabelledRows, rounded

SEED = 20260101
# With more rows, times the classes that a figure is a mean of, the interval comes from a sample, or it takes minutes.
MOST_ROWS = 100_000


def interval(
    metric: str, candidate: LabelledRows, champion: LabelledRows, *, resamples: int, confidence: float
) -> tuple[list[float] | None, int]:
    """The interval of `candidate - champion`, None if no draw has a value; and the number of rows it comes from."""
    draw = np.random.default_rng(SEED)
    count, most = len(candidate.codes), max(1, MOST_ROWS // len(candidate.positives))
    if count > most:
        chosen = np.sort(draw.choice(count, most, replace=False, shuffle=False))
        candidate, champion, count = candidate.take(chosen), champion.take(chosen), most
    draws = track(range(resamples), f"resampling {metric}", resamples, "draws")
    drawn = (_difference(metric, candidate, champion, draw.poisson(1.0, count)) for _ in draws)
    differences = [difference for difference in drawn if difference is not None]
    if not differences:
        return None, count
    tail = (1 - confidence) / 2
    return [rounded(bound) for bound in np.quantile(differences, [tail, 1 - tail])], count


def _difference(metric: str, candidate: LabelledRows, champion: LabelledRows, times: np.ndarray) -> float | None:
    """The difference of a figure when each row counts so many times."""
    drawn = np.flatnonzero(times)
    if not len(drawn):
        return None
    ours, theirs = (FIGURES[metric](side.take(drawn).times(times[drawn])) for side in (candidate, champion))
    return None if ours is None or theirs is None else ours - theirs
