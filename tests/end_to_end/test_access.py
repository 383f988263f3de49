"""Who gets into Airflow, and what each role may do there."""

import json
import subprocess
import urllib.error
import urllib.request

import pytest
from airflow_ml.airflow_api import Airflow
from airflow_ml.common import AirflowMlError
from airflow_ml.secret_files import SECRETS, setting

from tests.harness import PATIENCE_S, docker, images

from .conftest import PROJECT, SCORED, Stack, compose_stack, data, new_password

# What answers a stranger: whether Airflow works, and what a log-in needs.
HEALTH = "/api/v2/monitor/health"
LOGIN = {"/auth/token", "/auth/token/cli", "/auth/logout", "/api/v2/auth/login", "/api/v2/auth/logout"}
# Airflow's documents of its own paths, and what comes before those paths.
DOCUMENTS = {"/openapi.json": "", "/auth/openapi.json": "/auth"}
HEADERS = ("Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options", "Referrer-Policy")
REFUSED, FORBIDDEN, TOO_MANY = 401, 403, 429

# Runs as root among the processes of the host: prints where those of the containers, or files, have a secret.
LOOK = """
import json, pathlib, sys
secrets, ids = json.load(sys.stdin), sys.argv[1].split(",")
shown, files = [], 0
def look(path):
    try:
        content = path.read_bytes()
    except OSError:
        return
    shown.extend(f"{name} in {path}" for name, value in secrets.items() if value.encode() in content)
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        ours = any(one in (process / "cgroup").read_text() for one in ids)
    except OSError:
        continue
    if ours:
        look(process / "environ")
        look(process / "cmdline")
for path in pathlib.Path("/files").rglob("*"):
    if path.is_file():
        files += 1
        look(path)
print(json.dumps({"shown": shown, "files": files}))
"""

# Runs in a container, so that the tests' own address may still log in. Prints the codes of attempts with wrong
# passwords: for tokens, and in the form of the page.
GUESS = """
import http.cookiejar, json, re, urllib.error, urllib.parse, urllib.request
class Here(urllib.request.HTTPRedirectHandler):
    redirect_request = lambda *_: None  # a failed log-in leads to an address outside of this container
cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
browser = urllib.request.build_opener(cookies, Here)
def post(path, body, kind):
    request = urllib.request.Request("http://api-server:8080" + path, body.encode(), {"Content-Type": kind})
    try:
        return browser.open(request, timeout=60).status
    except urllib.error.HTTPError as error:
        return error.code
def form():
    page = browser.open("http://api-server:8080/auth/login/", timeout=60).read().decode()
    field = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)[1]
    values = {"username": "admin", "password": "guess", "csrf_token": field}
    return post("/auth/login/", urllib.parse.urlencode(values), "application/x-www-form-urlencoded")
def until_refused(attempt):
    codes = []
    while len(codes) < 100 and codes[-1:] != [429]:
        codes.append(attempt())
    return codes
guess = json.dumps({"username": "admin", "password": "guess"})
print(json.dumps([until_refused(lambda: post("/auth/token", guess, "application/json")), until_refused(form)]))
"""


def code_of(stack: Stack, method: str, path: str) -> int:
    """The answer's code to a request without a log-in."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(stack.url + path, method=method), timeout=PATIENCE_S
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def document(stack: Stack, path: str) -> dict[str, dict[str, object]]:
    """The paths of a document, each with its methods, as a user gets it."""
    login = json.dumps({"username": "admin", "password": stack.password}).encode()
    json_type = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{stack.url}/auth/token", login, json_type)) as answer:
        token = json.load(answer)["access_token"]
    request = urllib.request.Request(stack.url + path, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return dict(json.load(answer)["paths"])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_stranger_gets_no_answer_but_health(stack: Stack, name: str) -> None:
    assert code_of(stack, "GET", name) == REFUSED
    paths = {DOCUMENTS[name] + path: methods for path, methods in document(stack, name).items()}
    requests = [(method.upper(), path) for path, methods in paths.items() for method in methods if path not in LOGIN]
    codes = {(method, path): code_of(stack, method, path.replace("{", "")) for method, path in requests}
    answered = {request for request, code in codes.items() if code not in (REFUSED, FORBIDDEN)}
    assert answered == ({("GET", HEALTH)} if name == "/openapi.json" else set())
    assert len(codes) > len(answered)


@pytest.mark.parametrize("path", ["/", "/auth/login/", HEALTH, "/api/v2/dags", "/static/pin_32.png", "/auth/token"])
def test_browser_is_asked_to_be_careful(stack: Stack, path: str) -> None:
    try:
        with urllib.request.urlopen(stack.url + path, timeout=PATIENCE_S) as answer:
            found = answer.headers
    except urllib.error.HTTPError as error:
        found = error.headers
    assert all(found.get(name) for name in HEADERS), dict(found)
    assert "frame-ancestors 'self'" in found["Content-Security-Policy"]


@pytest.mark.parametrize("name", ["mlflow", "reports"])
@pytest.mark.parametrize("path", ["/", "/2026-11-21/", "/api/2.0/mlflow/experiments/search?max_results=1"])
@pytest.mark.usefixtures("stack")
def test_stranger_gets_nothing_of_mlflow_and_the_reports(name: str, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(compose_stack.pages()[name] + path, timeout=PATIENCE_S)
    assert (refused.value.code, refused.value.read()) == (REFUSED, b"Log in.\n")


def containers() -> list[str]:
    """Every container of the stack, also those that have ended."""
    return docker("ps", "--all", "--quiet", f"--filter=label=com.docker.compose.project={PROJECT}").stdout.split()


def in_processes_and_files(secrets: dict[str, str]) -> list[str]:
    """Where the environment or the command line of the stack's processes, or a file in its volumes, has a secret."""
    ids = ",".join(docker("inspect", "--format={{.Id}}", *containers()).stdout.split())
    sources = (f"{PROJECT}_logs", f"{PROJECT}_mlflow", data.source)
    volumes = [f"--volume={source}:/files/{source}:ro" for source in sources]
    seeing = ["--pid=host", "--cgroupns=host", "--user=0", "--cap-add=SYS_PTRACE", "--network=none", *volumes]
    python = ["--entrypoint=python", images()["base"], "-c", LOOK, ids]
    command = ["docker", "run", "--rm", "--interactive", *seeing, *python]
    # A variable that many processes have shows that the others would be seen.
    given = json.dumps({**secrets, "no secret": "/run/secrets/airflow.cfg"})
    done = subprocess.run(command, input=given, text=True, capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert found["files"] > 100
    visible = [place for place in found["shown"] if place.startswith("no secret in /proc")]
    assert len(visible) > 5
    return [place for place in found["shown"] if place not in visible]


@pytest.mark.usefixtures("day")
def test_secret_is_nowhere_to_be_seen(stack: Stack) -> None:
    """A secret is in a file for the services that need it, and in no other place that somebody may look at."""
    settings = compose_stack.settings()
    secrets = {name: value for one in SECRETS if (value := settings[name := setting(one)])}
    assert set(map(setting, SECRETS)) - secrets.keys() <= {"ML_ALERT_URLS"}, "each has a value to look for"
    run = stack.last_run("predict", SCORED)
    pages = compose_stack.pages()
    texts = {
        "docker inspect": docker("inspect", *containers()).stdout,
        "docker logs": compose_stack.compose("logs", "--no-color").stdout,
        "compose config": compose_stack.compose("config").stdout,
        "database": compose_stack.compose("exec", "-T", "postgres", "pg_dumpall", "--username=airflow").stdout,
        "log of a task": stack.airflow.log_of("predict", run, {"task_id": "resolve"}),
        "MLflow": stack.page(f"{pages['mlflow']}/api/2.0/mlflow/experiments/search?max_results=100"),
        "reports": stack.page(f"{pages['reports']}/{SCORED}/"),
        "connections": json.dumps(stack.airflow.request("GET", "/connections")),
        "variables": json.dumps(stack.airflow.request("GET", "/variables")),
        "event log": json.dumps(stack.airflow.request("GET", "/eventLogs")),
    }
    assert all(len(text) > 30 for text in texts.values()), {where: len(text) for where, text in texts.items()}
    shown = [f"{name} in {where}" for where, text in texts.items() for name, value in secrets.items() if value in text]
    assert [*shown, *in_processes_and_files(secrets)] == []


@pytest.mark.usefixtures("stack")
def test_guessing_a_password_becomes_slow() -> None:
    done = compose_stack.compose("exec", "--no-TTY", "scheduler", "python", "-c", GUESS)
    assert done.returncode == 0, done.stderr
    tokens, forms = json.loads(done.stdout.splitlines()[-1])
    assert (set(tokens[:-1]), tokens[-1]) == ({REFUSED}, TOO_MANY)
    assert (set(forms[:-1]), forms[-1]) == ({302}, TOO_MANY)


@pytest.mark.parametrize(
    ("method", "path", "body", "may"),
    [
        ("GET", "/dags/train_model", None, {"viewer", "operator"}),
        ("POST", "/dags/roll_back_model/dagRuns", {"logical_date": None, "conf": {}}, set()),  # its reason is missing
        ("PATCH", "/dags/roll_back_model?update_mask=is_paused", {"is_paused": False}, {"operator"}),
        ("GET", "/variables", None, {"operator"}),
        ("GET", "/connections", None, {"operator"}),
        ("PATCH", "/pools/default_pool?update_mask=slots", {"slots": 128}, {"operator"}),
        ("GET", "/eventLogs", None, set()),
    ],
)  # fmt: skip
def test_role_says_what_a_person_may_do(
    people: dict[str, Airflow], method: str, path: str, body: dict[str, object] | None, may: set[str]
) -> None:
    done, refusals = set(), {}
    for role, person in people.items():
        try:
            person.request(method, path, body)
            done.add(role)
        except AirflowMlError as error:
            refusals[role] = str(error)
    assert done == may
    for role, refusal in refusals.items():
        wrong_form = role == "operator" and "dagRuns" in path
        assert f"answered {400 if wrong_form else FORBIDDEN}" in refusal


def test_new_password_takes_the_place_of_the_old_one(stack: Stack, people: dict[str, Airflow]) -> None:
    old = people["viewer"]
    new = Airflow(stack.url, new_password(old.user), old.user)
    assert new.request("GET", "/dags/train_model")["dag_id"] == "train_model"
    with pytest.raises(
        AirflowMlError,
        match=f"logging in as {old.user} .* answered {REFUSED}\n.*\n +do: ./airflow-ml account {old.user}",
    ):
        Airflow(stack.url, old.password, old.user).request("GET", "/dags/train_model")
    old.password = new.password
