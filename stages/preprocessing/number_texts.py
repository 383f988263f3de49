"""Numbers that are not written plainly: decimal and thousands marks, currency and percent signs."""

import re

import polars as pl

from table_schema import Field

# What may stand beside a number: a sign such as €, US$ or %, or a code. More letters could be a unit or a million.
# The codes are those of the 39 currencies that are traded most (BIS Triennial Survey, 2022), and some short names.
CODES = (
    "AED|ARS|AUD|BGN|BHD|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EUR|GBP|HKD|HUF|IDR|ILS|INR|JPY|KRW|MXN|MYR|NOK|NZD|PEN|PHP|"
    r"PLN|RON|RUB|SAR|SEK|SGD|THB|TRY|TWD|USD|ZAR|kr\.?|zł|Kč|Ft|Fr\.?|Rs\.?"
)
SIGN = rf"(?:[A-Z]{{0,2}}\p{{Sc}}|{CODES}|[%‰])"


def is_plain(field: Field) -> bool:
    """Whether the field's numbers are written as JSON and CSV usually have them."""
    return field.bare_number and not field.group_char and field.decimal_char == "."


def plain_number(field: Field, text: pl.Expr) -> pl.Expr:
    """The text as a plain number such as -1234.5; null where it is not of the field's form.

    A percent sign is left out without scaling: 5 % is 5. Thousands are grouped in threes, in India also in twos.
    """
    if is_plain(field):
        return text
    form = form_of(field)
    plain = pl.when(text.str.contains(form)).then(text.str.replace(form, "${1}${2}${3}"))
    if field.group_char:
        plain = plain.str.replace_all(field.group_char, "", literal=True)
    return plain.str.replace(field.decimal_char, ".", literal=True)


def form_of(field: Field, *, fractions: bool = True) -> str:
    """The regular expression of the field's numbers, if they are not plain: two signs, then digits and marks."""
    group, decimal = re.escape(field.group_char), re.escape(field.decimal_char)
    whole = rf"[0-9]{{1,3}}(?:{group}[0-9]{{2,3}})*{group}[0-9]{{3}}|[0-9]*" if group else "[0-9]*"
    fraction = rf"(?:{decimal}[0-9]*)?(?:[eE][+-]?[0-9]+)?" if fractions else ""
    number = f"((?:{whole}){fraction})"
    if field.bare_number:
        return rf"^([+-]?)(){number}$"
    return rf"^([+-]?)\s*(?:{SIGN}\s*)?([+-]?){number}(?:\s*{SIGN})?$"


def written_form(field: Field) -> str:
    """How the field's numbers are written, for messages; an empty text if they are plain."""
    forms = [
        f"the decimal mark {field.decimal_char!r}" * (field.decimal_char != "."),
        f"thousands grouped by {field.group_char!r}" * bool(field.group_char),
        "a currency or percent sign allowed" * (not field.bare_number),
    ]
    return ", ".join(form for form in forms if form)
