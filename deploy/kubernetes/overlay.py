"""Prints a kustomization on top of deploy/kubernetes, with the images that were pushed, by digest.

Usage: overlay.py [--probe]. Reads dags/images.lock.json. Exit codes: 0 done; 1 an image was not pushed.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# The images of the manifests, by their names in the image lock.
STACK, PROBE = ("mlflow", "reports"), ("base",)


def kustomization(images: Mapping[str, Any], names: Sequence[str], base: str) -> str:
    """The text. Errors: KeyError with the name of an image that was not pushed."""
    lines = ["apiVersion: kustomize.config.k8s.io/v1beta1", "kind: Kustomization", f"resources: [{base}]", "images:"]
    for name in names:
        entry = images.get(name, {})
        if not entry.get("pushed"):
            raise KeyError(name)
        repository, _, digest = entry["pushed"].partition("@")
        lines += [f"  - name: {entry['name']}", f"    newName: {repository}", f"    digest: {digest}"]
    return "\n".join([*lines, ""])


def main(argv: Sequence[str] | None = None, lock: Path = ROOT / "dags" / "images.lock.json") -> int:
    """Print it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--probe", action="store_true", help="on top of deploy/kubernetes/probe")
    probe = parser.parse_args(argv).probe
    names, base = (PROBE, "../deploy/kubernetes/probe") if probe else (STACK, "../deploy/kubernetes")
    try:
        images = json.loads(lock.read_text(encoding="utf-8"))["images"]
        print(kustomization(images, names, base), end="")
    except FileNotFoundError:
        print(f"{lock}: the image lock is missing; do: run ./build_images.sh --push ADDRESS", file=sys.stderr)
        return 1
    except KeyError as error:
        print(f"{lock}: image {error} was not pushed; do: run ./build_images.sh --push ADDRESS", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
