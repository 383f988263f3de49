"""The options that say how the text of a file is written, for the commands that read files from outside."""

import codecs
import shlex
from argparse import ArgumentTypeError
from collections.abc import Collection

from stagekit import option

UTF_8 = "utf-8"
NAMED_DELIMITERS = {"tab": "\t", "\\t": "\t"}
# What may separate the fields of a file; the first of those that are met as often.
LIKELY_DELIMITERS = ",;\t|:^~#!/ "


def delimiter(text: str) -> str:
    """The type of a delimiter: one character of ASCII, or the word tab."""
    found = NAMED_DELIMITERS.get(text, text)
    if len(found) != 1 or not found.isascii() or found in '"\r\n\0' or found.isalnum():
        raise ArgumentTypeError(f"{text!r} is not one character such as ; or |, and not the word tab")
    return found


def encoding(text: str) -> str:
    """The type of an encoding, in Python's spelling."""
    try:
        name = codecs.lookup(text).name
        "".encode(name)  # refuses codecs that are not for text
    except (LookupError, ValueError):
        raise ArgumentTypeError(f"{text!r} is no encoding, such as utf-8, cp1252, latin-1 or utf-16-le") from None
    return UTF_8 if name == "utf-8-sig" else name


DELIMITER = option(
    "--delimiter", type=delimiter, metavar="C", help="what separates the fields, such as ; or tab (default: recognised)"
)
ENCODING = option(
    "--encoding",
    type=encoding,
    metavar="NAME",
    help="the encoding of the text, such as cp1252 (default: UTF-8, or as the byte order mark says)",
)


def how_to_read(header: Collection[str]) -> str:
    """The options for a file that lacks a column; with the likely delimiter, if its header was taken for one name."""
    text = next(iter(header), "")
    likely = max(LIKELY_DELIMITERS, key=text.count)
    if len(header) > 1 or likely not in text:
        return "--delimiter and --encoding say how to read the file"
    name = "tab" if likely == "\t" else shlex.quote(likely)
    return f"if its columns are separated by {likely!r}, add --delimiter {name}"
