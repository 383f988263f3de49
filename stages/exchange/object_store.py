"""An object store that speaks S3: read an object, write one. Through obstore."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store
from stagekit import NotReady, StageError, UsageError, track

from connection import Connection

KINDS = ("aws", "s3", "generic")
EXTRA = ("endpoint_url", "region_name", "aws_session_token")
CONNECT_SECONDS, RETRIES = 10, 2
CHUNK = 8 << 20
REFUSED = re.compile(r"status code: 40[13]\b")
CODE, MESSAGE = re.compile("<Code>(.*?)</Code>"), re.compile("<Message>(.*?)</Message>")


class Bucket:
    """A bucket of an object store."""

    def __init__(self, connection: Connection, name: str) -> None:
        connection.require_kind(KINDS, "an object")
        connection.require_extra(EXTRA)
        if not connection.login or not connection.password:
            raise UsageError(
                f"the connection {connection.name} has no {'password' if connection.login else 'login'}",
                expected="login, the access key's id, and password, the secret access key",
                do="add it",
            )
        self.name, self._connection = name, connection
        self._store = _store(connection, name)

    def download(self, path: str, to: Path) -> dict[str, Any]:
        """Write an object's bytes to a file; returns its size and version. Errors: NotReady if it is not there."""
        with self._explained(path):
            found = obstore.get(self._store, path)
            chunks = track(found.stream(min_chunk_size=CHUNK), f"reading {path}", found.meta["size"], "bytes", len)
            with to.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)
        return {"size": found.meta["size"], "etag": (found.meta["e_tag"] or "").strip('"')}

    @contextmanager
    def writer(self, path: str) -> Iterator[Any]:
        """A file that becomes the object when the block ends well; else the object stays what it was."""
        with self._explained(path):
            # Not its own context: that would complete the object after an error as well.
            file = obstore.open_writer(self._store, path, buffer_size=CHUNK)
            yield file
            file.close()

    @contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise self._missing(path, str(error)) from None
        except (BaseError, OSError) as error:
            if getattr(error, "errno", None) is not None:  # of a file here; the library's own have no number
                raise
            raise self._explain(path, error) from None

    def _missing(self, path: str, said: str) -> StageError:
        if "NoSuchBucket" in said:
            return UsageError(f"there is no bucket {self.name}", expected="a bucket that exists", do="correct its name")
        return NotReady(
            f"there is no object s3://{self.name}/{path}",
            expected="the day's object",
            do="wait for it, or correct the path",
        )

    def _explain(self, path: str, error: Exception) -> StageError:
        """The error of a server in words, without secrets."""
        said = self._connection.hide(_summary(str(error)))
        what = f"s3://{self.name}/{path}: {said}"
        if REFUSED.search(str(error)):
            return UsageError(
                what,
                expected="a key that may do this",
                do=f"correct the connection {self._connection.name}, or grant the right",
            )
        return StageError(
            what,
            expected="an answer of the object store",
            do="see whether it is up, and whether this container's network reaches it; then run this again",
        )


def _store(connection: Connection, bucket: str) -> S3Store:
    extra = connection.extra
    endpoint = extra.get("endpoint_url")
    token = {"token": extra["aws_session_token"]} if extra.get("aws_session_token") else {}
    return S3Store(
        bucket=bucket,
        access_key_id=connection.login,
        secret_access_key=connection.password,
        region=extra.get("region_name") or "us-east-1",
        **({"endpoint": endpoint} if endpoint else {}),
        **token,
        client_options={
            "allow_http": bool(endpoint) and str(endpoint).startswith("http:"),
            "connect_timeout": f"{CONNECT_SECONDS}s",
        },
        retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=60)},
    )


def _summary(said: str) -> str:
    """What a long error of the library says: the server's code and message, or else the first line."""
    code, message = CODE.search(said), MESSAGE.search(said)
    if code and message:
        return f"{code[1]}, {message[1]}"
    return said.partition("\n")[0]
