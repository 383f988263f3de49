"""Airflow's API server in a container, as compose runs it, with its database and one Dag, which has no task."""

import base64
import http.cookiejar
import json
import re
import secrets
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from airflow_ml.secret_files import OF_AIRFLOW, airflow_settings

from tests.harness import PATIENCE_S, ROOT, docker, images, mount_secrets, wait_until

PREFIX = "airflow-ml-airflow-test"
POSTGRES = "postgres:17-trixie"
ADMIN_PASSWORD, OTHER_PASSWORD = "of-admin-and-longer", "of-the-database-and-longer"
SECRETS = {
    **{name: secrets.token_hex(16) for name in OF_AIRFLOW},
    "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
}
DAG = "victim"
DAG_FILE = f"""
from airflow.sdk import DAG
with DAG("{DAG}", schedule=None):
    pass
"""
PORT = 8080


@dataclass
class AirflowServer:
    """The server, and the host name that it has for a browser of this machine."""

    container: str
    address: tuple[str, int]
    host: str

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}"

    def post(self, path: str, body: Any) -> Any:
        """The answer to JSON, without a login."""
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def token(self) -> str:
        """A token of the account admin."""
        return str(self.post("/auth/token", {"username": "admin", "password": ADMIN_PASSWORD})["access_token"])

    def cookies(self) -> str:
        """The header Cookie of a browser in which admin has logged in."""
        jar = http.cookiejar.CookieJar()
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar), _Here)
        field = csrf_field(browser.open(f"{self.url}/auth/login/", timeout=PATIENCE_S).read().decode())
        form = {"username": "admin", "password": ADMIN_PASSWORD, "csrf_token": field}
        with suppress(urllib.error.HTTPError):  # it leads to the address of the settings
            browser.open(f"{self.url}/auth/login/", urllib.parse.urlencode(form).encode(), timeout=PATIENCE_S)
        found = {cookie.name: cookie.value for cookie in jar}
        assert {"_token", "session"} <= found.keys(), found
        return "; ".join(f"{name}={value}" for name, value in found.items())


class _Here(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def csrf_field(page: str) -> str:
    """What the form of a page sends back with it."""
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert found, page[:2000]
    return found[1]


def environment() -> dict[str, str]:
    """What compose gives every service of Airflow, without what comes from .env."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    found = {name: value for name, value in compose["x-airflow"]["environment"].items() if "${" not in value}
    return {**found, "AIRFLOW__API__BASE_URL": f"http://localhost:{PORT}"}


@contextmanager
def serve() -> Iterator[AirflowServer]:
    """The server, once it answers; its network leads nowhere."""
    name = f"{PREFIX}-{secrets.token_hex(4)}"
    database, server = f"{name}-db", f"{name}-api-server"
    dags = Path(tempfile.mkdtemp())
    dags.chmod(0o755)
    (dags / "victim.py").write_text(DAG_FILE)
    options = (
        f"--network={name}", "--cap-drop=ALL", "--security-opt=no-new-privileges",
        f"--volume={ROOT / 'dags'}:/opt/airflow/dags:ro", f"--volume={dags}:/opt/airflow/victims:ro",
        *(f"--env={key}={value}" for key, value in environment().items()),
        "--env=AIRFLOW__CORE__DAGS_FOLDER=/opt/airflow/victims",
        *mount_secrets(**{"airflow.cfg": airflow_settings(SECRETS), "admin_password": ADMIN_PASSWORD,
                          "mlflow_postgres_password": OTHER_PASSWORD}),
    )  # fmt: skip
    docker("network", "create", "--internal", name)
    try:
        settings = {"POSTGRES_USER": "airflow", "POSTGRES_PASSWORD": SECRETS["postgres_password"]}
        values = [f"--env={key}={value}" for key, value in settings.items()]
        docker("run", "--detach", f"--name={database}", f"--network={name}", "--network-alias=postgres", *values,
               POSTGRES)  # fmt: skip
        ready = ("exec", database, "pg_isready", "--quiet", "--host=127.0.0.1", "--username=airflow")
        wait_until(lambda: docker(*ready, check=False).returncode == 0, "Postgres is ready", database)
        for command in (["python", "/opt/service/init.py"], ["airflow", "dags", "reserialize"]):
            docker("run", "--rm", *options, images()["airflow"], *command)
        docker("run", "--detach", f"--name={server}", "--memory=1500m", "--memory-swap=1500m", *options,
               images()["airflow"], "airflow", "api-server")  # fmt: skip
        probe = ("exec", server, "python", "/opt/service/healthcheck.py", "api-server")
        wait_until(lambda: docker(*probe, check=False).returncode == 0, "Airflow is ready", server)
        template = f'--format={{{{(index .NetworkSettings.Networks "{name}").IPAddress}}}}'
        yield AirflowServer(server, (docker("inspect", server, template).stdout.strip(), PORT), f"localhost:{PORT}")
    finally:
        docker("rm", "--force", "--volumes", server, database, check=False)
        docker("network", "rm", name, check=False)
