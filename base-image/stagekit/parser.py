"""The parser of a stage's command line: it names what it does not know, with the nearest name that it knows."""

import argparse
import difflib
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any


class Parser(argparse.ArgumentParser):
    """Refuses unknown commands, options and choices by name, options before it asks for others; completes no option.

    `argparse` alone asks for --ds if --day was given, and does not say that --day is unknown. Suggested is a required
    option that was not given, if its name is near, else the option with the nearest name. So --day leads to --ds, which
    is required, although --days is spelt more like it.
    """

    def __init__(self, *, prog: str, description: str, example: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.commands: dict[str, Parser] = {}

    def parse(self, given: Sequence[str]) -> argparse.Namespace:
        """The arguments; ends with exit code 2 if they are wrong."""
        self._refuse_unknown(given)
        return self.parse_args(given)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [*map(str, action.choices)]
            found = f"unknown value {value!r}{nearest(str(value), known)}"
            raise argparse.ArgumentError(action, f"{found}; expected: one of {', '.join(known)}")

    def _refuse_unknown(self, given: Sequence[str]) -> None:
        if not self.commands:
            self._refuse_unknown_options(given)
        elif given and given[0] in self.commands:
            self.commands[given[0]]._refuse_unknown(given[1:])
        elif given and given[0] not in self._option_string_actions:
            kind = "option" if given[0].startswith("-") else "command"
            expected = f"expected: one of {', '.join(self.commands)}, then its options"
            self.error(f"unknown {kind} {given[0]}{nearest(given[0], self.commands)}; {expected}")

    def _refuse_unknown_options(self, given: Sequence[str]) -> None:
        names = [text.partition("=")[0] for text in takewhile(lambda text: text != "--", given)]
        known = self._option_string_actions
        for name in names:
            if name.startswith("--") and name not in known:
                required = [option for option, action in known.items() if action.required and option not in names]
                self.error(f"unknown option {name}{nearest(name, required) or nearest(name, known)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """The question that names what somebody may have meant; empty if nothing is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f": did you mean {near[0]}?" if near else ""
