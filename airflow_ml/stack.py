"""Starts, stops and removes the compose stack: Postgres, Airflow, MLflow, the reports, the engine proxy."""

import argparse
import base64
import http.client
import json
import re
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from airflow_ml import nodes
from airflow_ml.common import ROOT, AirflowMlError, docker, project, restore_marker, settings, try_docker
from airflow_ml.data import load_data
from airflow_ml.images.prune import prune
from airflow_ml.make_env import make_env
from airflow_ml.secret_files import remove_secrets, write_secrets

# What programs write to colour and clear a terminal's lines.
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# The columns of the table of runs, which the stage registry keeps in a tag of the experiment.
VIEW, VIEW_TAG = "&viewStateShareKey=columns", "mlflow.sharedViewState.columns"
# The account of people at MLflow and the reports.
PEOPLE = "ml"
# What Postgres writes about the files of another major version.
MAJORS = re.compile(r"initialized by PostgreSQL version (\d+), which is not compatible with this version (\d+)")
AGAIN = "./airflow-ml clean, once that is put right"


def compose(*arguments: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
    """Run `docker compose` in the project's folder; it writes errors, and not every step."""
    return try_docker("compose", "--ansi", "never", "--progress", "quiet", *arguments, stdin=stdin)


def pages() -> dict[str, str]:
    """The addresses of Airflow, MLflow and the reports on this machine."""
    found = settings()
    return {name: f"http://localhost:{found[f'ML_{name.upper()}_PORT']}" for name in ("airflow", "mlflow", "reports")}


def port_of(text: str) -> int | None:
    """The port that a setting names; None if it names none."""
    return int(text) if text.isdecimal() and 0 < int(text) < 65536 else None


def is_taken(port: int) -> bool:
    """Whether a program listens on a port of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0


def require_pages(*names: str) -> None:
    """Errors: AirflowMlError if nothing listens at one of these pages, so that nobody waits for an answer.

    On Kubernetes a page has its port, and no service of compose.
    """
    ports = {pages()[name]: port_of(pages()[name].rpartition(":")[2]) for name in names}
    if silent := [page for page, port in ports.items() if port is None or not is_taken(port)]:
        raise AirflowMlError(f"nothing listens at {', '.join(silent)}: the stack does not run", do="make up")


def runs_page(mlflow: str, model: str) -> str:
    """The page of MLflow with the runs of a model; the list of experiments where MLflow does not name its own yet."""
    query = urllib.parse.urlencode({"experiment_name": model})
    asked = urllib.request.Request(f"{mlflow}/api/2.0/mlflow/experiments/get-by-name?{query}", headers=page_login())
    try:
        with urllib.request.urlopen(asked, timeout=3) as answer:
            found = json.load(answer)["experiment"]
            page = mlflow_page(mlflow, f"experiments/{found['experiment_id']}/runs")
            # MLflow refuses the key of a view that it does not have.
            return page + (VIEW if VIEW_TAG in [tag["key"] for tag in found.get("tags", [])] else "")
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return mlflow_page(mlflow, "experiments")


def page_login() -> dict[str, str]:
    """The header with which people log in to MLflow and the reports."""
    word = base64.b64encode(f"{PEOPLE}:{settings().get('ML_PAGES_PASSWORD', '')}".encode()).decode()
    return {"Authorization": f"Basic {word}"}


def mlflow_page(mlflow: str, place: str) -> str:
    """A page of MLflow; without the query MLflow shows it among those of generative AI, where runs have no table."""
    return f"{mlflow}/#/{place}?workflowType=machine_learning"


def addresses() -> list[str]:
    """Where the pages are, for people, a line each."""
    found = pages()
    mlflow = runs_page(found["mlflow"], settings()["ML_MODEL_NAME"])
    return [
        f"Airflow  {found['airflow']}   user admin; its password: grep ML_ADMIN_PASSWORD .env",
        f"MLflow   {mlflow}   user {PEOPLE}; its password: grep ML_PAGES_PASSWORD .env",
        f"Reports  {found['reports']}   the same user and password",
    ]


def show_addresses(arguments: argparse.Namespace) -> int:
    """Prints the addresses of Airflow, MLflow and the reports on this machine.

    Exit codes: 0 printed; 1 printed, but nothing listens at one of them; 2 wrong usage.
    """
    print("\n".join(addresses()), flush=True)
    require_pages(*pages())
    return 0


@dataclass(frozen=True)
class Service:
    """A service as compose sees it: its state, such as running, and its health; `init` has done its work."""

    name: str
    state: str
    exit_code: int
    health: str

    @property
    def is_well(self) -> bool:
        """Whether it runs and is healthy, or has ended well if it is the one that only prepares."""
        return self.health == "healthy" or (self.name, self.state, self.exit_code) == ("init", "exited", 0)

    @property
    def hangs(self) -> bool:
        """Whether its process is there and does not answer; the engine starts only what has ended again."""
        return self.state == "paused" or (self.state, self.health) == ("running", "unhealthy")


def services() -> list[Service]:
    """The services of this installation that have a container; none if it was never started, or was stopped.

    Errors: AirflowMlError if compose refuses the settings of `.env`, such as those of before an upgrade.
    """
    form = "{{.Service}}\t{{.State}}\t{{.ExitCode}}\t{{.Health}}"
    done = compose("ps", "--all", "--format", form)
    if done.returncode and (ROOT / ".env").exists():
        raise AirflowMlError(
            f"docker compose cannot list the services: {done.stderr.strip()}",
            do="make up, which adds what .env lacks, or correct .env",
        )
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    return [Service(name, state, int(code), health) for name, state, code, health in lines]


# --- start ---


def unhealthy_services(*names: str) -> list[str]:
    """Why the stack is not up: each service that is not healthy, with the end of its log; `names` leaves out others."""
    form = "{{.ID}} {{.Service}} {{.State}} {{.ExitCode}} {{.Health}}"
    listing = compose("ps", "--all", "--format", form, *names).stdout
    report = []
    for line in listing.splitlines():
        container, service, *state = line.split()
        if state[-1] == "healthy" or (service, *state) == ("init", "exited", "0"):
            continue
        logs = ESCAPES.sub("", compose("logs", "--no-log-prefix", "--tail", "8", service).stdout).strip()
        health = "{{with .State.Health}}{{(index .Log 0).Output}}{{end}}"
        check = try_docker("inspect", "--format", health, container).stdout.strip()
        report.append("\n  ".join([f"{service}: {' '.join(state)}", *logs.splitlines(), *check.splitlines()]))
    return report


def advice(report: str, ports: Mapping[str, str]) -> str:
    """What to do about a stack that does not start; `ports` are the settings."""
    general = "read the lines above; `docker compose ps` and `docker compose logs SERVICE` show more"
    return known_remedy(report, ports) or general


def remedy() -> str:
    """What to do about the services that are not healthy now; empty if their logs do not show a cause that is known."""
    return known_remedy("\n".join(unhealthy_services()), settings())


def known_remedy(report: str, ports: Mapping[str, str]) -> str:
    """What to do about a cause that is known; otherwise empty."""
    if 'password authentication failed for user "airflow"' in report:
        return (
            "the database was made with the password of another .env. Put that .env back, or remove the database "
            f"with its runs and Variables: 'make down', then 'docker volume rm {project()}_postgres'. If it is the "
            "database of this installation, './airflow-ml rotate postgres_password' gives it another"
        )
    if "Can't locate revision identified by" in report:
        return (
            "a newer version has changed the database. Put that version back; or remove the database and restore a "
            'backup that was taken before the upgrade: docs/operate.md, "Upgrade to a newer version"'
        )
    if majors := MAJORS.search(report):
        return other_major(*majors.groups())
    if taken := re.search(r"127\.0\.0\.1:(\d+)\b.*(?:port is already allocated|address already in use)", report):
        variables = [name for name, value in ports.items() if name.endswith("_PORT") and value == taken[1]]
        return f"another program has port {taken[1]}; set {' or '.join(variables) or 'it'} in .env to one that is free"
    return ""


def other_major(made: str, here: str) -> str:
    """What to do about a database that another major version of Postgres made than the one that is here."""
    if int(made) > int(here):
        return f"the database is of Postgres {made}: put an image of {made} back into docker-compose.yml"
    return (
        f"Postgres {here} cannot read a database of Postgres {made}; nothing is lost. With a backup of its last state, "
        f"run './airflow-ml restore --databases FOLDER'. Without one, put the image of {made} back into "
        f"docker-compose.yml, run './airflow-ml up' and './airflow-ml backup', put the image of {here} in again, and "
        "run that restore"
    )


def is_up() -> bool:
    """Whether every service runs, healthy, with the settings and the image that it would get now."""
    wanted = dict(line.split() for line in compose("config", "--hash", "*").stdout.splitlines())
    label = f"label=com.docker.compose.project={project()}"
    form = '{{.Label "com.docker.compose.service"}} {{.Label "com.docker.compose.config-hash"}} {{.Status}}'
    found = try_docker("ps", "--all", "--filter", label, "--format", form).stdout.splitlines()
    containers = {service: (config, status) for service, config, status in (line.split(" ", 2) for line in found)}
    for service, config in wanted.items():
        found_config, status = containers.get(service, ("", ""))
        done = status.startswith("Exited (0)") if service == "init" else status.endswith("(healthy)")
        if found_config != config or not done:
            return False
    return bool(wanted)


def with_old_secrets() -> list[str]:
    """The services that started before a secret of theirs was written: compose does not compare secrets."""
    config = json.loads(compose("config", "--format", "json").stdout or "{}")
    written = {name: Path(secret["file"]).stat().st_mtime for name, secret in config.get("secrets", {}).items()}
    newest = {
        name: max((written[secret["source"]] for secret in service.get("secrets", [])), default=0.0)
        for name, service in config.get("services", {}).items()
    }
    return [name for name, started in started_services().items() if started < newest.get(name, 0.0)]


def started_services() -> dict[str, float]:
    """When each service of this installation was started last, in seconds since 1970; without those that never were."""
    containers = compose("ps", "--all", "--quiet").stdout.split()
    form = '{{index .Config.Labels "com.docker.compose.service"}} {{.State.StartedAt}}'
    lines = try_docker("inspect", "--format", form, *containers).stdout.splitlines() if containers else []
    pairs = [line.split() for line in lines]
    # Of the nine digits of a second, Python reads six.
    times = {name: re.sub(r"(\.\d{6})\d*", r"\1", at).replace("Z", "+00:00") for name, at in pairs}
    return {name: datetime.fromisoformat(at).timestamp() for name, at in times.items() if not at.startswith("0001")}


def container_of(service: str) -> str:
    """The id of a service's container, also of one that has ended; empty if there is none."""
    return compose("ps", "--all", "--quiet", service).stdout.strip()


def require_restored() -> None:
    """Errors: AirflowMlError if a restore has not filled the databases: each service would make what it misses."""
    if (marker := restore_marker()).exists():
        again = marker.read_text(encoding="utf-8")
        raise AirflowMlError(
            "a restore has not ended well, so a database is missing or not whole",
            do=f"{again}. If you have no backup, remove {marker}: what is missing then begins empty",
        )


def start() -> None:
    """Start the stack, if it is not up, and restart a service that hangs.

    Errors: AirflowMlError with each service that is not healthy, and what to do.
    """
    require_restored()
    write_secrets()
    if old := with_old_secrets():
        compose("rm", "--force", "--stop", *old)
    if hanging := [service.name for service in services() if service.hangs]:
        print(f"==> Restarting what does not answer: {', '.join(hanging)}", file=sys.stderr)
        compose("restart", *hanging)
    if is_up():
        print("==> Airflow, MLflow and the reports are up", file=sys.stderr)
    else:
        _start_services()
    if settings()["ML_ENGINE"] == "swarm":
        for problem in nodes.check_new_nodes(load_data()):
            print(f"    {problem}", file=sys.stderr)


def _start_services() -> None:
    started = time.monotonic()
    print(
        "==> Starting Postgres, MLflow, the reports, the engine proxy and Airflow (the first start takes a minute)",
        file=sys.stderr,
    )
    done = compose("up", "--detach", "--wait", "--remove-orphans")
    if done.returncode:
        report = "\n".join([done.stderr.strip(), *unhealthy_services()])
        raise AirflowMlError(f"the stack did not start\n{report}", do=advice(report, settings()))
    print(f"    up after {time.monotonic() - started:.0f} s", file=sys.stderr)


def renew_admin() -> None:
    """Have `init` set the password of `.env` for Airflow's account `admin`. Errors: AirflowMlError."""
    write_secrets()
    # Without --no-deps: compose would make `init` with other settings, and the stack would not count as up.
    done = compose("up", "--detach", "--force-recreate", "init")
    code = try_docker("wait", container_of("init")).stdout.strip() if done.returncode == 0 else ""
    if code != "0":
        report = "\n".join([done.stderr.strip(), *unhealthy_services()])
        raise AirflowMlError(f"Airflow did not take the password of .env\n{report}", do="make up, which tries it again")


# --- stop ---


def down(arguments: argparse.Namespace) -> int:
    """Stops the stack; data, database and images are kept.

    Exit codes: 0 stopped; 1 failed; 2 wrong usage.
    """
    if not (ROOT / ".env").exists():
        print("nothing to stop: there is no .env, so nothing was started from this folder", file=sys.stderr)
        return 0
    make_env()  # compose refuses an older .env, which lacks a setting
    done = compose("down", "--remove-orphans")
    print("stopped" if done.returncode == 0 else done.stderr, file=sys.stderr)
    return min(done.returncode, 1)


def clean(arguments: argparse.Namespace) -> int:
    """Stops the stack and removes its database, the data in a volume and our images.

    Keeps .env, data in a host folder, and the images that another stack on this engine needs.
    Exit codes: 0 removed; 1 failed, the message says why, and secrets, lock and images are kept; 2 wrong usage.
    """
    if (ROOT / ".env").exists():
        make_env()  # compose refuses an older .env, which lacks a setting
        data = settings()["ML_DATA"]
        require_free(own_volumes(data), data)
        must_compose("stop", do=AGAIN)
        # Before the networks: a stage that still runs may be on one.
        remove("container", docker("ps", "--all", "--quiet", "--filter", f"label=airflow-ml.data={data}").split())
        must_compose("down", "--volumes", "--remove-orphans", do=AGAIN)
        # What compose did not make, and what it left without an error because it is in use.
        ours = f"label=com.docker.compose.project={project()}"
        remove("network", docker("network", "ls", "--format", "{{.Name}}", "--filter", ours).split())
        remove("volume", own_volumes(data))
        if data.startswith("/"):
            print(f"the data in {data} is yours to remove", file=sys.stderr)
    remove_secrets()
    restore_marker().unlink(missing_ok=True)
    (ROOT / "dags" / "images.lock.json").unlink(missing_ok=True)
    removed, kept = prune(needed=())
    try_docker("image", "rm", *{f"{name.rpartition(':')[0]}:latest" for name in removed})
    lines = [*(f"kept {line}" for line in kept), f"removed the stack and {len(removed)} images; .env is kept"]
    print("\n".join(lines), file=sys.stderr)
    return 0


def own_volumes(data: str) -> list[str]:
    """The volumes of this installation that the engine has.

    :param data: where the data is, a volume that compose may not have made, or a host folder
    """
    ours = docker("volume", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={project()}").split()
    return sorted({*ours, *({data} & set(docker("volume", "ls", "--quiet").split()))})


def require_free(names: Iterable[str], data: str) -> None:
    """Errors: AirflowMlError if a container that is not of this installation has one of these volumes."""
    form = '{{.Names}}\t{{.Label "com.docker.compose.project"}}\t{{.Label "airflow-ml.data"}}'
    for name in names:
        lines = docker("ps", "--all", "--filter", f"volume={name}", "--format", form).splitlines()
        found = [line.split("\t") for line in lines]
        if others := sorted(container for container, owner, of in found if owner != project() and of != data):
            raise AirflowMlError(
                f"the volume {name} is in use, by {', '.join(others)}; nothing is removed",
                do=f"docker rm --force {' '.join(others)}, if nobody needs them; then ./airflow-ml clean",
            )


def must_compose(*arguments: str, do: str) -> str:
    """The output of compose. Errors: AirflowMlError with what it said, and what to do."""
    done = compose(*arguments)
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
        raise AirflowMlError(f"docker compose {' '.join(arguments)} failed: {said}", do=do)
    return done.stdout


def remove(kind: str, names: Sequence[str]) -> None:
    """Remove containers, networks or volumes. Errors: AirflowMlError with those that stay, and why."""
    if not names:
        return
    done = try_docker(kind, "rm", "--force", *names)
    # A container of a stage may be on its way out.
    said = [line for line in done.stderr.splitlines() if "No such" not in line and "already in progress" not in line]
    if done.returncode and said:
        raise AirflowMlError(f"docker {kind} rm failed: {' '.join(said)}", do=AGAIN)
