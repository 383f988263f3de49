"""The section on rejected rows: how many on the way to the scores, why, and examples without the content of rows."""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from day import Day
from svg import percent, short
from words import plural

MOST_REASONS, MOST_EXAMPLES = 15, 8
MASK = "…"


def quality(day: Day) -> dict[str, Any]:
    """Rows in, scored and rejected, the reasons, and an example of each reason."""
    content = day.evaluation["quality"]
    reasons = sorted((content.get("reasons") or {}).items(), key=lambda one: (-one[1], one[0]))
    most = reasons[0][1] or 1 if reasons else 1
    more = len(reasons) - MOST_REASONS
    return {
        "known": content.get("rows_in") is not None,
        "summary": _summary(content) if content.get("rows_in") is not None else "",
        "reasons": [(reason, f"{count:,}", count / most) for reason, count in reasons[:MOST_REASONS]],
        "more": f"and {plural(more, 'more reason')}." if more > 0 else "",
        "examples_known": day.rejected is not None,
        "examples": list(examples(day, [reason for reason, _ in reasons])),
    }


def _summary(content: Mapping[str, Any]) -> str:
    """The counts of the scored path. Training may reject more rows of the same day: those without a target."""
    rows_in, rows_out = content["rows_in"], content.get("rows_out")
    rejected = sum((content.get("rejected") or {}).values())
    share = f" ({percent(rejected / rows_in)})" if rows_in else ""
    scored = f", {rows_out:,} were scored" if rows_out is not None else ""
    return (
        f"{rows_in:,} rows came in{scored}, {rejected:,} were rejected{share}. "
        "Rows without a target are scored; only training rejects them."
    )


def examples(day: Day, reasons: list[str]) -> Iterator[dict[str, str]]:
    """One row for each kind of reason: file and line, and the reason as far as it may be shown."""
    fields = {reason.partition(":")[0] for reason in reasons}
    seen: set[str] = set()
    for row in day.rejected or []:
        kind = row["reason"].partition(":")[0]
        if kind not in seen and len(seen) < MOST_EXAMPLES:
            seen.add(kind)
            place = f"{short(row['file'], 40)}, {short(row['line'], 12)}"
            yield {"place": place, "reason": short(without_values(row["reason"], fields, day.open_fields), 200)}


def without_values(reason: str, fields: set[str], open_fields: frozenset[str]) -> str:
    """A reason such as "amount: '9' above maximum 5; name: 'Li' does not match A", with values masked.

    Values are shown only if all fields of the reason may be shown. A value can hold any text, also quotes and what
    looks like another reason. So only the end of the last part, after the last quote, is shown beside the fields.
    """
    if "'" not in reason:
        return reason
    starts = "|".join(re.escape(field) for field in sorted(fields, key=len, reverse=True)) or r"[^']*"
    found = list(re.finditer(rf"(?:^|; )({starts}): (?=')", reason))
    if found and found[0].start() == 0 and all(match[1] in open_fields for match in found):
        return reason
    starts_of_others = [match.start() for match in found[1:]]
    parts = [reason[begin:end] for begin, end in pairwise([0, *starts_of_others, len(reason)])]
    return "".join([*(part.partition("'")[0] + MASK for part in parts[:-1]), _masked(parts[-1])])


def _masked(part: str) -> str:
    """A part of a reason without what lies between its first and last quote; to its end if it has one quote only."""
    head, quoted, rest = part.partition("'")
    if not quoted:
        return part
    _, closed, tail = rest.rpartition("'")
    return f"{head}{MASK}{tail if closed else ''}"
