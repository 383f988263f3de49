"""The settings that only this engine has: where the API server is, how patient to be, which taints a stage tolerates.

Reads the environment. Writes nothing.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ml.engines.kubernetes.api import Json
from ml.settings import SettingError, setting

# Where Kubernetes gives a pod the files of its service account.
IN_CLUSTER = "/var/run/secrets/kubernetes.io/serviceaccount"
NONE = "none"
START = "a number of seconds such as 600"
TOLERATIONS = "words such as training:dedicated=ml:NoSchedule or *:spot, or `none`"
TOLERATION = re.compile(
    r"(?P<stage>[a-z0-9_-]+|\*):(?P<key>[A-Za-z0-9][A-Za-z0-9_./-]*)(=(?P<value>[A-Za-z0-9_.-]*))?"
    r"(:(?P<effect>NoSchedule|PreferNoSchedule|NoExecute))?"
)


def address() -> str:
    """Where the API server is: ML_KUBERNETES_API, or what Kubernetes sets in each pod. Errors: SettingError."""
    if given := os.environ.get("ML_KUBERNETES_API", "").strip():
        return given
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        expected = "the address of the API server"
        raise SettingError("ML_KUBERNETES_API", "is unset, and this is no pod of a cluster", expected)
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def account() -> Path:
    """The folder with the files of the service account: the pod's own, or ML_KUBERNETES_ACCOUNT."""
    return Path(os.environ.get("ML_KUBERNETES_ACCOUNT", "").strip() or IN_CLUSTER)


def claim() -> str:
    """The claim with the data. Errors: SettingError if ML_DATA is a folder: there is none that all nodes have."""
    name = setting("ML_DATA")
    if "/" in name:
        raise SettingError("ML_DATA", f"is {name!r}", "the name of a PersistentVolumeClaim")
    return name


def start_s() -> float:
    """After how many seconds a pod that has not started is given up. Errors: SettingError."""
    value = _setting("ML_POD_START_SECONDS", START)
    if not value.isascii() or not value.isdigit():
        raise SettingError("ML_POD_START_SECONDS", f"is {value!r}", START)
    return float(value)


def tolerations_of(stage: str) -> Sequence[Json]:
    """The tolerations of a stage: its own words, and those for all stages, `*`. Errors: SettingError."""
    text = _setting("ML_STAGE_TOLERATIONS", TOLERATIONS)
    words = [] if text == NONE else text.split()
    matches = [TOLERATION.fullmatch(word) for word in words]
    if wrong := [word for word, match in zip(words, matches, strict=True) if not match]:
        raise SettingError("ML_STAGE_TOLERATIONS", f"has {wrong[0]!r}", TOLERATIONS)
    return [_toleration(match) for match in matches if match and match["stage"] in (stage, "*")]


def _setting(name: str, expected: str) -> str:
    if value := os.environ.get(name, "").strip():
        return value
    raise SettingError(name, "is unset or empty", expected)


def _toleration(match: re.Match[str]) -> Json:
    """A taint of this key, value and effect: without a value of any value, without an effect of all effects."""
    value = {"operator": "Exists"} if match["value"] is None else {"operator": "Equal", "value": match["value"]}
    return {"key": match["key"], **value, **({"effect": match["effect"]} if match["effect"] else {})}
