"""MLflow's REST API, version 2.0, and the files of runs that the server keeps. Standard library only.

MLflow's own client takes longer to import than a command that changes nothing takes: most commands ask a few questions.
"""

import json
import logging
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Any

from stagekit.shapes import parse_object

API, FILES = "/api/2.0/mlflow", "/api/2.0/mlflow-artifacts/artifacts"
# How long the server may be silent: before an answer, and before the next bytes of a file.
ANSWER_S, FILE_S = 10, 120
# A request without an answer, or to a busy server, is sent once more. Longer outages are for Airflow's retries, which
# log that they wait.
PAUSE_S = 1
# Where runs keep their files: at the server, and nowhere else that a run may name.
SERVED = "mlflow-artifacts:/"
BLOCK_BYTES = 1 << 20
# More is no answer, and no file of a model: it would fill the memory, or the disk.
MOST_ANSWER_BYTES, MOST_FILE_BYTES = 64 << 20, 2 << 30
BUSY = {408, 429, 500, 502, 503, 504}
# MLflow's error codes of a server that may work later.
TEMPORARY = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED"}
MISSING, EXISTS = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"

log = logging.getLogger("registry")


class Refused(Exception):
    """The server does not do what it was asked.

    `code` is MLflow's, empty if it sent none; `status` is that of HTTP, 0 if there was no answer.
    """

    def __init__(self, text: str, code: str = "", status: int = 0) -> None:
        super().__init__(text)
        self.code, self.status = code, status

    @property
    def temporary(self) -> bool:
        """Whether a later try may succeed."""
        return not self.status or self.status in BUSY or self.code in TEMPORARY


@dataclass(frozen=True)
class Rest:
    """The server at an address. Every method raises Refused; ValueError for an answer that is too long or no object."""

    address: str
    # Headers of the login; none where the server asks for none.
    login: Mapping[str, str] = field(default_factory=dict)

    def get(self, path: str, **query: str | int | None) -> Any:
        """The answer to a question; a parameter that is None is left out."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", f"{path}?{urllib.parse.urlencode(given)}", None)

    def post(self, path: str, **body: Any) -> Any:
        """The answer to a request that changes something, or to a search."""
        return self._ask("POST", path, body)

    def patch(self, path: str, **body: Any) -> Any:
        """The answer to a request that changes a part."""
        return self._ask("PATCH", path, body)

    def delete(self, path: str, **body: Any) -> Any:
        """The answer to a request that removes something."""
        return self._ask("DELETE", path, body)

    def pages(self, path: str, member: str, **query: str | int | None) -> Iterator[Any]:
        """What a question that is answered in pages finds: each item of `member`."""
        return _items(lambda token: self.get(path, **query, page_token=token), member)

    def search(self, path: str, member: str, **body: Any) -> Iterator[Any]:
        """Each item of `member` that a search by POST finds, page after page."""
        return _items(lambda token: self.post(path, **body, page_token=token), member)

    def run(self, run_id: str) -> Any:
        """A run: its `info` and its `data`."""
        return self.get("runs/get", run_id=run_id)["run"]

    def download(self, path: str, target: Path) -> None:
        """Write a file of the server's artifacts to `target`. Errors: ValueError for one that is too large."""
        with self._open("GET", _file_url(path), None, FILE_S) as answer, target.open("wb") as file:
            while block := _read(answer, BLOCK_BYTES):
                if file.tell() + len(block) > MOST_FILE_BYTES:
                    raise ValueError(f"is larger than {MOST_FILE_BYTES:,} bytes")
                file.write(block)

    def upload(self, source: Path, path: str) -> None:
        """Send a file to the server's artifacts."""
        with (
            source.open("rb") as file,
            self._open("PUT", _file_url(path), file, FILE_S, source.stat().st_size) as answer,
        ):
            _read(answer)

    def list_files(self, folder: str) -> list[Any]:
        """What is in a folder of the server's artifacts: `path`, which is a name, `is_dir`, `file_size`.

        Nothing if there is no such folder. Errors: ValueError for a name with a path.
        """
        query = urllib.parse.urlencode({"path": folder})
        with self._open("GET", f"{FILES}?{query}", None, FILE_S) as answer:
            found: list[Any] = parse_object(_read(answer, MOST_ANSWER_BYTES)).get("files", [])
        if wrong := [file["path"] for file in found if file["path"] in ("", ".", "..") or "/" in file["path"]]:
            raise ValueError(f"{wrong[0][:100]!r} is no name of a file")
        return found

    def remove(self, folder: str) -> None:
        """Remove a folder of the server's artifacts with all that is in it; nothing if there is no such folder."""
        with self._open("DELETE", _file_url(folder), None, FILE_S) as answer:
            _read(answer)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        data = (
            None if body is None else json.dumps({name: body[name] for name in body if body[name] is not None}).encode()
        )
        with self._open(method, f"{API}/{path}", data, ANSWER_S) as answer:
            content = _read(answer, MOST_ANSWER_BYTES + 1)
        if len(content) > MOST_ANSWER_BYTES:
            raise ValueError(f"it is longer than {MOST_ANSWER_BYTES:,} bytes")
        return parse_object(content or b"{}")

    def _open(
        self, method: str, path: str, data: bytes | IO[bytes] | None, seconds: float, size: int | None = None
    ) -> HTTPResponse:
        headers = {"Content-Type": "application/json" if size is None else "application/octet-stream"}
        if size is not None:
            headers["Content-Length"] = str(size)
        request = with_login(self.address + path, self.login, data=data, headers=headers, method=method)
        try:
            return _send(request, seconds)
        except Refused as refused:
            if refused.status not in BUSY and refused.status:
                raise
            log.debug("%s %s: %s; once more", method, path, refused)
        if data is not None and not isinstance(data, bytes):
            data.seek(0)
        time.sleep(PAUSE_S)
        return _send(request, seconds)


def _items(ask: Callable[[str | None], Any], member: str) -> Iterator[Any]:
    """Each item of `member`, page after page; `ask` takes the token of a page, None for the first."""
    token: str | None = None
    while True:
        page = ask(token)
        yield from page.get(member, [])
        token = page.get("next_page_token")
        if not token:
            return


def with_login(url: str, login: Mapping[str, str], **more: Any) -> urllib.request.Request:
    """A request with the headers of a login, which no other server gets if this one redirects."""
    request = urllib.request.Request(url, **more)
    for name, value in login.items():
        request.add_unredirected_header(name, value)
    return request


def _send(request: urllib.request.Request, seconds: float) -> HTTPResponse:
    try:
        answer: HTTPResponse = urllib.request.urlopen(request, timeout=seconds)
    except urllib.error.HTTPError as error:
        raise _refusal(error) from None
    except (OSError, HTTPException) as error:
        raise Refused(str(getattr(error, "reason", None) or error)) from None
    return answer


def _read(answer: HTTPResponse, most: int = -1) -> bytes:
    try:
        return answer.read(most)
    except (OSError, HTTPException) as error:
        raise Refused(f"the answer breaks off: {error}") from None


def _refusal(error: urllib.error.HTTPError) -> Refused:
    body = error.read()
    try:
        found = json.loads(body)
        code, text = str(found["error_code"]), str(found.get("message", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        code, text = "", body.decode(errors="replace")
    return Refused(f"HTTP status {error.code}: {text or 'nothing'}", code, error.code)


def artifact_folder(run: Any) -> str:
    """Where the server keeps the files of a run. Errors: ValueError where the run keeps them elsewhere."""
    address = str(run["info"]["artifact_uri"])
    folder = address.removeprefix(SERVED)
    if folder == address or {"", ".", ".."} & set(folder.split("/")):
        raise ValueError(f"its run keeps its artifacts at {address[:100]!r}, not at the server")
    return folder


def _file_url(path: str) -> str:
    return f"{FILES}/{urllib.parse.quote(path)}"
