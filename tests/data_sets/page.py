"""Writes the table of docs/data_sets.md: `.venv/bin/python -m tests.data_sets.page`."""

from tests.data_sets.sets import SETS, DataSet
from tests.harness import ROOT

PAGE = ROOT / "docs" / "data_sets.md"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
COLUMNS = ("set", "from", "rows", "columns", "what is peculiar", "calls", "what becomes of it")
HEADER = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|\n"


def row(one: DataSet) -> str:
    """A set as a row of the table."""
    table, calls = one.table(), "-" if one.unfit else one.calls
    cells = (one.name, one.origin, f"{len(table.rows):,}", len(table.columns), one.quirk, calls, outcome(one))
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |\n"


def outcome(one: DataSet) -> str:
    """What becomes of a set."""
    if one.unfit:
        return f"no model: {one.why_unfit}"
    warned = f"; a warning: {one.warned}" if one.warned else ""
    rejected = f"; {one.rejected} rows rejected with their reason" if one.rejected else ""
    unlabelled = f"; {one.unlabelled} rows not trained on" if one.unlabelled else ""
    names = ", ".join(f"`{name}`" for name in one.ignored)
    ignored = f"; a warning: {names} {'is' if len(one.ignored) == 1 else 'are'} not used" if one.ignored else ""
    asked = f"; the second call has `{' '.join(one.ask)}`" if one.refused else ""
    return f"a model{warned}{ignored}{rejected}{unlabelled}{asked}"


def page(text: str) -> str:
    """The page with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + HEADER + "".join(map(row, SETS)) + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
