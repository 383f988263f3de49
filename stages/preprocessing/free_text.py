"""Which texts are no categories: the one rule that `infer-schema` and `split` follow.

`split` counts the rows that `prepare` has kept, `infer-schema` all rows. A row that is rejected may be one whose text
repeats, so the draft assumes that as many are rejected as `prepare` allows: what it takes as a category, `split` takes.
"""

from table_schema import MOST_REJECTED

# Texts of so many characters on average, of which so large a share differs. Fewer rows are no evidence.
LEAST_ROWS, LEAST_SHARE, LEAST_CHARACTERS = 50, 0.5, 20


def is_free_text(rows: float, different: float, characters: float) -> bool:
    """Whether texts are long and mostly different, so that a model knows each of them or none.

    :param rows: how many rows have a text
    :param different: how many different texts there are
    :param characters: of the texts of all rows together
    """
    return rows >= LEAST_ROWS and different >= LEAST_SHARE * rows and characters >= LEAST_CHARACTERS * rows


def may_become_free_text(rows: int, texts: int, different: float, characters: int) -> bool:
    """Whether `is_free_text` can be true of the rows that `prepare` keeps; `texts` of the file's `rows` have a text.

    `prepare` makes none of the numbers larger, and rejects at most the fraction MOST_REJECTED of the rows by default.
    """
    return texts >= LEAST_ROWS and is_free_text(max(texts - MOST_REJECTED * rows, LEAST_ROWS), different, characters)
