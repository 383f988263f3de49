"""The attacks on the pages of Airflow, MLflow and the reports: each is a row, judged by what it read or changed there.

Bytes go to the real service, as they are. An attack did harm if its answer holds a secret of the service, logs somebody
in, leads to another site or is a page without a policy, if the service then keeps something else than before, or if it
then does not answer.
"""

import base64
import hashlib
import hmac
import json
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from secrets import token_hex
from typing import Any

from tests.harness import PATIENCE_S, data_volume, docker, images, page_login
from tests.images import airflow_lab, registry_lab, reports_lab

# How long a busy service may take for its answer, and for what comes after the beginning of one.
ANSWER_S, SILENCE_S, MOST = 30.0, 2.0, 1 << 22
# Something that only a file of the server's machine holds.
PASSWORDS = (registry_lab.PAGES_PASSWORD, registry_lab.REGISTRY_PASSWORD, reports_lab.PASSWORD,
             airflow_lab.ADMIN_PASSWORD, airflow_lab.OTHER_PASSWORD, *airflow_lab.SECRETS.values())  # fmt: skip
FILES = (b"root:x:0:0", b"ML_IMAGE=", *(password.encode() for password in PASSWORDS))
REPORT = """
import hashlib, json, pathlib, sys
for name in ("reports/2026-01-01", "raw/2026-01-01"):
    folder = pathlib.Path("/data", name)
    folder.mkdir(parents=True)
    page = sys.argv[1].encode()
    (folder / "index.html").write_bytes(page)
    output = {"sha256": hashlib.sha256(page).hexdigest(), "size": len(page), "step": "page"}
    mark = {"version": 1, "partition": name, "outputs": {"index.html": output}, "steps": {}}
    (folder / "_meta.json").write_text(json.dumps(mark))
"""
TOO_MANY = b"429"
OF_LOGINS = {"fail_login_count", "last_login", "login_count"}
API = "/api/2.0/mlflow"
CREATE = f"{API}/experiments/create"
JSON = "application/json"


@dataclass(frozen=True)
class WebAttack:
    """One row: the service, and what is sent to it."""

    group: str
    name: str
    service: str
    content: bytes
    # Whether the request is allowed what it asks for: it shows that harm would be seen.
    is_allowed: bool = False
    # What of the harm that a service looks for is none here.
    harmless: str = ""
    # What is sent before it, each on a connection of its own, until the service has had too many.
    first: Sequence[bytes] = ()


@dataclass(frozen=True)
class WebOutcome:
    """What an attack did, and the bytes that came back."""

    attack: WebAttack
    done: Sequence[str]
    answer: bytes

    @property
    def passed(self) -> bool:
        """Whether nothing happened but what may happen."""
        return bool(self.done) == self.attack.is_allowed


@dataclass
class Service:
    """A service under attack: where it listens, the name that it accepts, the value of a header that logs in."""

    address: tuple[str, int]
    host: str
    login: str
    secret: str = field(default_factory=lambda: f"secret-{token_hex(12)}")
    # Where it says what it keeps; the reports cannot write, so there this shows only that they answer.
    kept: Sequence[str] = ()
    run: str = ""
    # What a browser in which somebody has logged in sends by itself; empty: the login above.
    cookies: str = ""
    # In an answer: somebody is logged in, somebody is led to another site.
    harm: Sequence[tuple[str, str]] = ()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """An ordinary request with the login; the JSON or text of the answer. Errors: OSError, AssertionError."""
        content = json.dumps(body).encode() if body is not None else None
        with closing(HTTPConnection(*self.address, timeout=PATIENCE_S)) as connection:
            headers = {"Host": self.host, "Content-Type": JSON, "Authorization": self.login}
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        assert answer.status in (200, 201), (method, path, answer.status, text[:500])
        return json.loads(text) if text.startswith("{") else text

    def attack(self, attack: WebAttack) -> bytes:
        """All that comes back for an attack."""
        received, end = b"", time.monotonic() + WINDOW_S
        for content in attack.first:
            received += (answer := self.send(content))
            if answer[9:12] == TOO_MANY:
                break
            if time.monotonic() > end:  # so slow by itself that no limit is reached
                return received
        return received + self.send(attack.content.replace(PLANTED, new_name()))

    def send(self, content: bytes) -> bytes:
        """All that comes back for these bytes, until the service ends the connection or is silent."""
        received = b""
        with suppress(OSError), socket.create_connection(self.address, ANSWER_S) as connection:
            connection.sendall(content)
            while len(received) < MOST and (data := connection.recv(1 << 16)):
                received += data
                connection.settimeout(SILENCE_S)
        return received

    def look(self) -> list[Any]:
        """What it keeps."""
        return [without_logins(self.ask("GET", path)) for path in self.kept]

    def read(self, attack: WebAttack, answer: bytes) -> list[str]:
        """Whether an answer holds what only a login, or nobody, may read, or does harm by itself; in words."""
        secret = any(one in answer for one in (self.secret.encode(), *FILES))
        return [
            *(["secret read"] if secret else []),
            *(what for what, form in self.harm if what != attack.harmless and re.search(form.encode(), answer)),
        ]

    def effects(self, before: Sequence[Any], attack: WebAttack, answer: bytes) -> list[str]:
        """What an attack did, in words."""
        done = self.read(attack, answer)
        try:
            after = self.look()
        except OSError as error:
            return [*done, f"does not answer: {error}"]
        return [*done, *(["something changed"] if after != before else [])]


def without_logins(kept: Any) -> Any:
    """What a service keeps, but for what Airflow counts of each account's logins, also those that fail."""
    if isinstance(kept, list):
        return [without_logins(one) for one in kept]
    if isinstance(kept, dict):
        return {name: without_logins(value) for name, value in kept.items() if name not in OF_LOGINS}
    return kept


@contextmanager
def services() -> Iterator[Mapping[str, Service]]:
    """Each service with a secret that only its login may read."""
    with data_volume("web-attacks") as data, registry_lab.serve(data) as server, airflow_lab.serve() as airflow:
        host, _, port = server.address.removeprefix("http://").partition(":")
        mlflow = Service((host, int(port)), "127.0.0.1:5000", basic(registry_lab.PAGES_PASSWORD))
        mlflow.run = _fill(mlflow)
        mlflow.kept = (
            f"{API}/experiments/search?max_results=1000&view_type=ALL",
            f"{API}/registered-models/search?max_results=1000",
            f"{API}/model-versions/search?max_results=1000",
            f"{API}/artifacts/list?run_id={mlflow.run}",
            "/api/2.0/mlflow-artifacts/artifacts",
        )
        secret = f"secret-{token_hex(12)}"
        docker("run", "--rm", data.mount, "--entrypoint=python", images()["base"], "-c", REPORT, secret)
        pages = reports_lab.start_service(f"{data.mount}:ro")
        host = f"localhost:{pages.port}"
        reports = Service(("127.0.0.1", pages.port), host, basic(reports_lab.PASSWORD), secret, kept=("/healthz",))
        try:
            yield {"airflow": airflow_service(airflow), "mlflow": mlflow, "reports": reports}
        finally:
            docker("rm", "--force", pages.container)


def basic(password: str) -> str:
    """What people send to MLflow and the reports."""
    return page_login(password)["Authorization"]


def airflow_service(server: airflow_lab.AirflowServer) -> Service:
    """Airflow with a Variable and a connection that hold the secret, and somebody logged in by a browser."""
    airflow = Service(server.address, server.host, f"Bearer {server.token()}", cookies=server.cookies(), harm=LOGGED_IN)
    airflow.kept = (
        *(f"/api/v2/{kind}?limit=100" for kind in ("variables", "connections", "pools", "dags", "dags/~/dagRuns")),
        *(f"/auth/fab/v1/{kind}?limit=100" for kind in ("users", "roles")),
    )
    airflow.ask("POST", VARIABLES, {"key": "kept", "value": airflow.secret})
    airflow.ask("POST", "/api/v2/connections", {"connection_id": "kept", "conn_type": "x", "host": airflow.secret})
    return airflow


def _fill(mlflow: Service) -> str:
    """An experiment, a run with an artifact, a model; each has the secret. Returns the run's id."""
    experiment = mlflow.ask("POST", CREATE, {"name": mlflow.secret})["experiment_id"]
    run = mlflow.ask("POST", f"{API}/runs/create", {"experiment_id": experiment})["run"]["info"]
    path = run["artifact_uri"].partition(":/")[2]
    mlflow.ask("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{path}/secret.txt", mlflow.secret)
    mlflow.ask("POST", f"{API}/registered-models/create", {"name": "m", "description": mlflow.secret})
    return str(run["run_id"])


# --- the rows ---

LOGIN, NO_LOGIN = "LOGIN", ""
# Stands for a name that is new with each request.
PLANTED = b"planted-planted-"
HEALTH = "/api/v2/monitor/health"
SEARCH = f"{API}/experiments/search?max_results=100"
# What changes or reads something of MLflow with a login: method, path, body.
MLFLOW = [
    ("GET", SEARCH, None),
    ("POST", CREATE, {"name": PLANTED.decode()}),
    ("POST", f"/ajax-api{CREATE.removeprefix('/api')}", {"name": PLANTED.decode()}),
    ("POST", f"{API}/registered-models/create", {"name": PLANTED.decode()}),
    ("PATCH", f"{API}/registered-models/update", {"name": "m", "description": PLANTED.decode()}),
    ("POST", f"{API}/registered-models/set-tag", {"name": "m", "key": "planted", "value": PLANTED.decode()}),
    ("POST", f"{API}/registered-models/alias", {"name": "m", "alias": "champion", "version": "1"}),
    ("DELETE", f"{API}/registered-models/delete", {"name": "m"}),
    ("POST", f"{API}/experiments/delete", {"experiment_id": "1"}),
    ("PUT", "/api/2.0/mlflow-artifacts/artifacts/planted.txt", {"planted": True}),
    ("DELETE", "/api/2.0/mlflow-artifacts/artifacts/1", None),
    ("POST", "/graphql", {"query": '{ mlflowSearchRuns(input: {experimentIds: ["1"]}) { runs { info { runId } } } }'}),
    ("POST", "/v1/traces", {}),
    ("GET", "/api/2.0/mlflow-artifacts/artifacts?path=1", None),
]  # fmt: skip
VARIABLES = "/api/v2/variables"
USER = {"username": "planted", "password": "planted-and-longer", "email": "a@b.c", "first_name": "a", "last_name": "b",
        "roles": [{"name": "Admin"}]}  # fmt: skip
# The same of Airflow.
AIRFLOW = [
    ("GET", VARIABLES, None),
    ("POST", VARIABLES, {"key": PLANTED.decode(), "value": "x"}),
    ("PATCH", f"{VARIABLES}/kept", {"key": "kept", "value": PLANTED.decode()}),
    ("DELETE", f"{VARIABLES}/kept", None),
    ("GET", "/api/v2/connections", None),
    ("POST", "/api/v2/connections", {"connection_id": PLANTED.decode(), "conn_type": "x"}),
    ("POST", "/api/v2/connections/defaults", None),
    ("DELETE", "/api/v2/connections/kept", None),
    ("POST", "/api/v2/pools", {"name": PLANTED.decode(), "slots": 1}),
    ("PATCH", f"/api/v2/dags/{airflow_lab.DAG}", {"is_paused": True}),
    ("POST", f"/api/v2/dags/{airflow_lab.DAG}/dagRuns", {"logical_date": None}),
    ("DELETE", f"/api/v2/dags/{airflow_lab.DAG}", None),
    ("GET", "/api/v2/config", None),
    ("GET", "/execution/variables/kept", None),
    ("GET", "/ui/config", None),
    ("GET", "/auth/users/list/", None),
    ("POST", "/auth/users/delete/1", None),
    ("GET", "/auth/fab/v1/users", None),
    ("POST", "/auth/fab/v1/users", USER),
    ("POST", "/auth/fab/v1/roles", {"name": PLANTED.decode(), "actions": []}),
]
LOGGED_IN = (
    ("logged in", r'"access_token"|(?i:set-cookie: _token=[^;"])'),
    ("leads to another site", r"(?i:location: *(?!/[^/\\]|/\r|http://localhost:8080))[^\r]*(evil|javascript)"),
    ("a page without a policy", r"(?is:^HTTP/1.1 (?!400)(?:(?!\r\n\r\n|content-security-policy).)*\r\n\r\n)"),
)
# What a link on another page leads to: no form, no script.
LINKS = ["/auth/users/delete/1", "/auth/users/delete/1?_method=POST", "/auth/roles/delete/1", "/auth/users/action/x/1",
         "/auth/login/?next=https://evil.example/", "/auth/login/?next=//evil.example",
         "/auth/login/?next=/%5cevil.example",
         "/auth/login/?next=javascript:alert(1)", "/auth/login/?next=%0d%0aLocation:%20https://evil.example",
         "/login?next=https://evil.example", "//evil.example/%2f..", "/auth//evil.example", "/%5c%5cevil.example",
         "/api/v2/auth/login?next=https://evil.example"]  # fmt: skip
WRONG_LOGINS = {
    "no login": "",
    "another account": "Basic YWRtaW46cGFzc3dvcmQ=",
    "an empty name and password": "Basic Og==",
    "an account without a password": "Basic bWw6",
    "no base64": "Basic \xff\xfe",
    "a bearer token": "Bearer x",
    "a long one": "Basic " + "QQ" * 20_000,
    "two lines": "Basic Og==\r\nAuthorization: Basic bWw6",
}
PAGES = ["https://evil.example", "null", "http://localhost:9999", "http://127.0.0.1:8081", "http://HOST.evil.example",
         "http://evil.example/HOST", "http://HOST@evil.example", "http://[::1]:5000", "file://", ""]  # fmt: skip
KINDS = [JSON, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
HOSTS = ["evil.example", "evil.example:5000", "HOST.evil.example", "HOST@evil.example", "evil.example/HOST", "10.0.0.1",
         "[::1]", "", "HOST evil.example", "HOST\tx", "\xff", "localhost.", "0x7f000001", "2130706433"]  # fmt: skip
# Each is put behind a place where a service takes a path.
FILE_PATHS = [
    "../../../../../../etc/passwd", "..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "..%252f..%252f..%252f..%252fetc%252fpasswd", "..%5c..%5c..%5cetc%5cpasswd", "....//....//....//etc/passwd",
    "/etc/passwd", "//etc/passwd", "%2fetc%2fpasswd", "/proc/self/environ", "../../../../run/secrets/pages_password",
    "file:///etc/passwd", "file:///run/secrets/pages_password", "..;/..;/..;/etc/passwd", "x%00/../../../../etc/passwd",
    "%c0%ae%c0%ae/%c0%ae%c0%ae/%c0%ae%c0%ae/etc/passwd", "\xc0\xae\xc0\xae/\xc0\xae\xc0\xae/etc/passwd",
    "../raw/2026-01-01/index.html", "2026-01-01/../../raw/2026-01-01/index.html", "%2e%2e/raw/2026-01-01/index.html",
]  # fmt: skip
FILE_PLACES = {
    "mlflow": [
        "/", "/static-files/", "/api/2.0/mlflow-artifacts/artifacts/", "/api/2.0/mlflow-artifacts/artifacts?path=",
        "/get-artifact?run_id=RUN&path=", "/model-versions/get-artifact?name=m&version=1&path=",
    ],
    "reports": ["/", "/2026-01-01/", "/2026-01-02/", "/?ds="],
    "airflow": ["/", "/static/", "/auth/static/", "/auth/static/appbuilder/", "/api/v2/dagSources/", "/ui/",
                f"/api/v2/dags/{airflow_lab.DAG}/dagRuns/x/taskInstances/y/logs/"],
}  # fmt: skip
# Where a version of a model says that its files are.
SOURCES = ["file:///proc/self", "/etc", "file:/etc", "FILE:///etc", "//etc", "file://localhost/etc", ".",
           "../../../etc", "mlflow-artifacts:/../../../etc", "mlflow-artifacts:/%2e%2e/%2e%2e/etc", "runs:/x/../../..",
           "http://127.0.0.1:5000/"]  # fmt: skip
DEEP, LARGE = 100_000, 64 << 20


def _request(
    service: Service, method: str, path: str, body: Any = None, *, login: str = LOGIN, host: str = "HOST",
    kind: str = JSON, more: str = "",
) -> bytes:  # fmt: skip
    """One request; in `host` and `more`, HOST is the name that the service accepts."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    authorization = service.login if login == LOGIN else login
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {host}",
        "Connection: close",
        *([f"Authorization: {authorization}"] if authorization else []),
        *([f"Content-Type: {kind}"] if kind else []),
        *([f"Content-Length: {len(content)}"] if content or method in ("POST", "PUT", "PATCH") else []),
        *([more] if more else []),
    ]
    head = "\r\n".join([*lines, "", ""]).replace("HOST", service.host)
    return head.encode("latin-1") + content


def all_attacks(found: Mapping[str, Service]) -> Iterator[WebAttack]:
    """Every row, in the order of the table."""
    mlflow, reports = found["mlflow"], found["reports"]
    for name, login in WRONG_LOGINS.items():
        group = "no login, or a wrong one"
        for method, path, body in MLFLOW:
            content = _request(mlflow, method, path, body, login=login)
            yield WebAttack(group, f"{name}: {method} {path}", "mlflow", content)
        for path in ("/", "/2026-01-01/"):
            yield WebAttack(group, f"{name}: GET {path}", "reports", _request(reports, "GET", path, login=login))
    for page in PAGES:
        group, origin = "a page of another service, with the login of the browser", f"Origin: {page}"
        for kind in KINDS:
            content = _request(mlflow, "POST", CREATE, {"name": PLANTED.decode()}, kind=kind, more=origin)
            yield WebAttack(group, f"{page!r} posts {kind!r}", "mlflow", content)
        for method, path, body in MLFLOW:
            content = _request(mlflow, method, path, body, more=origin)
            yield WebAttack(group, f"{page!r}: {method} {path}", "mlflow", content)
        content = _request(reports, "GET", "/2026-01-01/", more=origin)
        yield WebAttack(group, f"{page!r} reads a report", "reports", content)
    for host in HOSTS:
        group = "another name that leads to the service"
        for service, path in (
            ("mlflow", SEARCH), ("mlflow", "/"), ("reports", "/2026-01-01/"), ("airflow", "/"), ("airflow", HEALTH),
        ):  # fmt: skip
            login = NO_LOGIN if service == "airflow" else LOGIN  # a browser sends its cookies to no other name
            content = _request(found[service], "GET", path, host=host, login=login)
            yield WebAttack(group, f"{host!r}: GET {path}", service, content)
    for service, places in FILE_PLACES.items():
        for place in places:
            for path in FILE_PATHS:
                target = f"{place.replace('RUN', mlflow.run)}{path}"
                content = _request(found[service], "GET", target)
                yield WebAttack("a path to another file", f"GET {place}{path}", service, content)
    for source in SOURCES:
        content = _request(mlflow, "POST", f"{API}/model-versions/create", {"name": "m", "source": source})
        yield WebAttack("a version whose files are elsewhere", source, "mlflow", content)
    yield from _too_much(found)
    yield from _on_airflow(found["airflow"])
    for service, method, path, body in (
        ("mlflow", "GET", SEARCH, None), ("mlflow", "POST", CREATE, {"name": PLANTED.decode()}),
        ("reports", "GET", "/2026-01-01/", None), ("airflow", "GET", VARIABLES, None),
        ("airflow", "POST", VARIABLES, {"key": PLANTED.decode(), "value": "x"}),
    ):  # fmt: skip
        for page in ("", "Origin: http://HOST"):
            kept = found[service].cookies
            login, more = (NO_LOGIN, f"Cookie: {kept}\r\n{page}") if kept and page else (LOGIN, page)
            content = _request(found[service], method, path, body, login=login, more=more)
            name = f"{'its own page: ' if page else ''}{method} {path}"
            yield WebAttack("no attack: it may do what it asks for", name, service, content, True)


def _on_airflow(airflow: Service) -> Iterator[WebAttack]:
    """What only Airflow has: tokens, cookies, a form of its login."""
    forged = list(enumerate(forged_tokens(), start=1))
    logins = WRONG_LOGINS | {f"a forged token, {number}": f"Bearer {token}" for number, token in forged}
    for name, login in logins.items():
        for method, path, body in AIRFLOW:
            content = _request(airflow, method, path, body, login=login)
            yield WebAttack("no login, or a wrong one", f"{name}: {method} {path}", "airflow", content)
    for number, token in forged:
        more = f"Cookie: _token={token}; session={token}"
        for method, path, body in AIRFLOW:
            content = _request(airflow, method, path, body, login=NO_LOGIN, more=more)
            name = f"a forged cookie, {number}: {method} {path}"
            yield WebAttack("no login, or a wrong one", name, "airflow", content)
    cookie = f"Cookie: {airflow.cookies}"
    for page in PAGES:
        group, more = "a page of another service, with the login of the browser", f"{cookie}\r\nOrigin: {page}"
        for kind in KINDS:
            body = {"key": PLANTED.decode(), "value": "x"}
            content = _request(airflow, "POST", VARIABLES, body, login=NO_LOGIN, kind=kind, more=more)
            yield WebAttack(group, f"{page!r} posts {kind!r}", "airflow", content)
        for method, path, body in AIRFLOW:
            content = _request(airflow, method, path, body, login=NO_LOGIN, more=more)
            yield WebAttack(group, f"{page!r}: {method} {path}", "airflow", content)
    for path in LINKS:
        group = "a link on another page, with the login of the browser"
        content = _request(airflow, "GET", path, login=NO_LOGIN, more=cookie)
        # Who has logged in and looks at the form gets a new token.
        yield WebAttack(group, path, "airflow", content, harmless="logged in")
    hidden = _request(airflow, "POST", VARIABLES, {"key": PLANTED.decode(), "value": "x"})
    for name, more, before in (
        ("a length and chunks", f"Content-Length: {len(hidden) + 5}\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
        ("chunks and a length", f"Transfer-Encoding: chunked\r\nContent-Length: {len(hidden) + 5}", b"0\r\n\r\n"),
        ("two lengths", f"Content-Length: 0\r\nContent-Length: {len(hidden)}", b""),
        ("a list of lengths", f"Content-Length: 0, {len(hidden)}", b""),
        ("a length with a sign", f"Content-Length: +{len(hidden)}", b""),
        ("an odd encoding", "Transfer-Encoding: xchunked", b""),
        ("a tab in the encoding", "Transfer-Encoding:\vchunked", b"0\r\n\r\n"),
        ("a blank before the colon", "Transfer-Encoding : chunked", b"0\r\n\r\n"),
        ("a bad size of a chunk", "Transfer-Encoding: chunked", b"0x0\r\n\r\n"),
        ("a line end within a header", f"X: y\rContent-Length: {len(hidden)}", b""),
    ):
        head = f"POST /auth/token HTTP/1.1\r\nHost: {airflow.host}\r\n{more}\r\n\r\n".encode()
        yield WebAttack("a request in another's body", name, "airflow", head + before + hidden)
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        for verb in ("DELETE", "PATCH"):
            content = _request(airflow, "HEAD", f"{VARIABLES}/kept", more=f"{name}: {verb}")
            yield WebAttack("another verb", f"{name}: {verb}", "airflow", content)
    for verb in ("TRACE", "TRACK", "DEBUG", "PUT", "MOVE", "PROPFIND", "get", "OPTIONS"):
        content = _request(airflow, verb, f"{VARIABLES}/kept", login=NO_LOGIN, more=cookie)
        yield WebAttack("another verb", verb, "airflow", content)
    # Last, because no other row would get a token after them.
    for name, wrong, right in guesses(airflow):
        yield WebAttack("many passwords, the right one among them", name, "airflow", right, first=[wrong] * GUESSES)


# More than either limit, 20 a minute for tokens and 5 in 40 s for the form; as long as the shorter one counts.
GUESSES, WINDOW_S = 25, 40


def guesses(airflow: Service) -> Iterator[tuple[str, bytes, bytes]]:
    """Ways to log in: the request with a wrong password, and the one with the right password."""
    account = {"username": "admin", "password": airflow_lab.ADMIN_PASSWORD}
    bodies = [json.dumps({**account, "password": "wrong"}).encode(), json.dumps(account).encode()]
    for path in ("/auth/token", "/auth/token/cli", "/auth/token/", "/auth//token", "/auth/%74oken"):
        wrong, right = (_request(airflow, "POST", path, body, login=NO_LOGIN) for body in bodies)
        yield f"POST {path}", wrong, right
    page = airflow.send(_request(airflow, "GET", "/auth/login/", login=NO_LOGIN)).decode(errors="replace")
    session = re.search(r"(?i)set-cookie: (session=[^;]+)", page)
    assert session, page[:1000]
    field = airflow_lab.csrf_field(page)
    form = "application/x-www-form-urlencoded"
    texts = [f"username=admin&password={word}&csrf_token={field}" for word in ("wrong", account["password"])]
    wrong, right = (
        _request(
            airflow, "POST", "/auth/login/", text.encode(), login=NO_LOGIN, kind=form, more=f"Cookie: {session[1]}"
        )
        for text in texts
    )
    yield "the form", wrong, right


def forged_tokens() -> list[str]:
    """Tokens that Airflow did not sign: without a signature, with keys that somebody may try, with odd headers."""
    body = {"sub": "1", "aud": "apache-airflow", "nbf": 0, "iat": 0, "exp": 9_999_999_999}
    heads: list[tuple[dict[str, Any], str]] = [
        ({"alg": "none"}, ""), ({"alg": "None"}, ""), ({"alg": "HS512"}, ""), ({"alg": "HS512"}, "airflow"),
        ({"alg": "HS256"}, "secret"), ({"alg": "HS512", "kid": "../../../dev/null"}, ""),
        ({"alg": "HS512", "jku": "http://evil.example/"}, "x"), ({"alg": "ES256"}, "x"),
    ]  # fmt: skip
    tokens = []
    for head, key in heads:
        words = [base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in (head, body)]
        text = b".".join(words)
        digest = hashlib.sha256 if head["alg"] == "HS256" else hashlib.sha512
        signed = base64.urlsafe_b64encode(hmac.new(key.encode(), text, digest).digest()).rstrip(b"=")
        tokens.append(b".".join([text, b"" if head["alg"].lower() == "none" else signed]).decode())
    return tokens


def _too_much(found: Mapping[str, Service]) -> Iterator[WebAttack]:
    """What may take the time or the memory of a service; most of it without a login."""
    group = "more than a request has"
    deep = b'{"name": ' + b"[" * DEEP + b"]" * DEEP + b"}"
    for name, service in found.items():
        long, many = "X: " + "x" * 1_000_000, "\r\n".join(f"X-{number}: x" for number in range(20_000))
        rows = {
            "a header of 1 MB": _request(service, "GET", "/", login=NO_LOGIN, more=long),
            "20,000 headers": _request(service, "GET", "/", login=NO_LOGIN, more=many),
            "a path of 1 MB": _request(service, "GET", "/" + "x" * 1_000_000, login=NO_LOGIN),
            "a body of 1 TB, announced": _request(service, "GET", "/", login=NO_LOGIN,
                                                  more=f"Content-Length: {10**12}"),
            "two lengths": _request(service, "POST", CREATE, b"{}", login=NO_LOGIN, more="Content-Length: 5"),
            "a length and chunks": _request(service, "POST", CREATE, b"0\r\n\r\n", login=NO_LOGIN,
                                            more="Transfer-Encoding: chunked"),
            "no request": b"\0" * 10_000,
            "a TLS greeting": bytes.fromhex("16030100c8010000c40303") + b"x" * 200,
            "HTTP/2 without asking": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "a web socket": _request(service, "GET", "/", login=NO_LOGIN,
                                     more="Upgrade: websocket\r\nConnection: Upgrade"),
            "another method": _request(service, "TRACE", "/", more="X: y"),
            "a proxy's request": _request(service, "GET", "http://evil.example/"),
            "CONNECT": _request(service, "CONNECT", "127.0.0.1:5432"),
        }  # fmt: skip
        for what, content in rows.items():
            yield WebAttack(group, f"{name}: {what}", name, content)
    bodies = {
        "deep JSON": deep,
        "a number of 100,000 digits": b'{"name": ' + b"9" * DEEP + b"}",
        "no JSON": b"\xff\xfe",
    }
    for what, body in bodies.items():
        for name, path in (("mlflow", CREATE), ("airflow", VARIABLES)):
            yield WebAttack(group, f"{name}: {what}", name, _request(found[name], "POST", path, body))
    for path in ("/auth/token", "/auth/login/", VARIABLES):
        content = _request(found["airflow"], "POST", path, b"[" * LARGE, login=NO_LOGIN)
        yield WebAttack(group, f"airflow: {LARGE >> 20} MB to {path}", "airflow", content)


def run(found: Mapping[str, Service], attacks: Sequence[WebAttack]) -> Iterator[WebOutcome]:
    """Send each attack, and look at its service before and after.

    Rows that may do nothing share a look; if it finds a change, each is sent again and has a look of its own.
    """
    for service in found:
        for allowed in (False, True):
            rows = [one for one in attacks if one.service == service and one.is_allowed == allowed]
            yield from _run_of(found[service], rows, together=not allowed)


def new_name() -> bytes:
    """As long as what stands for it: the length of the body stays."""
    return token_hex(len(PLANTED) // 2).encode()


def _run_of(service: Service, attacks: Sequence[WebAttack], together: bool) -> Iterator[WebOutcome]:
    before = service.look()
    if together:
        answers = [service.attack(attack) for attack in attacks]
        if service.look() == before:
            for attack, answer in zip(attacks, answers, strict=True):
                yield WebOutcome(attack, service.read(attack, answer), answer)
            return
        before = service.look()
    for attack in attacks:
        answer = service.attack(attack)
        yield WebOutcome(attack, service.effects(before, attack, answer), answer)
        before = service.look()
