"""The weight of a draft: a column of numbers, of which `prepare` will reject some rows."""

import polars as pl
from stagekit import BadInput

from column_choice import Choice
from column_values import Column
from readings import NUMBERS

SHOWN_TEXTS = 3


def warnings_on_weight(column: Column, choice: Choice) -> list[str]:
    """What `prepare` will reject, of the values that were kept. Errors: BadInput if the column is none of numbers."""
    name, field = column.name, choice.reading.field
    if field.type not in NUMBERS:
        raise BadInput(
            f"the weight {name} is read as {field.type}: {'; '.join(choice.why)}",
            expected="a column of numbers above 0",
            do=f"name another column, or say how its numbers are written, such as --assume {name}=number",
        )
    warnings = []
    if lacking := column.rows - column.readable:
        warnings.append(f"{name}: {lacking:,} of {column.rows:,} rows have no weight: prepare rejects them")
    texts = pl.Series([text.strip() for text in column.values.counts], dtype=pl.String)
    if wrong := texts.filter(choice.reading.values(texts) <= 0).head(SHOWN_TEXTS).to_list():
        shown = ", ".join(map(repr, wrong))
        warnings.append(f"{name}: {shown}: a weight is above 0, so prepare rejects such rows")
    return warnings
