"""Hypothesis strategies for files that somebody has damaged or made up, from one that is in order."""

import copy
import json
import re
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

# Each example runs a whole stage, so there are fewer of them.
LONG = settings.default.max_examples > 100
RUNS = settings(max_examples=300 if LONG else 8)
# A run of a stage that was given bad input ends so.
DONE, BAD_INPUT = 0, 3

# Names and texts that mean something to a path, a number, a format or another program.
NAMES = (
    "", ".", "..", "../../other/file", "/etc/passwd", "a/b", "a\0b", "\ud800", "x" * 300, "_meta.json", ".lock", "-x",
    "nan", "1e999", "９", "9" * 5000, "{0}", "%s", "\u202e", "Ω\r\n", "2026-11-21",
)  # fmt: skip
TEXTS = st.one_of(st.sampled_from(NAMES), st.text(max_size=8))
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([0, -1, 2**31, 2**63, 10**400]), st.floats(), TEXTS
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)


def places(content: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document, as the keys that lead there."""
    keys = content.keys() if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    return [found for key in keys for found in [(*place, key), *places(content[key], (*place, key))]]


@st.composite
def changed(draw: st.DrawFn, good: Any) -> Any:
    """A document with one to three members replaced, removed, renamed or added."""
    content = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        found = places(content)
        if not found:
            break
        *parents, last = draw(st.sampled_from(found))
        inner = content
        for key in parents:
            inner = inner[key]
        match draw(st.sampled_from(["replace", "replace", "remove", "rename", "add"])):
            case "replace":
                inner[last] = draw(VALUES)
            case "remove":
                del inner[last]
            case "rename" if isinstance(inner, dict):
                inner[draw(TEXTS)] = inner.pop(last)
            case _ if isinstance(inner, dict):
                inner[draw(TEXTS)] = draw(VALUES)
            case _:
                inner.append(draw(VALUES))
    return content


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes with a few runs of them replaced, removed or written twice, or cut off."""
    found = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(found)))
        end = min(len(found), start + draw(st.integers(0, 20)))
        match draw(st.sampled_from(["replace", "remove", "twice", "cut", "insert"])):
            case "replace":
                found[start:end] = draw(st.binary(max_size=8))
            case "remove":
                del found[start:end]
            case "twice":
                found[start:start] = found[start:end]
            case "cut":
                del found[start:]
            case _:
                found[start:start] = draw(st.sampled_from(SPECIAL_BYTES))
    return bytes(found)


SPECIAL_BYTES = (
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n", b'"', b",", b'""', b"\x1a", b"\xed\xa0\x80", b"nan", b"inf", b"-0",
    b"1e999", b"9" * 400, b"{", b"[" * 2000, b'{"a":' * 2000, b"\\ud800", b"NaN", b"null", b"=", b" ",
)  # fmt: skip


def tables(text: str) -> st.SearchStrategy[bytes]:
    """The bytes of a CSV table like a good one: other bytes, or other cells."""
    rows = [line.split(",") for line in text.splitlines()]
    return st.one_of(damaged(text.encode()), changed(rows).map(_to_csv))


def _to_csv(rows: Any) -> bytes:
    lines = [",".join(map(str, row)) if isinstance(row, list) else str(row) for row in rows]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")


def documents(good: Any) -> st.SearchStrategy[bytes]:
    """The bytes of a document like a good one: other members, or other bytes."""
    text = json.dumps(good).encode()
    return st.one_of(changed(good).map(lambda content: json.dumps(content).encode()), damaged(text))


@st.composite
def model_texts(draw: st.DrawFn, text: str) -> bytes:
    """LightGBM's text of a model like a good one: other words in a few lines, with sizes that fit, or other bytes."""
    if draw(st.booleans()):
        return draw(damaged(text.encode()))
    lines = text.split("\n")
    for _ in range(draw(st.integers(1, 3))):
        number = draw(st.sampled_from([n for n, line in enumerate(lines) if "=" in line]))
        key, _, value = lines[number].partition("=")
        words = draw(changed(value.split(" ")))
        lines[number] = f"{key}={' '.join(map(str, words))}"
    return with_tree_sizes("\n".join(lines)).encode("utf-8", "surrogatepass")


def with_tree_sizes(text: str) -> str:
    """The text with the right `tree_sizes`: without them nothing else of it is read."""
    blocks = text.partition("\nend of trees")[0].split("\nTree=")[1:]
    sizes = " ".join(str(len(block.encode("utf-8", "surrogatepass")) + len("Tree=\n")) for block in blocks)
    return re.sub(r"(?m)^tree_sizes=.*$", f"tree_sizes={sizes}", text, count=1)
