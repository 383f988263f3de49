"""Where published files come from: shows their lineage, compares two, makes one again to prove it.

Commands:
  show FILE    walks back to the raw data and the images, and checks every hash on the way
  diff A B     says what differs between two runs, and where the difference begins
  rerun FILE   runs the same images on the same inputs in a scratch volume, and compares the bytes

A FILE is a path below the data folder: a file (predictions/2026-11-21/predictions.csv) or a whole partition.
ML_DATA, in .env or the environment, says where the data is. Exit codes: 0 done; 1 a problem was found
(show --check), or the bytes differ (rerun); 2 wrong usage; 3 it cannot be done, the message says why.
"""

import argparse
import sys
from collections.abc import Callable, Sequence

from provenance import outcome, rerun, show, tell
from provenance.compare import compare
from provenance.engine import Settings, image_ids, load_settings
from provenance.errors import ProvenanceError
from provenance.graph import Lineage, build
from provenance.store import saved_mark, snapshot, to_json


def image_ids_of(lineage: Lineage) -> dict[str, "str | None"]:
    """The engine's ids of the images that a lineage names."""
    told = [step.image for step in lineage.steps.values()]
    return image_ids(text for image in told for text in (image["name"], image["id"]) if text)


def run_show(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the lineage of a file or partition."""
    lineage = build(snapshot(settings, [arguments.file]))
    if arguments.format == "mermaid":
        print(show.mermaid(lineage))
    elif arguments.format == "json":
        print(to_json(show.document(lineage, image_ids_of(lineage))))
    else:
        print(show.tree(lineage, image_ids_of(lineage)))
    return 1 if arguments.check and lineage.problems else 0


def lineage_of(settings: Settings, text: str) -> Lineage:
    """The lineage of a file, of a partition, or of what a kept copy of a mark speaks of."""
    mark = saved_mark(settings, text)
    if mark is None:
        return build(snapshot(settings, [text]))
    return build(snapshot(settings, [mark["partition"]], {mark["partition"]: mark}))


def run_diff(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print what differs between two runs."""
    a, b = lineage_of(settings, arguments.a), lineage_of(settings, arguments.b)
    comparison = compare(a, b)
    print(to_json(tell.document(a, b, comparison)) if arguments.format == "json" else tell.words(a, b, comparison))
    return 0


def run_rerun(settings: Settings, arguments: argparse.Namespace) -> int:
    """Make a file or partition again, and compare the bytes."""
    found = snapshot(settings, [arguments.file])
    lineage, everything = build(found), arguments.depth == "all"
    if everything:  # what is made from the raw data on may differ for these reasons
        for path, problem in lineage.problems:
            print(f"Note: {path} {problem.text}", file=sys.stderr)
    steps = []
    for step in rerun.rerun(settings, found, lineage, everything=everything, images=arguments.images):
        steps.append(step)
        if arguments.format == "text":
            print("\n".join(outcome.report(step)), flush=True)
    print(to_json(outcome.document(steps)) if arguments.format == "json" else outcome.verdict(steps))
    return 0 if all(step.same for step in steps) else 1


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="lineage.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    command = commands.add_parser("show", help="show where a file comes from, and check every hash")
    command.add_argument("file", type=_given("FILE"), metavar="FILE")
    command.add_argument("--format", choices=["text", "json", "mermaid"], default="text")
    command.add_argument("--check", action="store_true", help="end with exit code 1 where something is wrong")
    command.set_defaults(run=run_show)
    command = commands.add_parser("diff", help="say what differs between two runs")
    command.add_argument("a", type=_given("A"), metavar="A", help="a file, a partition, or a kept copy of a _meta.json")
    command.add_argument("b", type=_given("B"), metavar="B")
    command.add_argument("--format", choices=["text", "json"], default="text")
    command.set_defaults(run=run_diff)
    command = commands.add_parser("rerun", help="make a file again in a scratch volume, and compare the bytes")
    command.add_argument("file", type=_given("FILE"), metavar="FILE")
    command.add_argument(
        "--depth",
        choices=["step", "all"],
        default="step",
        help="step: what made FILE, on the published inputs (default); all: everything from the raw data on",
    )
    command.add_argument(
        "--images",
        choices=["recorded", "locked"],
        default="recorded",
        help="recorded: those that the marks name (default); locked: those that the Dags run now",
    )
    command.add_argument("--format", choices=["text", "json"], default="text")
    command.set_defaults(run=run_rerun)
    return parser.parse_args(argv)


def _given(name: str) -> Callable[[str], str]:
    """An argument type: a path that is not empty, as make passes where nobody gave one."""

    def parse(text: str) -> str:
        if text:
            return text
        raise argparse.ArgumentTypeError(f"name one, such as {name}=predictions/2026-11-21/predictions.csv")

    return parse


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        return int(arguments.run(load_settings(), arguments))
    except ProvenanceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
