"""The command `page`: writes the page of a day, one file that holds all it needs and lets a browser load nothing."""

import base64
import hashlib
import json
import logging
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagekit import Publication, publish
from stagekit.lineage import Lineage

from day import Day, breaches, read_day
from options import PageOptions, read_options

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
MOST_NAME = 120

log = logging.getLogger("report")


def run(args: Namespace) -> Mapping[str, Any]:
    """Read the day, publish reports/{ds}/index.html. Returns its size and the number of crossed thresholds."""
    options = read_options(args)
    read, day = read_day(args.data_dir, args.ds)
    parameters = {"lineage": lineage_digest(day.lineage), "since": day.since[0], "days": day.since[1]}

    def work(publication: Publication) -> Mapping[str, Any]:
        page = render(day, options).encode()
        publication.path("index.html").write_bytes(page)
        number = len(breaches(day)[0])
        log.info("wrote %s/index.html: %d bytes, %d breaches", publication.name, len(page), number)
        return {"page": "index.html", "bytes": len(page), "crossed": number}

    return publish(args, f"reports/{args.ds}", "page", work, inputs=read, parameters=parameters)


def lineage_digest(lineage: Lineage) -> str:
    """A sha256 of what the page shows of a lineage: a page of another lineage is another page.

    The marks themselves are left out, because the page is published in one of them.
    """
    document = lineage.to_document()
    shown = {name: document[name] for name in ("steps", "unreadable", "problems")}
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


def render(day: Day, options: PageOptions) -> str:
    """The text of the page."""
    # Imported here, as jinja2: both are needed only if there is a page to make.
    import sections

    shown = sections.all_sections(day, options)
    return make_environment(TEMPLATES).get_template("page.html").render(**style_of(TEMPLATES), **shown)


def make_environment(folder: Path) -> "Environment":
    """The templates of a folder: each value is escaped and cleaned, and a name that is not there is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from svg import clean, short

    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else clean(value),
    )
    environment.filters.update(name=lambda text: short(text, MOST_NAME), short=short)
    return environment


def style_of(folder: Path) -> dict[str, Any]:
    """The style of a page, and the policy that allows this one only."""
    from markupsafe import Markup

    style = "".join((folder / name).read_text(encoding="utf-8") for name in ("page.css", "chart.css"))
    return {"style": Markup(style), "policy": policy(style)}


def policy(style: str) -> str:
    """The Content-Security-Policy of the page: this one style, by its hash, and nothing from anywhere."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
