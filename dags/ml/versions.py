"""The versions of the model in the form of `promote_model`: tasks keep them, the Dag file reads them.

Writes (when a task has changed the versions) and reads (when the Dag is parsed) `versions.json` in Airflow's folder of
logs, which all of its services share. So parsing asks neither MLflow nor a database.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from airflow.sdk import Param

from ml.links import model_page
from ml.settings import setting

METRICS = ("roc_auc", "average_precision")
COLUMNS = ("version", "alias", "day", *METRICS)
CHALLENGER = "challenger"
# What a cell of the table may be: anyone who reaches MLflow can write its tags and aliases.
VERSION, ALIAS, DAY = re.compile(r"[1-9]\d{0,8}"), re.compile(r"[\w-]{1,40}"), re.compile(r"\d{4}-\d{2}-\d{2}")
UNKNOWN = "–"


class Version(NamedTuple):
    """A version of the model as the form shows it."""

    number: str
    aliases: tuple[str, ...]
    day: str
    metrics: Mapping[str, float]


def _file() -> Path:
    return Path(os.environ.get("AIRFLOW_HOME") or "/opt/airflow") / "logs" / "versions.json"


def remember_versions(context: Mapping[str, Any]) -> None:
    """Keep the versions that the result of a task names; most tasks name none. Errors: OSError, which Airflow logs."""
    outcome = getattr(context["ti"].task, "outcome", None)
    if outcome and (versions := outcome.result.get("versions")):
        path = _file()
        # Of this process alone, then renamed: the Dag processor never reads a half.
        part = path.with_name(f"{path.name}.{os.getpid()}")
        part.write_text(json.dumps({"name": outcome.result.get("name"), "versions": versions}), encoding="utf-8")
        part.replace(path)


def known_versions() -> list[Version]:
    """The versions that a task has kept last, the newest first; none where nobody did, or the file is damaged."""
    try:
        found = json.loads(_file().read_text(encoding="utf-8"))
        if found["name"] != setting("ML_MODEL_NAME"):
            return []
        return [_version(one) for one in found["versions"]]
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return []


def _version(found: Mapping[str, Any]) -> Version:
    metrics = {name: float(found["metrics"][name]) for name in METRICS if name in found["metrics"]}
    aliases = tuple(alias for alias in found["aliases"] if ALIAS.fullmatch(alias))
    if not VERSION.fullmatch(found["version"]):
        raise ValueError(f"{found['version']!r} is no version")
    day = found["ds"] or ""
    return Version(found["version"], aliases, day if DAY.fullmatch(day) else UNKNOWN, metrics)


def version_field() -> Param:
    """The field of the form: a version's number. It offers those that are known, with their metrics; any is taken."""
    versions = known_versions()
    return Param(
        None,
        type=["null", "string", "integer"],
        pattern=f"^{VERSION.pattern}$",
        minimum=1,
        examples=[version.number for version in versions],
        title="Version",
        description_md="\n\n".join(_description(versions)),
    )


def _description(versions: list[Version]) -> list[str]:
    """The paragraphs below the field, in Markdown."""
    challenger = next((f"version {one.number}" for one in versions if CHALLENGER in one.aliases), "")
    default = f"Empty: the challenger, {challenger or 'which is the newest that is not in production'}."
    page = model_page(setting("ML_MODEL_NAME"))
    where = f"[MLflow]({page})" if page else "MLflow"
    if not versions:
        return [f"The version to put into production. {default} {where} shows each version with its metrics."]
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(_row, versions)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    after = f"As the last run that changed a version found them; {where} shows all."
    return [f"The version to put into production. {default}", table, after]


def _row(version: Version) -> tuple[str, ...]:
    metrics = (f"{version.metrics[name]:.4f}" if name in version.metrics else UNKNOWN for name in METRICS)
    return version.number, ", ".join(version.aliases) or UNKNOWN, version.day, *metrics
