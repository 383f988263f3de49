"""Renders the pages of the stage: one template each on a shared base, and the style that the base holds."""

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"


def render_template(template: str, **shown: Any) -> str:
    """The text of a page."""
    return _make_environment().get_template(template).render(**_style(), **shown)


def _make_environment() -> "Environment":
    """The templates: each value is escaped and cleaned, and a name that is not there is an error."""
    # Imported here: needed only if there is a page to make.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from svg import clean, short
    from words import MOST_NAME

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else clean(value),
    )
    environment.filters.update(name=lambda text: short(text, MOST_NAME), short=short)
    return environment


def _style() -> dict[str, Any]:
    """The style of a page, and the policy that allows this one only."""
    from markupsafe import Markup

    style = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "chart.css"))
    return {"style": Markup(style), "policy": _policy(style)}


def _policy(style: str) -> str:
    """The Content-Security-Policy of the page: this one style, by its hash, and nothing from anywhere."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
