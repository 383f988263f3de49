"""The command `page`: writes the page of a day, one file that holds all it needs and lets a browser load nothing."""

import hashlib
import json
import logging
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stagekit import Publication, publish
from stagekit.lineage import Lineage

from day import Day, breaches, read_day
from options import PageOptions, read_options
from rendering import render_template

log = logging.getLogger("report")


def page(args: Namespace) -> Mapping[str, Any]:
    """Read the day, publish reports/{ds}/index.html. Returns its size, state and number of crossed thresholds."""
    options = read_options(args)
    read, day = read_day(args.data_dir, args.ds)
    parameters = {"lineage": lineage_digest(day.lineage), "since": day.since[0], "days": day.since[1]}
    parameters["shadow"] = day.shadow and day.shadow[0]

    def work(publication: Publication) -> Mapping[str, Any]:
        text = render(day, options).encode()
        publication.path("index.html").write_bytes(text)
        number = len(breaches(day)[0])
        log.info("wrote %s/index.html: %d bytes, %d breaches", publication.name, len(text), number)
        from headline import headline, in_shadow

        # The start page of the reports, which sees no other folder, shows the state, and this of the newest day.
        shadow, state = in_shadow(day), headline(day, {})["kind"]
        shown = {"shadow": dict(zip(("version", "figures"), shadow, strict=True))} if shadow else {}
        return {"page": "index.html", "bytes": len(text), "state": state, "crossed": number, **shown}

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

    return render_template("page.html", **sections.all_sections(day, options))
