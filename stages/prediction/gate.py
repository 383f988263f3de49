"""Whether a candidate keeps the rules of the gate, each as a sentence with numbers. Standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stagekit.contract import HIGHER_IS_BETTER

from rules import gain


@dataclass(frozen=True)
class Verdict:
    """Whether one rule is kept, and a sentence that says so with numbers."""

    passed: bool
    reason: str


def judge(candidate: Mapping[str, Any], champion: Mapping[str, Any] | None, rules: Mapping[str, Any]) -> list[Verdict]:
    """A verdict for each rule, from the figures of both models; without a champion only the floors count."""
    floors = [_judge_floor(metric, candidate[metric], floor) for metric, floor in rules["floors"].items()]
    if not champion:
        return floors
    metric = rules["metric"]
    return [_judge_difference(metric, candidate[metric], champion[metric], rules["tolerance"]), *floors]


def _judge_difference(metric: str, ours: float | None, theirs: float | None, tolerance: float) -> Verdict:
    if ours is None or theirs is None:
        return Verdict(False, f"{metric} could not be measured for both models, so they cannot be compared")
    gained = gain(metric, ours - theirs)
    compared = f"{abs(gained):.6g} {'better' if gained > 0 else 'worse'} than" if gained else "equal to"
    reason = f"{metric} {ours:.6g} is {compared} the champion's {theirs:.6g}"
    passed = gained >= -tolerance
    if gained < 0:
        reason += f", {'within' if passed else 'more than'} the tolerance {tolerance:g}"
    return Verdict(passed, reason)


def _judge_floor(metric: str, value: float | None, floor: float) -> Verdict:
    """A floor is the lowest value allowed, or the highest one of a metric that is better when lower."""
    if value is None:
        return Verdict(False, f"{metric} could not be measured, so its floor {floor:g} is not reached")
    passed = gain(metric, value - floor) >= 0
    if HIGHER_IS_BETTER[metric]:
        return Verdict(passed, f"{metric} {value:.6g} {'reaches' if passed else 'is below'} the floor {floor:g}")
    return Verdict(passed, f"{metric} {value:.6g} {'is at most' if passed else 'is above'} {floor:g}")
