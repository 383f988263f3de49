"""Which image would be built, and which of its ingredients made it so."""

from collections.abc import Container, Mapping
from typing import Any

from airflow_ml.images.lock import Entry
from airflow_ml.images.tags import Image

MODES = {"100755": "executable", "100644": "not executable"}


def explain(
    images: Mapping[str, Image], wanted: Container[str], missing: Container[str], lock: Mapping[str, Entry], why: bool
) -> list[str]:
    """One line an image, `build` or `keep`; with `why`, a line for each difference from its entry in the lock."""
    lines = []
    for name, image in images.items():
        if name in wanted or name in missing:
            lines.append(f"{'build' if name in missing else 'keep '} {image.reference}")
            if why:
                lines += [f"        {reason}" for reason in reasons(image, name in missing, lock.get(name))]
    return lines


def reasons(image: Image, missing: bool, entry: Entry | None) -> list[str]:
    """Why an image is built, or what makes a tag that the engine has another one than the lock's."""
    if entry is None or "ingredients" not in entry:
        return ["the image lock does not say what it was built from"] if missing else []
    if entry.get("tag") == image.tag:
        return ["nothing changed, but the engine does not have the image any more"] if missing else []
    return [f"instead of {entry['image']}:", *differences(entry["ingredients"], image.ingredients)]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between the ingredients of two builds, one line each."""
    found = [
        f"{label} {old.get(key, 'none')} -> {new.get(key, 'none')}"
        for key, label in (("base", "base"), ("platform", "platform"))
        if old.get(key) != new.get(key)
    ]
    old_args, new_args = old.get("args", {}), new.get("args", {})
    for name in sorted({*old_args, *new_args}):
        if old_args.get(name) != new_args.get(name):
            found.append(f"build argument {name}: {old_args.get(name, 'none')} -> {new_args.get(name, 'none')}")
    return found + file_differences(old.get("files", {}), new.get("files", {}))


def file_differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    added, removed = sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())
    found = []
    for path in list(removed):
        # A file of the same bytes and mode under another name was renamed.
        if twin := next((name for name in added if new[name] == old[path]), None):
            added.remove(twin)
            removed.remove(path)
            found.append(f"renamed {path} -> {twin}")
    for path in sorted(old.keys() & new.keys()):
        (old_mode, _, old_bytes), (new_mode, _, new_bytes) = old[path].partition(" "), new[path].partition(" ")
        if old_bytes != new_bytes:
            found.append(f"changed {path}")
        if old_mode != new_mode:
            found.append(f"mode    {path}: {MODES[old_mode]} -> {MODES[new_mode]}")
    return found + [f"added   {path}" for path in added] + [f"removed {path}" for path in removed]
