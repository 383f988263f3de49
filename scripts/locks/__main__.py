"""The locks of Python packages: `compile`, `check`, `sbom`, `audit`; the Makefile calls them.

Exit codes: 0 done, 1 the locks are not as they must be (or, of an audit, something was found), 2 wrong usage,
3 an audit could not be made.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_ml.common import AirflowMlError as Failure
from locks.files import ROOT


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="locks", description="The locks of Python packages.")
    parser.add_argument("--root", type=Path, default=ROOT, help="another checkout than this one")
    commands = parser.add_subparsers(dest="command", required=True)
    compiling = commands.add_parser("compile", help="compile every requirements.in; needs the package index")
    compiling.add_argument("what", nargs="*", metavar="FOLDER|PACKAGE[==VERSION]", help="this lock; upgrade only these")
    compiling.add_argument("--constraint", type=Path, action="append", default=[], help="a file of further constraints")
    commands.add_parser("check", help="say what in the locks is not as it was made; needs no network")
    listing = commands.add_parser("sbom", help="write .cache/sbom/NAME.cdx.json for each image; needs the engine")
    listing.add_argument("images", nargs="*", metavar="NAME", help="these images; none: all of the image lock")
    auditing = commands.add_parser("audit", help="ask for known vulnerabilities of every lock")
    auditing.add_argument("--service", choices=("osv", "pypi"), help="this service alone; by default the first of them")
    auditing.add_argument("--osv-url", metavar="URL", help="where an OSV service answers queries, if not in public")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse_arguments(argv)
    try:
        return run(arguments)
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 3 if arguments.command == "audit" else 1


def run(arguments: argparse.Namespace) -> int:
    """Each command loads what it needs: `check` and `sbom` run without the tests' environment."""
    if arguments.command == "compile":
        from locks.compile import compile_locks

        folders = [Path(what) for what in arguments.what if "/" in what or what in ("tests", "base-image")]
        packages = [what for what in arguments.what if Path(what) not in folders]
        if len(folders) > 1:
            raise Failure(f"found {len(folders)} folders; expected: one, or none for every lock")
        fixed = "".join(path.read_text(encoding="utf-8") for path in arguments.constraint)
        for line in compile_locks(arguments.root, packages, next(iter(folders), None), fixed) or ["nothing changed"]:
            print(line)
        return 0
    if arguments.command == "check":
        from locks.check import check

        return check(arguments.root)
    if arguments.command == "sbom":
        from locks.image_bom import write_image_boms

        return write_image_boms(arguments.root, arguments.images)
    from locks.audit import audit

    return audit(arguments.root, arguments.service, arguments.osv_url)


if __name__ == "__main__":
    sys.exit(main())
