"""What every command needs: the project's folder, the error, docker, the settings, atomic writing, the image lock."""

import argparse
import contextlib
import difflib
import fcntl
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCK_VERSION = 1
# The exit code for arguments that are wrong.
WRONG_USAGE = 2
# The user inside the images, who owns the data in a volume.
IMAGE_UID = 10001
# What docker writes if no engine answers.
UNREACHABLE = (
    "Cannot connect to the Docker daemon",
    "failed to connect to the docker API",
    "permission denied while trying to connect to the",
)

# A line of `.env` that sets something, as compose reads it: the name, and the rest.
ENV_LINE = re.compile(r"\s*(?:export\s+)?([\w.-]+)\s*[=:]\s*(.*)")
# The rest: a value in quotes with at most a comment behind it, or one without quotes up to ` #`.
ENV_VALUE = re.compile(
    r"""(?:'(?P<single>(?:[^'\\]|\\.)*)'|"(?P<double>(?:[^"\\]|\\.)*)")\s*(?:\#.*)?
    |(?P<plain>(?!['"]).*?)(?:[ ]\#.*)?""",
    re.VERBOSE,
)
ENV_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}
ENV_VARIABLE = (
    r"\$(?:(?P<dollar>\$)|(?P<name>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)(?:(?P<sign>:?-)(?P<default>[^{}$]*))?\})"
)
# What is replaced in a value without quotes, and in one in double quotes.
ENV_PLAIN = re.compile(rf"{ENV_VARIABLE}|(?P<bad>\$\{{)", re.ASCII)
ENV_DOUBLE = re.compile(rf"\\(?P<escaped>[nrt\"\\$])|{ENV_VARIABLE}|(?P<bad>\$\{{|\\[abcfv0])", re.ASCII)

# The lock files that this process holds.
_HELD: set[Path] = set()


class AirflowMlError(Exception):
    """A command cannot do its work: what it found, what it expected, what to do; `exit_code` is what the shell gets."""

    def __init__(self, found: str, *, expected: str = "", do: str = "", exit_code: int = 1) -> None:
        lines = [found, *([f"expected: {expected}"] if expected else []), *([f"do: {do}"] if do else [])]
        super().__init__("\n       ".join(lines))
        self.exit_code = exit_code


# --- docker ---


def project(env: "Path | None" = None) -> str:
    """The name of this installation, of which its containers, volumes and networks have their names.

    As compose reads it: from the environment, then from `.env`, or from `env` in its place.
    """
    name = "COMPOSE_PROJECT_NAME"
    return os.environ.get(name) or read_env(env or ROOT / ".env").get(name) or "airflow-ml"


def restore_marker(root: "Path | None" = None) -> Path:
    """The file that is there until a restore has filled the databases; it says what to do if the restore has ended."""
    root = root or ROOT
    return root / ".cache" / f"restore-{project(root / '.env')}"


def try_docker(*arguments: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a docker command that may fail, in the project's folder.

    Errors: AirflowMlError if no engine answers.
    """
    try:
        done = subprocess.run(
            ["docker", *arguments], cwd=ROOT, input=stdin, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise AirflowMlError("docker is not installed", do="./airflow-ml engine") from None
    if done.returncode and is_unreachable(done.stderr):
        raise no_engine(done.stderr)
    return done


def is_unreachable(message: str) -> bool:
    """Whether a docker command has failed because no engine answers."""
    return any(words in message for words in UNREACHABLE)


def no_engine(message: str) -> AirflowMlError:
    """The error of a docker command that no engine has answered."""
    return AirflowMlError(message.strip(), do="./airflow-ml engine")


def docker(*arguments: str, stdin: str | None = None) -> str:
    """The output of a docker command.

    Errors: AirflowMlError with what docker wrote.
    """
    done = try_docker(*arguments, stdin=stdin)
    if done.returncode:
        raise AirflowMlError(f"docker {' '.join(arguments)} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def inspect_images(references: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What the engine knows of each of these images (names with a tag, or ids); without those that it does not have."""
    wanted = list(dict.fromkeys(references))
    if not wanted:
        return {}
    done = try_docker("image", "inspect", *wanted)
    others = [line for line in done.stderr.splitlines() if line and "No such image" not in line]
    if done.returncode and others:
        raise AirflowMlError(f"docker image inspect failed: {' '.join(others)}")
    found = {}
    for details in json.loads(done.stdout):
        names = {details["Id"], *(details["RepoTags"] or []), *(details["RepoDigests"] or [])}
        found.update({name: details for name in wanted if name in names})
    return found


# --- settings ---


def settings(root: Path = ROOT, env: "Path | None" = None) -> dict[str, str]:
    """Every setting: the default of `.env.example`, then `.env`, then the environment, as compose reads them.

    `env` is read in place of the `.env` of `root`.

    A setting whose default has to be made, such as a password, is missing until there is a `.env`.
    """
    known = {name: value for name, value in read_env(root / ".env.example").items() if not value.startswith("<")}
    known |= {"ML_UID": str(IMAGE_UID), "ML_GID": str(IMAGE_UID)}
    # A line without a value keeps the default.
    known |= {name: value for name, value in read_env(env or root / ".env").items() if value or name not in known}
    return {name: os.environ.get(name) or value for name, value in known.items()}


def read_env(path: Path) -> dict[str, str]:
    """The settings of an environment file, as compose reads them; none if there is no file.

    Errors: AirflowMlError, with the line that compose reads in another way, or not at all.
    """
    found: dict[str, str] = {}
    lines = path.read_text(encoding="utf-8-sig").split("\n") if path.exists() else []
    for number, line in enumerate(lines, 1):
        if set_line := ENV_LINE.fullmatch(line):
            value = _value_of(set_line[2].rstrip(), found)
            if value is None:
                # Without the value: it may be a secret.
                raise AirflowMlError(
                    f"{path}, line {number}: the value of {set_line[1]} cannot be read",
                    expected="a value on one line, without quotes or in one pair of them, and only a comment behind it",
                    do="correct that line; in single quotes $ and # are themselves",
                )
            found[set_line[1]] = value
    return found


def setting_of(line: str) -> "str | None":
    """The name of the setting that a line of an environment file sets; None if it is a comment, or sets none."""
    found = ENV_LINE.fullmatch(line)
    return found[1] if found else None


def env_line(name: str, value: str) -> str:
    """The line of an environment file that gives a setting a value, in quotes if it needs them."""
    if _value_of(value.strip(), {}) == value:
        return f"{name}={value}"
    escaped = re.sub(r'[\\"$]', r"\\\g<0>", value).replace("\n", r"\n")
    return f'{name}="{escaped}"'


def _value_of(text: str, known: Mapping[str, str]) -> "str | None":
    """What compose reads from the text behind the sign; `known` are the lines above. None if it cannot be read."""
    parts = ENV_VALUE.fullmatch(text)
    if parts is None:
        return None
    if parts["single"] is not None:
        return re.sub(r"\\(['\\])", lambda found: "'" if found[1] == "'" else found[0], parts["single"])
    pattern, value = (ENV_PLAIN, parts["plain"].rstrip()) if parts["double"] is None else (ENV_DOUBLE, parts["double"])
    if any(found["bad"] for found in pattern.finditer(value)):
        return None
    return pattern.sub(lambda found: _replacement(found.groupdict(), known), value)


def _replacement(found: Mapping[str, "str | None"], known: Mapping[str, str]) -> str:
    if escaped := found.get("escaped"):
        return ENV_ESCAPES[escaped]
    if found["dollar"]:
        return "$"
    name = found["name"] or found["braced"] or ""
    value = os.environ.get(name, known.get(name))
    # `-` gives a default for what is not set, `:-` also for what is empty.
    return (found["default"] or "") if value is None or (not value and found["sign"] == ":-") else value


# --- files ---


def write_atomic(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file in one step: a reader sees the old text or the new one. A file with this text is not touched."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}-", delete=False, encoding="utf-8", newline=""
    ) as file:
        try:
            file.write(text)
            file.flush()
            Path(file.name).chmod(mode)
            Path(file.name).replace(path)
        except BaseException:
            # It may hold secrets.
            Path(file.name).unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file, which ends with the process; wait while another process holds it, and say which.

    Who holds it already goes on. `what` is what the others do.
    """
    if path in _HELD:
        yield
        return
    path.parent.mkdir(exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            print(f"waiting for {what} in this folder{holder and f': {holder}'}", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"{' '.join(['./airflow-ml', *sys.argv[1:]])}, process {os.getpid()}\n")
        file.flush()
        _HELD.add(path)
        try:
            yield
        finally:
            _HELD.remove(path)
            file.truncate(0)


def only_change(root: Path = ROOT) -> "contextlib.AbstractContextManager[None]":
    """Have `.env` for this process: of two that write it at once, one would lose what the other wrote."""
    return exclusive(root / ".cache" / "env.flock", "another change of .env")


def image_lock(root: Path = ROOT) -> dict[str, dict[str, Any]]:
    """The entries of the image lock, by image; none if the lock is missing, damaged or of another version."""
    try:
        content = json.loads((root / "dags" / "images.lock.json").read_text(encoding="utf-8"))
        entries = content["images"] if content["version"] == LOCK_VERSION else {}
        return {name: entry for name, entry in entries.items() if entry["image"] and entry["id"]}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def locked_image(name: str, root: Path = ROOT) -> str:
    """The image that the lock names.

    Errors: AirflowMlError if it names none.
    """
    entry = image_lock(root).get(name)
    if entry is None:
        raise AirflowMlError(
            f"the image lock has no image {name}", expected="dags/images.lock.json with it", do="./airflow-ml build"
        )
    return str(entry["image"])


# --- arguments ---


def day(text: str) -> str:
    """An argument type: a date, as the names of partitions have it."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date of the form YYYY-MM-DD") from None


def number_from_1(text: str) -> int:
    """An argument type: a whole number from 1 on."""
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")


def nearest(name: str, known: Iterable[str]) -> str:
    """The question that names what somebody may have meant; empty if nothing is near."""
    # stagekit/parser.py has these lines too: an image holds no code of this tool, and this tool runs without stagekit.
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
