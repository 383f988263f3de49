"""Renders the page of a day: one file that holds all it needs, and that a browser lets load nothing else."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import charts
import sections
from day import Day
from lineage_chart import lineage
from model_plots import TEMPLATES
from settings import Settings
from svg import clean, number, percent, short
from timeline import runs, timeline

MOST_NAME = 120


def render(day: Day, settings: Settings) -> str:
    """The page's text."""
    style = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "chart.css"))
    template = environment().get_template("page.html")
    return template.render(
        style=Markup(style),
        policy=policy(style),
        day=day,
        evaluation=day.evaluation,
        settings=settings,
        **parts(day, settings),
    )


def environment() -> Environment:
    """Everything is escaped; what no browser could show is replaced before."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else clean(value),
    )
    made.filters.update(number=number, percent=percent, name=lambda text: short(text, MOST_NAME), short=short)
    return made


def policy(style: str) -> str:
    """The page's Content-Security-Policy: this one style, by its hash, and nothing from anywhere."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def parts(day: Day, settings: Settings) -> Mapping[str, Any]:
    """What the template shows, section by section."""
    history = day.history
    ran = runs(history.steps)
    return {
        "drift": sections.drift(day.evaluation),
        "quality": sections.quality(day),
        "outcome": sections.outcome(day),
        "comparison": sections.comparison(day),
        "importances": charts.importances(day.importances, "Share of the total gain") if day.importances else None,
        "lineage": lineage(history, f"reports/{day.ds}"),
        "runs": [(run, timeline(run)) for run in ran],
        "links": sections.links(day, settings),
        "images": images(settings),
        "breaches": [breach["text"] for breach in day.evaluation["breaches"]],
    }


def images(settings: Settings) -> list[tuple[str, float, float]]:
    """Each image with its size in MB and that as a share of the largest; the largest first."""
    sizes = sorted(settings.images.items(), key=lambda one: (-one[1], one[0]))
    most = max((size for _, size in sizes), default=0.0) or 1.0
    return [(name, size, size / most) for name, size in sizes]
