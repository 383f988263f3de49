"""The API server of Kubernetes: the few requests that the engine needs, as JSON over HTTP.

Reads the service account's files again for each request, because Kubernetes renews the token. Writes nothing.
"""

import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from requests import PreparedRequest, RequestException, Response, Session
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.util.retry import Retry
from urllib3.util.ssl_ import create_urllib3_context

from ml.engines import ContainerGone, EngineError

Json = dict[str, Any]

CONNECT_S = 5
# What an API server says while it is busy, starts, or has lost the place where a list began. Every request may be
# repeated: the engine chooses every name, so a second POST finds what the first one has made.
BUSY = (410, 429, 500, 502, 503, 504)
RETRY = Retry(
    total=3,
    connect=1,
    read=1,
    status=2,
    backoff_factor=0.2,
    status_forcelist=BUSY,
    allowed_methods=None,
    raise_on_status=False,
    retry_after_max=5,
)
NOT_FOUND = 404
# Where the API server has pods and Secrets.
CORE = "api/v1"


class Refused(EngineError):
    """The API server has refused a request: `status` is that of HTTP, `reason` one word of Kubernetes."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"refuses ({status} {reason}: {message})")
        self.status, self.reason = status, reason


class _ServiceAccount(AuthBase):
    def __init__(self, folder: Path) -> None:
        self._token = folder / "token"

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token.read_text().strip()}"
        return request


class _Adapter(HTTPAdapter):
    """Verifies chain, name and dates, but does not want key identifiers: authorities of older clusters lack them.

    Without them, Python 3.13 refuses every certificate of such a cluster.
    """

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:
        context = create_urllib3_context()
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        super().init_poolmanager(connections, maxsize, block, ssl_context=context, **more)


class Api:
    """One namespace: that of the service account.

    :param address: of the API server, such as https://10.96.0.1:443
    :param folder: the files `token`, `ca.crt` and `namespace` of a service account
    :param patience_s: the seconds that an answer may take
    """

    def __init__(self, address: str, folder: Path, patience_s: float) -> None:
        self.address = address.rstrip("/")
        self._folder, self._timeout = folder, (min(CONNECT_S, patience_s), patience_s)
        self._session = Session()
        self._session.trust_env = False  # no proxy, and no other authority than the cluster's own
        self._session.auth = _ServiceAccount(folder)
        self._session.verify = str(folder / "ca.crt")
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, _Adapter(max_retries=RETRY))
        self._clock = time.time()

    @property
    def namespace(self) -> str:
        """The namespace of the service account. Errors: EngineError."""
        with _trouble():
            return (self._folder / "namespace").read_text().strip()

    @property
    def clock(self) -> float:
        """When the API server last answered, in seconds since 1970, by its own clock."""
        return self._clock

    def pod(self, name: str) -> Json:
        """A pod. Errors: ContainerGone, EngineError."""
        return self._json("GET", f"pods/{name}")

    def pods(self, selector: str) -> list[Json]:
        """The pods with these labels. Errors: EngineError."""
        return list(self._json("GET", "pods", {"labelSelector": selector})["items"])

    def create(self, kind: str, body: Json) -> Json:
        """Create one of `pods`, `secrets` or `networkpolicies`. Errors: Refused, EngineError."""
        version = body["apiVersion"]
        return self._json("POST", kind, body=body, group=f"apis/{version}" if "/" in version else CORE)

    def delete(self, name: str, grace_s: int) -> None:
        """Delete a pod, which gets so many seconds to end. Errors: ContainerGone, EngineError."""
        self._json("DELETE", f"pods/{name}", {"gracePeriodSeconds": str(grace_s)})

    def log(self, name: str, container: str, last: int | None = None) -> Iterator[bytes]:
        """The lines of a container's log, or the last so many. Errors: ContainerGone, EngineError."""
        query = {"container": container} | ({"tailLines": str(last)} if last else {})
        with _trouble(), self._send("GET", f"pods/{name}/log", query, stream=True) as answer:
            yield from answer.iter_lines(chunk_size=1 << 16, delimiter=b"\n")

    def close(self) -> None:
        """End the connection."""
        self._session.close()

    def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        group: str = CORE,
    ) -> Json:
        with _trouble(), self._send(method, path, query, body, group) as answer:
            found: Json = answer.json()
            return found

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        group: str = CORE,
        stream: bool = False,
    ) -> Response:
        url = f"{self.address}/{group}/namespaces/{self.namespace}/{path}"
        answer = self._session.request(
            method, url, params=query, json=body, timeout=self._timeout, stream=stream, allow_redirects=False
        )
        if date := answer.headers.get("Date"):
            self._clock = parsedate_to_datetime(date).timestamp()
        if answer.status_code >= 300:
            with answer:
                raise _refusal(answer)
        return answer


def _refusal(answer: Response) -> EngineError:
    try:
        said = answer.json()
        reason, message = said["reason"], said["message"]
    except (ValueError, KeyError, TypeError):  # not the API server's own: a proxy's, for example
        reason, message = answer.reason, answer.text[:300].strip()
    if answer.status_code == NOT_FOUND and "/pods/" in answer.url:
        return ContainerGone("does not have the pod any more")
    return Refused(answer.status_code, reason, message)


@contextmanager
def _trouble() -> Iterator[None]:
    try:
        yield
    except RequestException as error:
        raise EngineError(f"does not answer ({error})") from error
    except (OSError, ValueError) as error:
        raise EngineError(f"cannot be used ({error})") from error
