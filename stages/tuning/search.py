"""The search: Optuna proposes parameters, LightGBM fits them, a trial that falls behind the others ends early."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import lightgbm
import optuna
from optuna.trial import TrialState
from stagekit import StageError, progress

from journal import Journal, Trial
from parameters import READING, SPACE, as_given, defaults
from search_rows import Rows

# A trial is compared with the median of the others after so many iterations, and then every so often.
FIRST_LOOK, LOOK_EVERY = 50, 10
# Trials that run to their end before any is compared, and before Optuna learns from them.
UNPRUNED, RANDOM = 5, 10

log = logging.getLogger("tuning")


@dataclass(frozen=True)
class Found:
    """What a search has found, by the `metric`, of which less is better."""

    metric: str
    best: Trial
    defaults: Trial
    trials: int
    pruned: int


def search(
    rows: Rows, classes: int, journal: Journal, trials: int, minutes: float | None, seed: int, threads: int
) -> Found:
    """Run the trials that the journal does not have yet; with `minutes`, begin none after that time.

    A trial depends on the seed, its number and the trials before it, so it is the same whether the search was
    killed in between or not. Errors: StageError if LightGBM cannot train.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(UNPRUNED, FIRST_LOOK, LOOK_EVERY)
    study = optuna.create_study(direction="minimize", pruner=pruner)
    for trial in journal.trials[:trials]:
        study.add_trial(_recorded(trial))
    if journal.trials:
        log.info("%d trials were finished before: the search continues", len(study.trials))
    end = None if minutes is None else time.monotonic() + 60 * minutes
    base = defaults(classes, threads)
    with progress("tuning", trials, "trials") as advance:
        advance(len(study.trials))
        for number in range(len(study.trials), trials):
            if number and end is not None and time.monotonic() >= end:
                break
            # Its own seed for each trial: the state of a generator would be lost in a kill.
            study.sampler = optuna.samplers.TPESampler(n_startup_trials=RANDOM, seed=(seed * 10_007 + number) % 2**32)
            if not number:
                study.add_trial(_recorded(_run(rows, base, journal, None, number)))
            else:
                asked = study.ask(dict(SPACE))
                done = _run(rows, base, journal, asked, number)
                study.tell(asked, None if done.pruned else done.value, TrialState.PRUNED if done.pruned else None)
            advance(1)
    finished = journal.trials[:trials]
    best = min((trial for trial in finished if not trial.pruned), key=lambda trial: (trial.value, trial.number))
    log.info("best of %d: trial %d, %s", len(finished), best.number, _compared(base["metric"][0], best, finished[0]))
    pruned = sum(trial.pruned for trial in finished)
    return Found(base["metric"][0], best, finished[0], len(finished), pruned)


def _run(rows: Rows, base: dict[str, object], journal: Journal, asked: optuna.Trial | None, number: int) -> Trial:
    """Fit a trial as `training` would fit it, and keep it in the journal; None asks for the defaults."""
    started = time.monotonic()
    tried = as_given(asked.params if asked else {})
    curve: list[float] = []
    pruned, best = False, 0
    try:
        booster = lightgbm.train(
            {**base, **tried, **READING}, rows.fit, valid_sets=[rows.val], callbacks=[_watch(curve, asked)]
        )
        best = booster.best_iteration or booster.current_iteration()
    except optuna.TrialPruned:
        pruned, best = True, min(range(len(curve)), key=curve.__getitem__) + 1
    except lightgbm.basic.LightGBMError as error:
        raise StageError(f"LightGBM cannot train trial {number}: {error}", do="look at the features") from None
    trial = Trial(number, pruned, curve[best - 1], best, tried, curve)
    journal.add(trial)
    log.info(
        "trial %d: %s %.6f at iteration %d%s, %.1f s",
        *(number, base["metric"][0], trial.value, best),  # type: ignore[index]
        *(f", pruned at {len(curve)}" if pruned else "", time.monotonic() - started),
    )
    return trial


def _watch(curve: list[float], asked: optuna.Trial | None) -> Callable[[lightgbm.callback.CallbackEnv], None]:
    """A callback that keeps the metric of each iteration, and ends a trial that is behind the others."""

    def watch(env: lightgbm.callback.CallbackEnv) -> None:
        # Threads add up in any order, which moves the last digits.
        curve.append(round(env.evaluation_result_list[0].metric_value, 12))
        if asked is not None:
            asked.report(min(curve), len(curve))
            if asked.should_prune():
                raise optuna.TrialPruned

    return watch


def _recorded(trial: Trial) -> optuna.trial.FrozenTrial:
    """A trial of the journal as Optuna knows it. The defaults are outside of the space: no parameters are tried."""
    params = {name: value for name, value in trial.parameters.items() if name in SPACE}
    best, reported = float("inf"), {}
    for step, value in enumerate(trial.curve, start=1):
        reported[step] = best = min(best, value)
    return optuna.trial.create_trial(
        state=TrialState.PRUNED if trial.pruned else TrialState.COMPLETE,
        # What Optuna makes of a pruned trial: the last value that was reported.
        value=best if trial.pruned else trial.value,
        params=params,
        distributions={name: SPACE[name] for name in params},
        intermediate_values=reported,
    )


def _compared(metric: str, best: Trial, first: Trial) -> str:
    return f"{metric} {best.value:.6f}; the defaults have {first.value:.6f}"


class NativeLog:
    """Takes LightGBM's messages: logs each warning once, because some come with every tree; the rest with --verbose."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def info(self, message: str) -> None:
        log.debug("%s", message)

    def warning(self, message: str) -> None:
        if message not in self._seen:
            self._seen.add(message)
            log.warning("%s", message)
