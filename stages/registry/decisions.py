"""What was decided about a version, in words: a tag of the version and of its run, which MLflow's pages show."""

from collections.abc import Collection

from bundle import TAG
from runs import shorten, tag_run
from server import Server, explained
from versions import Version, tag_version

PROMOTED, KEPT, LEFT, HELD = "promoted", "stays challenger", "left to a person", "stays champion"
# A person is to answer; a person has answered that it is not to be promoted.
ASKED, REJECTED = "a person is asked", "rejected"
# The tag of a version about which a person was asked: the champion that it was compared with, or else of that moment.
ASKED_BESIDE, NO_CHAMPION = "asked_beside", "none"
# It scores days beside the champion; `decide-shadow` decides on these.
IN_SHADOW = "in shadow"
# The version is not, or no longer, in shadow, so its shadow days decide nothing.
NOT_IN_SHADOW = "not in shadow"
# The tag of a version that was in shadow: the days that the gate has decided on.
SHADOW_DAYS = "shadow_days"
# The Dag run that has decided on them: another try of it asks again what it has asked.
SHADOW_RUN = "shadow_run"


def is_rejected(version: Version) -> bool:
    """Whether a person has rejected it, and none has promoted it since."""
    return version.tag("decision") == REJECTED


def record_decision(server: Server, version: Version, decision: str, reasons: Collection[str]) -> None:
    """Write the decision and its reasons."""
    tags = {f"{TAG}decision": decision, f"{TAG}decision_reasons": shorten("; ".join(reasons))}
    with explained(server, "recording the decision"):
        for key, value in tags.items():
            tag_run(server, version.run_id, key, value)
            tag_version(server, version.number, key, value)
