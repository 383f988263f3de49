"""Texts that look alike and are not equal, such as `yes` and `Yes `: the model takes them as two."""

import unicodedata
from collections.abc import Mapping

INVISIBLE = "Cf"  # Unicode's category of characters such as the zero-width space


def look_alikes(counts: Mapping[str, int]) -> str:
    """A sentence about the most frequent texts that differ only in case, blanks or the form of characters; or empty.

    `counts` has the number of rows of each text.
    """
    groups: dict[str, list[str]] = {}
    for text in counts:
        groups.setdefault(_seen(text), []).append(text)
    alike = [group for group in groups.values() if len(group) > 1]
    if not alike:
        return ""
    first = max(alike, key=lambda group: sum(counts[text] for text in group))
    shown = " and ".join(f"{text!r} ({counts[text]:,})" for text in sorted(first)[:3])
    more = f", and {len(alike) - 1:,} more such groups" if len(alike) > 1 else ""
    return f"{shown} look alike and count as different texts{more}: make them equal in the file if they mean the same"


def _seen(text: str) -> str:
    """The text as a hasty reader sees it."""
    visible = (mark for mark in unicodedata.normalize("NFKC", text) if unicodedata.category(mark) != INVISIBLE)
    return " ".join("".join(visible).split()).casefold()
