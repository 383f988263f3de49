"""What a task's container did, and what its exit code means. Reads and writes nothing."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

LINES_KEPT = 15

WRONG_USAGE, BAD_INPUT, NOT_READY, ANOTHER_ENDED, KILLED = 2, 3, 4, 5, 137
# A retry would fail in the same way.
HOPELESS = {WRONG_USAGE, BAD_INPUT, NOT_READY}
MEANING = {
    1: "the stage failed",
    WRONG_USAGE: "the stage refused its arguments",
    BAD_INPUT: "bad input data",
    NOT_READY: "the input is not there yet",
    ANOTHER_ENDED: "another rank of the training has ended",
    KILLED: "killed from outside",
    143: "stopped by a signal",
}


@dataclass
class Outcome:
    """The container of one try, as far as it got.

    `complaint` is the stage's own sentence about its failure; `meaning` is what the exit code means.
    """

    image: str
    by_hand: str = ""
    exit_code: int | None = None
    meaning: str = ""
    complaint: str = ""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))
    result: dict[str, Any] = field(default_factory=dict)

    def failure(self, stage: str, retry: str) -> str:
        """The message of the failed task: the stage's own sentence, the exit code, the command by hand."""
        sentence = f"{self.complaint.rstrip('.')}. " if self.complaint else ""
        ended = f"{stage} ended with exit code {self.exit_code}: {self.meaning} ({retry})."
        return f"{sentence}{ended} By hand: {self.by_hand}"
