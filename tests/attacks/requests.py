"""Requests that the engine proxy must not let through: request lines, and bytes that two programs may read differently.

Ids are those of tests/attacks/bodies.py; what belongs to somebody else is named `other`.
"""

import io
import json
import tarfile
from typing import Any, NamedTuple

from tests.attacks.bodies import (
    BRIDGE,
    EXEC,
    GOOD,
    IMAGE,
    LABEL,
    NETWORK,
    OTHER,
    OTHER_BRIDGE,
    OTHER_NETWORK,
    OTHER_SERVICE,
    OURS,
    SERVICE_ID,
)
from tests.images.proxy_lab import UPGRADE, chunked, request


class Request(NamedTuple):
    """One request; the body is JSON, or bytes as they are."""

    method: str
    target: str
    body: Any = None

    def to_bytes(self) -> bytes:
        """What goes over the wire."""
        if self.body is None:
            return request(f"{self.method} {self.target}", "Connection: close")
        content = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return request(
            f"{self.method} {self.target}",
            "Connection: close",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
            content=content,
        )


def _tar() -> bytes:
    """A file `planted` in an archive, as the engine takes it."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as files:
        files.addfile(tarfile.TarInfo("planted"))
    return archive.getvalue()


TAR, RUN = _tar(), {"AttachStdout": True, "Cmd": ["/bin/true"]}
JOIN = {"Container": OTHER}

# --- requests that no operator makes ---

REQUESTS = [
    Request("POST", "/v1.45/images/create?fromImage=alpine&tag=3"),
    Request("POST", "/v1.45/images/create?fromSrc=-&repo=planted", TAR),
    Request("POST", "/v1.45/images/load", TAR),
    Request("DELETE", f"/v1.45/images/{IMAGE}"),
    Request("DELETE", "/v1.45/images/other:1"),
    Request("POST", "/v1.45/images/airflow-ml-generator/push"),
    Request("POST", f"/v1.45/images/{IMAGE}/tag?repo=planted"),
    Request("POST", "/v1.45/images/other:1/tag?repo=airflow-ml-generator&tag=0a1b2c3d4e5f"),
    Request("GET", "/v1.45/images/other:1/json"),
    Request("GET", "/v1.45/images/other:1/get"),
    Request("GET", "/v1.45/images/other:1/history"),
    Request("GET", "/v1.45/images/json"),
    Request("GET", "/v1.45/images/airflow-ml-generator:latest/json"),
    Request("GET", f"/v1.45/images/{IMAGE}/get"),
    Request("POST", "/v1.45/images/prune?filters=%7B%22dangling%22%3A%5B%22false%22%5D%7D"),
    Request("POST", "/v1.45/build", TAR),
    Request("POST", "/v1.45/build/prune"),
    Request("POST", f"/v1.45/commit?container={OURS}&repo=planted"),
    Request("POST", f"/v1.45/commit?container={OTHER}&repo=planted"),
    Request("POST", f"/v1.45/containers/{OURS}/exec", RUN),
    Request("POST", f"/v1.45/exec/{EXEC}/start", {"Detach": True}),
    Request("GET", f"/v1.45/exec/{EXEC}/json"),
    Request("GET", f"/v1.45/containers/{OURS}/archive?path=/etc"),
    Request("PUT", f"/v1.45/containers/{OURS}/archive?path=/data", TAR),
    Request("GET", f"/v1.45/containers/{OURS}/export"),
    Request("GET", f"/v1.45/containers/{OURS}/changes"),
    Request("GET", f"/v1.45/containers/{OURS}/top"),
    Request("GET", f"/v1.45/containers/{OURS}/stats?stream=0"),
    Request("POST", f"/v1.45/containers/{OURS}/update", {"Memory": 2 << 30, "MemorySwap": 2 << 30}),
    Request("POST", f"/v1.45/containers/{OURS}/rename?name=postgres"),
    Request("POST", f"/v1.45/containers/{OURS}/restart?t=0"),
    Request("POST", f"/v1.45/containers/{OURS}/pause"),
    Request("POST", f"/v1.45/containers/{OURS}/resize?h=1&w=1"),
    Request("GET", f"/v1.45/containers/{OURS}/attach/ws"),
    Request("POST", "/v1.45/containers/prune"),
    Request("POST", "/v1.45/containers/create?name=postgres", GOOD),
    Request("POST", "/v1.45/containers/create?platform=linux/amd64", GOOD),
    Request("PUT", "/v1.45/containers/create", GOOD),
    Request("GET", "/v1.45/info"),
    Request("GET", "/v1.45/events?since=1&until=2"),
    Request("GET", "/v1.45/system/df"),
    Request("POST", "/v1.45/auth"),
    Request("GET", "/v1.45/volumes"),
    Request("GET", "/v1.45/volumes/other"),
    Request("POST", "/v1.45/volumes/create", {"Name": "planted"}),
    Request("DELETE", "/v1.45/volumes/data?force=1"),
    Request("DELETE", "/v1.45/volumes/other?force=1"),
    Request("POST", "/v1.45/volumes/prune?filters=%7B%22all%22%3A%5B%22true%22%5D%7D"),
    Request("GET", "/v1.45/networks/other"),
    Request("POST", f"/v1.45/networks/{BRIDGE}/connect", {"Container": OTHER}),
    Request("POST", f"/v1.45/networks/{BRIDGE}/disconnect", {"Container": OURS}),
    Request("POST", "/v1.45/networks/create", {"Name": "planted"}),
    Request("POST", "/v1.45/networks/other/connect", {"Container": OURS}),
    Request("POST", "/v1.45/networks/other/disconnect", {"Container": OTHER, "Force": True}),
    Request("DELETE", "/v1.45/networks/shop"),
    Request("POST", "/v1.45/networks/prune"),
    Request("POST", "/v1.45/swarm/init", {"ListenAddr": "127.0.0.1:2377"}),
    Request("GET", "/v1.45/swarm"),
    Request("GET", "/v1.45/secrets"),
    Request("GET", "/v1.45/services"),
    Request("POST", "/v1.45/services/create", {"Name": "planted", "TaskTemplate": {"ContainerSpec": {"Image": "x"}}}),
    Request("POST", "/v1.45/plugins/pull"),
    Request("GET", "/v1.45/plugins"),
    Request("POST", "/v1.45/session"),
    Request("POST", "/v1.45/grpc"),
    Request("GET", "/v1.45/distribution/other:1/json"),
    Request("PUT", f"/v1.45/containers/{OURS}/start"),
    Request("HEAD", "/_ping"),
    Request("OPTIONS", "*"),
    Request("CONNECT", "docker:2375"),
    Request("TRACE", "/version"),
]

# --- paths and queries that a router may read in another way ---

PATHS = [
    Request("GET", "http://docker/version"),
    Request("GET", f"http://docker/v1.45/containers/{OTHER}/json"),
    Request("GET", "//version"),
    Request("GET", "/v1.45//version"),
    Request("GET", f"/v1.45//containers/{OTHER}/json"),
    Request("GET", "/version/"),
    Request("GET", "/version#x"),
    Request("GET", "/%76ersion"),
    Request("GET", f"/v1.45/%63ontainers/{OTHER}/json"),
    Request("GET", "/v1.45/../version"),
    Request("GET", f"/v1.45/containers/{OURS}/../{OTHER}/json"),
    Request("GET", f"/v1.45/containers/{OURS}/json/../../../info"),
    Request("GET", "/v1.45/images/..%2f..%2finfo/json"),
    Request("POST", f"/v1.45/containers/{OURS}%2fexec%2f../start"),
    Request("POST", f"/v1.45/containers/{OURS}/%2e%2e/create", GOOD),
    Request("POST", f"/v1.45/containers/{OURS}/..;/{OTHER}/kill"),
    Request("POST", f"/v1.45/containers/{OURS}%00/kill"),
    Request("POST", f"/v1.45/containers/{OURS}%20/kill"),
    Request("POST", "/v1.45/containers/other/kill"),
    Request("POST", f"/v1.45/containers/{OTHER[:12]}/kill"),
    Request("POST", f"/v1.45/containers/{OTHER.upper()}/kill"),
    Request("POST", f"/v1.45/Containers/{OTHER}/kill"),
    Request("POST", f"/v1.45\\containers\\{OTHER}\\kill"),
    Request("GET", f"/v1.45/containers/{OURS[:12]}/json"),
    Request("GET", f"/v1.45/containers/{OURS.upper()}/json"),
    Request("GET", "/V1.45/version"),
    Request("GET", "/v1.24/version"),
    Request("POST", f"/v1.24/containers/{OURS}/kill"),
    Request("GET", "/v1.45/v1.45/version"),
    Request("GET", "/v1.045/version"),
    Request("GET", "/v9999.45/version"),
    Request("POST", f"/v1.45/containers/{OURS}/start?detachKeys=x"),
    Request("POST", f"/v1.45/containers/{OURS}/stop?t=1&t=2"),
    Request("POST", f"/v1.45/containers/{OURS}/stop?t=1;t=2"),
    Request("POST", f"/v1.45/containers/{OURS}/stop?T=1"),
    Request("POST", f"/v1.45/containers/{OURS}/stop?t=%31%00"),
    Request("POST", f"/v1.45/containers/{OURS}/stop?t=-2"),
    Request("POST", f"/v1.45/containers/{OURS}/kill?signal=KILL%0d%0aX:%20y"),
    Request("POST", f"/v1.45/containers/{OURS}/attach?stdin=1"),
    Request("DELETE", f"/v1.45/containers/{OURS}?link=1"),
    Request("GET", "/v1.45/containers/json?filters=%7B%22volume%22%3A%5B%22x%22%5D%7D"),
    Request("GET", "/v1.45/containers/json?filters=%7B%22label%22%3A%7B%22x%22%3Atrue%7D%7D"),
    Request(
        "GET", "/v1.45/containers/json?all=1&filters=%7B%22label%22%3A%5B%22secret%22%5D%2C%22label%22%3A%5B%5D%7D"
    ),
    Request("GET", "/v1.45/containers/json?size=1"),
]

# --- what belongs to somebody else, asked for as an operator asks for its own ---

OTHERS = [
    Request("GET", f"/v1.45/containers/{OTHER}/json"),
    Request("GET", f"/v1.45/containers/{OTHER}/logs?stdout=1&stderr=1"),
    Request("POST", f"/v1.45/containers/{OTHER}/start"),
    Request("POST", f"/v1.45/containers/{OTHER}/wait"),
    Request("POST", f"/v1.45/containers/{OTHER}/stop?t=0"),
    Request("POST", f"/v1.45/containers/{OTHER}/kill"),
    Request("DELETE", f"/v1.45/containers/{OTHER}?force=1"),
]
OTHER_NETWORKS = [Request("DELETE", f"/v1.45/networks/{OTHER_BRIDGE}")]
OTHERS_REFUSED = [
    Request("GET", f"/v1.45/containers/{OTHER}/archive?path=/data"),
    Request("PUT", f"/v1.45/containers/{OTHER}/archive?path=/data", TAR),
    Request("GET", f"/v1.45/containers/{OTHER}/export"),
    Request("GET", f"/v1.45/containers/{OTHER}/top"),
    Request("GET", f"/v1.45/containers/{OTHER}/changes"),
    Request("POST", f"/v1.45/containers/{OTHER}/exec", RUN),
    Request("POST", f"/v1.45/containers/{OTHER}/update", {"Memory": 2 << 30, "MemorySwap": 2 << 30}),
    Request("POST", f"/v1.45/containers/{OTHER}/rename?name=mine"),
    Request("POST", f"/v1.45/containers/{OTHER}/restart?t=0"),
    Request("POST", f"/v1.45/containers/{OTHER}/pause"),
]
# They may be answered, but not with what is another's.
LISTS = [
    Request("GET", "/v1.45/containers/json?all=1"),
    Request("GET", f"/v1.45/containers/json?all=1&filters=%7B%22label%22%3A%5B%22{LABEL}%3Danother%22%5D%7D"),
    Request("GET", "/v1.45/containers/json?all=1&filters=%7B%22label%22%3A%5B%22airflow-ml.dag%22%5D%7D"),
    Request("GET", "/v1.45/networks"),
    Request("GET", f"/v1.45/networks?filters=%7B%22label%22%3A%5B%22{LABEL}%3Danother%22%5D%7D"),
]

# --- of a swarm ---

SWARM_REQUESTS = [
    Request("POST", "/v1.45/swarm/leave?force=1"),
    Request("POST", "/v1.45/swarm/init", {"ListenAddr": "127.0.0.1:2377"}),
    Request("POST", "/v1.45/swarm/update?version=1&rotateWorkerToken=1", {"Labels": {}}),
    Request("GET", "/v1.45/swarm"),
    Request("GET", "/v1.45/swarm/unlockkey"),
    Request("GET", "/v1.45/info"),
    Request("POST", f"/v1.45/nodes/{SERVICE_ID}/update?version=1"),
    Request("DELETE", f"/v1.45/nodes/{SERVICE_ID}?force=1"),
    Request("POST", f"/v1.45/services/{SERVICE_ID}/update?version=1"),
    Request("GET", f"/v1.45/tasks/{SERVICE_ID}/logs"),
    Request("GET", f"/v1.45/services/{SERVICE_ID}/logs?follow=1"),
    Request("GET", "/v1.45/services/other"),
    Request("DELETE", "/v1.45/services/other"),
    Request("GET", f"/v1.45/services/{OTHER_SERVICE}%2f"),
    Request("GET", "/v1.45/secrets"),
    Request("POST", "/v1.45/secrets/create", {"Name": "planted", "Data": "eA=="}),
    Request("DELETE", "/v1.45/secrets/other"),
    Request("GET", "/v1.45/configs"),
    Request("POST", "/v1.45/configs/create", {"Name": "planted", "Data": "eA=="}),
    Request("POST", f"/v1.45/networks/{NETWORK}/connect", JOIN),
    Request("GET", f"/v1.45/networks/{OTHER_NETWORK}"),
    Request("DELETE", "/v1.45/networks/other-overlay"),
    Request("POST", "/v1.45/networks/prune"),
    Request("POST", "/v1.45/containers/create", GOOD),
    Request("GET", "/v1.45/containers/json?all=1"),
    Request("GET", f"/v1.45/containers/{OTHER}/json"),
    Request("DELETE", f"/v1.45/containers/{OTHER}?force=1"),
    Request("GET", "/v1.43/services"),
    Request("GET", "/v1.45/services?filters=%7B%22name%22%3A%5B%22other%22%5D%7D"),
]
SWARM_OTHERS = [
    Request("GET", f"/v1.45/services/{OTHER_SERVICE}"),
    Request(
        "GET",
        f"/v1.45/services/{OTHER_SERVICE}/logs?details=False&follow=False&stdout=True&stderr=False&since=0"
        "&timestamps=False&tail=all",
    ),
    Request("DELETE", f"/v1.45/services/{OTHER_SERVICE}"),
    Request("DELETE", f"/v1.45/networks/{OTHER_NETWORK}"),
]
SWARM_LISTS = [
    Request("GET", "/v1.45/services"),
    Request("GET", f"/v1.45/services?filters=%7B%22label%22%3A%5B%22{LABEL}%3Danother%22%5D%7D"),
    Request("GET", f"/v1.45/tasks?filters=%7B%22service%22%3A%5B%22{OTHER_SERVICE}%22%5D%7D"),
    Request("GET", "/v1.45/networks"),
]

# --- bytes that two programs may read differently ---

GET, CREATE = "GET /version", "POST /containers/create"
CHUNKS = "Transfer-Encoding: chunked"
# What a lenient reader might take for a request of its own.
HIDDEN = request(f"POST /containers/{OTHER}/kill")
LENGTH = len(HIDDEN)
TWICE = b'{"Image":1,"Image":2}'
# By name: the bytes, and the status of the one answer.
MALFORMED = {
    "length and chunks": (request(GET, "Content-Length: 5", CHUNKS, content=b"0\r\n\r\n" + HIDDEN), 400),
    "chunks and length": (request(GET, CHUNKS, f"Content-Length: {LENGTH}", content=b"0\r\n\r\n" + HIDDEN), 400),
    "two lengths": (request(GET, "Content-Length: 0", f"Content-Length: {LENGTH}", content=HIDDEN), 400),
    "two lengths, the long one first": (
        request(GET, f"Content-Length: {LENGTH}", "Content-Length: 0", content=HIDDEN),
        400,
    ),
    "a list of lengths": (request(GET, f"Content-Length: 0, {LENGTH}", content=HIDDEN), 400),
    "a signed length": (request(GET, "Content-Length: +0", content=HIDDEN), 400),
    "a negative length": (request(GET, "Content-Length: -1", content=HIDDEN), 400),
    "a length in hexadecimal": (request(GET, "Content-Length: 0x0", content=HIDDEN), 400),
    "an empty length": (request(GET, "Content-Length:", content=HIDDEN), 400),
    "two encodings": (request(GET, CHUNKS, "Transfer-Encoding: identity", content=HIDDEN), 501),
    "chunked twice": (request(GET, CHUNKS, CHUNKS, content=b"0\r\n\r\n" + HIDDEN), 501),
    "an odd encoding": (request(GET, "Transfer-Encoding: xchunked", content=HIDDEN), 501),
    "an encoding after another": (request(GET, "Transfer-Encoding: gzip, chunked", content=HIDDEN), 501),
    "an encoding with a tab": (request(GET, "Transfer-Encoding:\vchunked", content=HIDDEN), 400),
    "a space before the colon": (request(GET, f"Content-Length : {LENGTH}", content=HIDDEN), 400),
    "an encoding with a space before the colon": (request(GET, "Transfer-Encoding : chunked", content=HIDDEN), 400),
    "a length on a folded line": (request(GET, "X: y", " Content-Length: 0", "Content-Length: x", content=HIDDEN), 400),
    "an encoding on a folded line": (request(GET, "Transfer-Encoding:", " xchunked", content=HIDDEN), 501),
    "a first header that is folded": (request(f"{GET}").replace(b"Host", b" X: y\r\nHost"), 400),
    "a bad chunk size": (request(GET, CHUNKS, content=b"0x0\r\n\r\n" + HIDDEN), 400),
    "a chunk size with a sign": (request(GET, CHUNKS, content=b"+0\r\n\r\n" + HIDDEN), 400),
    "a chunk size beyond 64 bits": (request(CREATE, CHUNKS, content=b"1" + b"0" * 16 + b"\r\n" + HIDDEN), 408),
    "no host": (b"GET /version HTTP/1.1\r\n\r\n", 400),
    "two hosts": (request(GET, "Host: y"), 400),
    "a control character": (request("GET /version\1"), 400),
    "a raw high byte": (request("GET /versi\xf6n"), 400),
    "a line end within the path": (request(f"GET /version HTTP/1.1\nPOST /containers/{OTHER}/kill"), 400),
    "a lone carriage return": (request(GET, f"X: y\rPOST /containers/{OTHER}/kill HTTP/1.1"), 400),
    "a NUL in a header": (request(GET, "X: \0"), 400),
    "HTTP/0.9": (b"GET /version\r\n\r\n", 400),
    "HTTP/1.0": (b"GET /version HTTP/1.0\r\n\r\n", 505),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    "a long head": (request(GET, "X: " + "x" * 40_000), 431),
    "a long path": (request("GET /" + "x" * 40_000), 431),
    "a long head that never ends": (request(GET, "X: " + "x" * 100_000)[:-4], 431),
    "a huge length": (request(CREATE, "Content-Length: 99999999", content=b" " * 1_000_000), 413),
    "huge chunks": (request(CREATE, CHUNKS, content=chunked(b" " * 1_000_000)), 413),
    "a head that never ends": (request(GET)[:-4], 408),
    "a body that never ends": (request(CREATE, "Content-Length: 9", content=b"{"), 408),
    "a body that names a key twice": (request(CREATE, f"Content-Length: {len(TWICE)}", content=TWICE), 400),
}

# By name: bytes sent one after the other on a connection whose first request is in order. The last of them may not
# arrive anywhere.
SECOND = {
    "a second request": (request("GET /_ping") + HIDDEN,),
    "a second request, later": (request("GET /_ping"), HIDDEN),
    "a request after a body that is allowed to be empty": (request("GET /_ping", "Content-Length: 0") + HIDDEN,),
    "a request after chunks that end": (request("GET /_ping", CHUNKS, content=b"0\r\n\r\n" + HIDDEN),),
    "a request in the trailer of chunks": (request("GET /_ping", CHUNKS, content=b"0\r\nX: y\r\n\r\n" + HIDDEN),),
    "a request after Expect": (request("GET /_ping", "Expect: 100-continue"), HIDDEN),
    "a request in a stream": (request(f"POST /containers/{OURS}/attach?stdout=1&stream=1", *UPGRADE) + HIDDEN,),
    "a request in a stream, later": (
        request(f"POST /containers/{OURS}/attach?stdout=1&stream=1", *UPGRADE),
        HIDDEN,
    ),
    "a request after an upgrade that is none": (request("GET /version", *UPGRADE), HIDDEN),
    "an upgrade to HTTP/2": (
        request("GET /version", "Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAA"),
        HIDDEN,
    ),
    "a method by another name": (request("GET /_ping", "X-HTTP-Method-Override: DELETE"), HIDDEN),
}
# By name: a stream into or out of what is another's, or in a way that no operator uses.
STREAMS = {
    "the output of another's container": (
        request(f"POST /v1.45/containers/{OTHER}/attach?stdout=1&logs=1&stream=1", *UPGRADE),
    ),
    "the output of another's container, without an upgrade": (
        request(f"POST /v1.45/containers/{OTHER}/attach?stdout=1&logs=1"),
    ),
    "the output of another's container, by a socket": (
        request(f"GET /v1.45/containers/{OTHER}/attach/ws?stdout=1&logs=1", "Connection: Upgrade", "Upgrade: websocket",
                "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
    ),
    "input to our own container": (
        request(f"POST /v1.45/containers/{OURS}/attach?stdin=1&stream=1", *UPGRADE), b"x\n",
    ),
    "a process in another's container": (request(f"POST /v1.45/exec/{EXEC}/start", *UPGRADE),),
    "a session of the builder": (
        request("POST /v1.45/session", "Connection: Upgrade", "Upgrade: h2c"),
    ),
    "the builder itself": (request("POST /v1.45/grpc", "Connection: Upgrade", "Upgrade: h2c"),),
}  # fmt: skip
