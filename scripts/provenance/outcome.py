"""What came out of a rerun, in words for people and as JSON for programs."""

from collections.abc import Iterator
from typing import Any

from provenance.graph import short
from provenance.rerun import Remade, Rerun


def report(step: Rerun) -> Iterator[str]:
    """What came out of a step, a line per file."""
    yield f"{step.step.name} of {step.step.partition}, in {step.image}"
    for file in step.files:
        yield f"  {file.path}   {short(file.published)}   {_outcome(file)}"
        for side in ("published", "made") if file.difference else ():
            text = file.difference[side] if file.difference else None
            yield f"      {side:10} {'the file has ended' if text is None else text}"


def _outcome(file: Remade) -> str:
    if file.same:
        return "the same bytes"
    if file.made is None:
        return "was not made this time"
    if file.difference is None:
        return f"DIFFERS, {short(file.made)} this time; the published file is not as its mark says, so not compared"
    byte, line = file.difference["byte"], file.difference["line"]
    return f"DIFFERS, {short(file.made)} this time, from byte {byte:,} in line {line:,} on"


def verdict(steps: list[Rerun]) -> str:
    """The outcome in a sentence."""
    files = [file for step in steps for file in step.files]
    different = [step for step in steps if not step.same]
    if not different:
        return f"The same bytes: {len(files)} of {len(files)} files."
    first = different[0]
    names = ", ".join(file.path for file in first.files if not file.same)
    same = sum(file.same for file in files)
    after = " What follows it was made from other bytes." if len(different) > 1 else ""
    return (
        f"NOT the same bytes: {same} of {len(files)} files are. The first to differ: {first.step.name}, {names}.{after}"
    )


def document(steps: list[Rerun]) -> dict[str, Any]:
    """The outcome as an object."""
    return {
        "same_bytes": all(step.same for step in steps),
        "steps": [
            {
                "step": step.step.id,
                "image": step.image,
                "files": {
                    file.path: {
                        "same": file.same,
                        "published": file.published,
                        "made": file.made,
                        "difference": file.difference,
                    }
                    for file in step.files
                },
            }
            for step in steps
        ],
    }
