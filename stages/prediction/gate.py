"""Whether a candidate keeps the rules of the gate, each as a sentence with numbers. Standard library only.

The figure of a few rows differs by chance, so the rule of the difference looks at its interval, as a test of
non-inferiority does (Piaggio and others, Reporting of Noninferiority and Equivalence Randomized Trials, JAMA 308,
2012): the candidate is good enough if the whole interval is within the tolerance, and worse if the whole interval is
beyond it. Otherwise the two cannot be distinguished, and a setting decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stagekit.contract import HIGHER_IS_BETTER

from rules import TAKE, gain

PASSED, FAILED, UNDECIDED = "passed", "failed", "undecided"


@dataclass(frozen=True)
class Verdict:
    """Whether one rule is kept, or cannot be decided, and a sentence that says so with numbers.

    `taken`: it cannot be decided, and the rule takes the newer model then.
    """

    outcome: str
    reason: str
    taken: bool = False


def judge(
    candidate: Mapping[str, Any],
    champion: Mapping[str, Any] | None,
    interval: Sequence[float] | None,
    rules: Mapping[str, Any],
) -> list[Verdict]:
    """A verdict for each rule, from the figures of both models; without a champion only the floors count.

    `interval` is that of candidate minus champion in the rules' metric.
    """
    floors = [_judge_floor(metric, candidate[metric], floor) for metric, floor in rules["floors"].items()]
    return [_judge_difference(candidate, champion, interval, rules), *floors] if champion else floors


def outcome(verdicts: Sequence[Verdict]) -> str:
    """What all verdicts come to: one that failed decides, then one that is undecided."""
    found = {verdict.outcome for verdict in verdicts}
    return next((one for one in (FAILED, UNDECIDED) if one in found), PASSED)


def is_accepted(verdicts: Sequence[Verdict]) -> bool:
    """Whether the candidate may replace the champion."""
    return all(verdict.outcome == PASSED or verdict.taken for verdict in verdicts)


def undecided(said: str, rules: Mapping[str, Any]) -> Verdict:
    """The verdict that the models cannot be distinguished, and what the rules do then."""
    taken = rules["undecided"] == TAKE
    does = "the newer one is taken" if taken else "the champion is kept"
    return Verdict(UNDECIDED, f"{said}, {does}", taken)


def _judge_difference(
    candidate: Mapping[str, Any],
    champion: Mapping[str, Any],
    interval: Sequence[float] | None,
    rules: Mapping[str, Any],
) -> Verdict:
    metric, tolerance = rules["metric"], rules["tolerance"]
    ours, theirs = candidate[metric], champion[metric]
    if ours is None or theirs is None or interval is None:
        return Verdict(FAILED, f"{metric} could not be measured for both models, so they cannot be compared")
    gained = gain(metric, ours - theirs)
    compared = f"{abs(gained):.6g} {'better' if gained > 0 else 'worse'} than" if gained else "equal to"
    least, most = sorted(gain(metric, bound) for bound in interval)
    said = f"{metric} {ours:.6g} is {compared} the champion's {theirs:.6g}, between {least:+.4g} and {most:+.4g}"
    if least >= -tolerance:
        return Verdict(PASSED, f"{said}: not worse by more than the tolerance {tolerance:g}")
    if most < -tolerance:
        return Verdict(FAILED, f"{said}: worse by more than the tolerance {tolerance:g}")
    return undecided(f"{said}: they cannot be distinguished within the tolerance {tolerance:g}", rules)


def _judge_floor(metric: str, value: float | None, floor: float) -> Verdict:
    """A floor is the lowest value allowed, or the highest one of a metric that is better when lower."""
    if value is None:
        return Verdict(FAILED, f"{metric} could not be measured, so its floor {floor:g} is not reached")
    passed = gain(metric, value - floor) >= 0
    verdict = PASSED if passed else FAILED
    if HIGHER_IS_BETTER[metric]:
        return Verdict(verdict, f"{metric} {value:.6g} {'reaches' if passed else 'is below'} the floor {floor:g}")
    return Verdict(verdict, f"{metric} {value:.6g} {'is at most' if passed else 'is above'} {floor:g}")
