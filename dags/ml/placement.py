"""Where a stage's container may run on a cluster, and what it reserves there.

Reads ML_STAGE_CONSTRAINTS and ML_STAGE_RESERVATIONS. Both are words with blanks between, each for one stage, or for all
stages if it begins with `*`; or `none`.
"""

import re
from dataclasses import dataclass

from ml.settings import SettingError, setting

NONE = "none"
# The value of the label of a node that was checked.
SAFE = "safe"
CONSTRAINT = re.compile(r"([a-z0-9-]+|\*):([a-z][A-Za-z0-9_./-]*)(==|!=)([A-Za-z0-9_.:/-]+)")
RESERVATION = re.compile(r"([a-z0-9-]+|\*):([1-9][0-9]*)([mg])(?:,([0-9]+(?:\.[0-9]+)?))?")
UNITS = {"m": 1 << 20, "g": 1 << 30}


@dataclass(frozen=True)
class Reservation:
    """What a node must have free for a container: bytes of memory, and processors."""

    memory: int = 0
    cpus: float = 0.0


def constraints_of(stage: str) -> list[tuple[str, str, str]]:
    """What a node must be for a stage: each a name, `==` or `!=`, and a value. Errors: SettingError."""
    found = _words("ML_STAGE_CONSTRAINTS", CONSTRAINT)
    return [(name, sign, value) for who, name, sign, value in found if who in (stage, "*")]


def safe_node(folder: str) -> str:
    """The label of a node on which a folder is safe, airflow-ml.srv.ml for /srv/ml: `./airflow-ml doctor` sets it."""
    return "airflow-ml" + re.sub(r"[^A-Za-z0-9]+", ".", folder).rstrip(".")


def reservation_of(stage: str) -> Reservation:
    """What a stage reserves; its own word counts before that of all stages. Errors: SettingError."""
    found = _words("ML_STAGE_RESERVATIONS", RESERVATION)
    by_stage = {who: Reservation(int(size) * UNITS[unit], float(cpus or 0)) for who, size, unit, cpus in found}
    return by_stage.get(stage) or by_stage.get("*") or Reservation()


def _words(name: str, pattern: re.Pattern[str]) -> list[tuple[str, ...]]:
    value = setting(name)
    if value == NONE:
        return []
    matches = [(word, pattern.fullmatch(word)) for word in value.split()]
    if wrong := [word for word, match in matches if not match]:
        raise SettingError(name, f"has {wrong[0]!r}")
    return [match.groups() for _, match in matches if match]
