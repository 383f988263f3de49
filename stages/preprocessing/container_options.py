"""The options that say how the text of a file is written, for the commands that read files from outside."""

import codecs
from argparse import ArgumentTypeError

from stagekit import option

UTF_8 = "utf-8"
NAMED_DELIMITERS = {"tab": "\t", "\\t": "\t"}


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
