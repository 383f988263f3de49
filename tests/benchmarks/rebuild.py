"""How long `build_images.sh` takes after a change, and that it builds what the change concerns and nothing else.

Everything happens in a scratch checkout, under names of its own, which are removed at the end. *Cold* is a build that
finds only the Debian image: each step of ours runs (`--no-cache`), and packages and wheels are fetched, as the caches
that the Dockerfiles mount are new ones. The other builds find what the one before left, as everybody's do.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from figures import Row
from lab import NAME, ROOT, Lab

sys.path.append(str(ROOT))
from tests.image_tree import build_images, make_checkout

FOLDERS = ("base-image", "stages", "services")
MOUNTED_CACHE = "--mount=type=cache,"
# `docker buildx bake` with one option more; everything else goes to docker as it is.
NO_CACHE = """\
#!/usr/bin/env bash
if [ "${1-} ${2-}" = "buildx bake" ]; then shift 2; set -- buildx bake --no-cache "$@"; fi
exec "%s" "$@"
"""
NOTHING_S, ONE_LINE_S = 2.0, 5.0


@dataclass
class Checkout:
    """A scratch checkout; `prefix` begins the names of its images and of the caches that its builds mount."""

    root: Path
    prefix: str

    def build(self, path: str | None = None) -> tuple[float, set[str]]:
        """Run `build_images.sh`; returns its seconds, and the images that it built."""
        before, started = self._lock(), time.perf_counter()
        done = build_images(self.root, self.prefix, **({"PATH": path} if path else {}))
        seconds = time.perf_counter() - started
        if done.returncode:
            raise SystemExit(f"error: build_images.sh ended with {done.returncode}\n{done.stderr[-3000:]}")
        after = self._lock()
        reported = re.search(r"^building (.*)$", done.stderr, re.MULTILINE)
        built = set(reported[1].split(", ")) if reported else set()
        if changed := {name for name in after if after[name] != before.get(name)} ^ (built - {"builder"}):
            raise SystemExit(f"error: build_images.sh reported {built}, but the image lock differs in {changed}")
        return seconds, built

    def _lock(self) -> dict[str, str]:
        path = self.root / "dags" / "images.lock.json"
        if not path.exists():
            return {}
        return {name: entry["image"] for name, entry in json.loads(path.read_text())["images"].items()}

    def images(self) -> set[str]:
        """The names of all its images but the builder's."""
        return set(self._lock())

    def change(self, file: str) -> None:
        """Add a line to a module."""
        path = self.root / file
        path.write_text(f"{path.read_text()}# {secrets.token_hex(8)}\n")

    def remove(self) -> None:
        """Remove its images and the caches that its builds mounted. Finished steps stay in the builder's cache."""
        form = "{{.Repository}}:{{.Tag}}"
        listing = ["docker", "image", "ls", f"--format={form}", f"--filter=reference={self.prefix}*"]
        if images := subprocess.run(listing, text=True, capture_output=True, check=True).stdout.split():
            subprocess.run(["docker", "image", "rm", "--force", *images], check=True, capture_output=True)
        usage = ["docker", "buildx", "du", "--verbose", "--filter=type=exec.cachemount"]
        mounted = subprocess.run(usage, text=True, capture_output=True, check=True).stdout
        for record in re.findall(rf"^ID:\s+(\S+)\n(?:.+\n)*?Description:.*{self.prefix}", mounted, re.MULTILINE):
            prune = ["docker", "buildx", "prune", "--force", "--all", f"--filter=id={record}"]
            subprocess.run(prune, check=True, capture_output=True)


@contextmanager
def scratch_checkout(quick: bool) -> Iterator[Checkout]:
    """Our folders as they are here; for a quick run the small images of the tests."""
    with tempfile.TemporaryDirectory(prefix=f"{NAME}-") as folder:
        checkout = Checkout(make_checkout(Path(folder) / "checkout"), f"{NAME}-{secrets.token_hex(2)}-")
        if not quick:
            use_our_folders(checkout)
        try:
            yield checkout
        finally:
            checkout.remove()


def use_our_folders(checkout: Checkout) -> None:
    """Copy what the images are made from; the caches that the Dockerfiles mount get names of their own."""
    for name in FOLDERS:
        shutil.rmtree(checkout.root / name)
        shutil.copytree(ROOT / name, checkout.root / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for dockerfile in checkout.root.glob("*/*/Dockerfile"):
        text = dockerfile.read_text()
        dockerfile.write_text(text.replace(MOUNTED_CACHE, f"{MOUNTED_CACHE}id={checkout.prefix}cache,"))


def path_without_cache(folder: Path) -> str:
    """A PATH on which docker builds without what the builder's cache holds."""
    docker = shutil.which("docker")
    (folder / "docker").write_text(NO_CACHE % docker)
    (folder / "docker").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def rebuild(lab: Lab) -> list[Row]:
    """Cold, nothing changed, one line of one stage, the base; the best of some runs where a run takes seconds."""
    quick = lab.repeats == 1
    with scratch_checkout(quick) as checkout, tempfile.TemporaryDirectory() as shim:
        cold, built = checkout.build(path_without_cache(Path(shim)))
        everything = built | {"builder"}
        check(built, checkout.images() | {"builder"})
        nothing = [timed(checkout, set()) for _ in range(lab.repeats)]
        stages = sorted(path.name for path in (checkout.root / "stages").iterdir())
        lines = {stage: [one_line(checkout, stage) for _ in range(lab.repeats)] for stage in stages}
        base = base_changed(checkout, quick, everything)
    slowest = max(lines, key=lambda stage: min(lines[stage]))
    row = row_maker(cold, len(everything) - 1)
    return [
        row("all of it, cold", everything, cold),
        row("nothing changed", set(), min(nothing), NOTHING_S, {"ours": nothing}),
        row(f"one line changed, slowest: {slowest}", {slowest}, min(lines[slowest]), ONE_LINE_S, lines),
        row("the base changed", everything, base, samples={"ours": [base]}),
    ]


def row_maker(cold: float, images: int) -> Callable[..., Row]:
    """Makes the rows: how many images were built, beside the cold build."""

    def row(
        what: str, built: set[str], seconds: float, limit: float = 0, samples: dict[str, list[float]] | None = None
    ) -> Row:
        count = len(built - {"builder"})
        sign = "<=" if limit else ""
        ours = f"builds {count} of {images} images"
        return Row(f"build: {what}", ours, f"cold: {cold:.0f} s", seconds, "{:.2f} s", sign, limit, dict(samples or {}))

    return row


def timed(checkout: Checkout, expected: set[str]) -> float:
    """Seconds of a build that must build just these."""
    seconds, built = checkout.build()
    check(built, expected)
    return seconds


def one_line(checkout: Checkout, stage: str) -> float:
    """Seconds of a build after one line was added to a stage's module."""
    checkout.change(f"stages/{stage}/{stage}.py")
    return timed(checkout, {stage})


def base_changed(checkout: Checkout, quick: bool, everything: set[str]) -> float:
    """Seconds of a build after one line was added to what every image holds."""
    checkout.change("base-image/tool" if quick else "base-image/stagekit/__init__.py")
    return timed(checkout, everything)


def check(built: set[str], expected: set[str]) -> None:
    """A figure of another build than the one that its row names would be no figure."""
    if built != expected:
        raise SystemExit(f"error: build_images.sh built {sorted(built)}; expected: {sorted(expected)}")
