"""Starts, stops and removes the compose stack, saying what it does. Usage: stack.py up|down|clean."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OURS = "airflow-ml-*"
# What programs write to colour and clear a terminal's lines.
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def settings() -> dict[str, str]:
    """The settings of `.env`; as with compose, the environment wins."""
    lines = (ROOT / ".env").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if not line.startswith("#"))
    return {name: os.environ.get(name, value) for name, sign, value in pairs if sign}


def compose(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = ["docker", "compose", "--ansi", "never", *arguments]
    return subprocess.run(command, cwd=ROOT, text=True, input=stdin, capture_output=True, check=False)


def lines_of(*command: str) -> list[str]:
    return subprocess.run(command, text=True, capture_output=True, check=True).stdout.split()


def unhealthy_services() -> list[str]:
    """What keeps the stack from being up: each service that is not healthy, with its last words."""
    listing = compose("ps", "--all", "--format", "{{.ID}} {{.Service}} {{.State}} {{.ExitCode}} {{.Health}}").stdout
    report = []
    for line in listing.splitlines():
        container, service, *state = line.split()
        if state[-1] == "healthy" or (service, *state) == ("init", "exited", "0"):
            continue
        logs = ESCAPES.sub("", compose("logs", "--no-log-prefix", "--tail", "8", service).stdout).strip()
        health = ["docker", "inspect", "--format", "{{with .State.Health}}{{(index .Log 0).Output}}{{end}}", container]
        check = subprocess.run(health, text=True, capture_output=True, check=False).stdout.strip()
        report.append("\n  ".join([f"{service}: {' '.join(state)}", *logs.splitlines(), *check.splitlines()]))
    return report


def advice(report: str) -> str:
    """What to do about a stack that does not start."""
    if 'password authentication failed for user "airflow"' in report:
        return (
            "the database was made with the password of another .env. Put that .env back, or give the database up, "
            "with its runs and Variables: 'make down', then 'docker volume rm airflow-ml_postgres'"
        )
    if taken := re.search(r"127\.0\.0\.1:(\d+)\b.*(?:port is already allocated|address already in use)", report):
        variables = [name for name, value in settings().items() if name.endswith("_PORT") and value == taken[1]]
        return f"another program has port {taken[1]}; set {' or '.join(variables) or 'it'} in .env to one that is free"
    return "read the lines above; `docker compose ps` and `docker compose logs SERVICE` say more"


def is_up() -> bool:
    """Whether every service runs, healthy, with the settings and the image that it would get now."""
    wanted = dict(line.split() for line in compose("config", "--hash", "*").stdout.splitlines())
    project = f"label=com.docker.compose.project={os.environ.get('COMPOSE_PROJECT_NAME', 'airflow-ml')}"
    form = '{{.Label "com.docker.compose.service"}} {{.Label "com.docker.compose.config-hash"}} {{.Status}}'
    command = ["docker", "ps", "--all", "--filter", project, "--format", form]
    found = subprocess.run(command, text=True, capture_output=True, check=False).stdout.splitlines()
    containers = {service: (config, status) for service, config, status in (line.split(" ", 2) for line in found)}
    for service, config in wanted.items():
        found_config, status = containers.get(service, ("", ""))
        done = status.startswith("Exited (0)") if service == "init" else status.endswith("(healthy)")
        if found_config != config or not done:
            return False
    return bool(wanted)


def holds_old_addresses() -> bool:
    """Whether the services send alerts where `.env` no longer says: compose does not look into a secret."""
    # Compose itself reads the setting, as it knows quotes and `$`.
    probe = {"services": {"x": {"image": "x", "environment": {"URLS": "${ML_ALERT_URLS-}"}}}}
    read = compose("--file", "-", "config", "--format", "json", stdin=json.dumps(probe))
    wanted = json.loads(read.stdout)["services"]["x"]["environment"]["URLS"].replace("$$", "$")
    code = "print(open('/run/secrets/alert_urls').read(), end='')"
    held = compose("exec", "--no-TTY", "scheduler", "python", "-c", code)
    return held.returncode == 0 and held.stdout != wanted


def up() -> int:
    renew = ["--force-recreate"] if holds_old_addresses() else []
    if is_up() and not renew:
        print("==> Airflow, MLflow and the reports are up", file=sys.stderr)
        return 0
    started = time.monotonic()
    print(
        "==> Starting Postgres, MLflow, the reports, the engine proxy and Airflow (about a minute at first)",
        file=sys.stderr,
    )
    done = compose("up", "--detach", "--wait", "--remove-orphans", *renew)
    if done.returncode:
        print("error: the stack did not start", file=sys.stderr)
        report = "\n".join([done.stderr.strip(), *unhealthy_services()])
        print(report, file=sys.stderr)
        print(f"do: {advice(report)}", file=sys.stderr)
        return 1
    print(f"    up after {time.monotonic() - started:.0f} s", file=sys.stderr)
    return 0


def down() -> int:
    if not (ROOT / ".env").exists():
        print("nothing to stop: there is no .env, so nothing was started from this folder", file=sys.stderr)
        return 0
    done = compose("down", "--remove-orphans")
    print("stopped" if done.returncode == 0 else done.stderr, file=sys.stderr)
    return done.returncode


def clean() -> int:
    """Remove containers, volumes and images of ours; a host folder with data is left to its owner."""
    if (ROOT / ".env").exists():
        data = settings().get("ML_DATA", "data")
        # Before the networks: a stage that still runs may be on one.
        compose("stop")
        remove("container", lines_of("docker", "ps", "--all", "--quiet", "--filter", f"label=airflow-ml.data={data}"))
        compose("down", "--volumes", "--remove-orphans")
        if data.startswith("/"):
            print(f"the data in {data} is yours to remove", file=sys.stderr)
        else:
            remove("volume", [data])
    images = lines_of("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={OURS}")
    remove("image", images)
    (ROOT / "dags" / "images.lock.json").unlink(missing_ok=True)
    print(f"removed the stack and {len(images)} image tags; .env is kept", file=sys.stderr)
    return 0


def remove(kind: str, names: list[str]) -> None:
    """Remove containers, volumes or images; what is still in use is named and stays."""
    if names:
        done = subprocess.run(["docker", kind, "rm", "--force", *names], text=True, capture_output=True, check=False)
        print(done.stderr, end="", file=sys.stderr)


def main() -> int:
    actions = {"up": up, "down": down, "clean": clean}
    if len(sys.argv) != 2 or sys.argv[1] not in actions:
        print(__doc__, file=sys.stderr)
        return 2
    return actions[sys.argv[1]]()


if __name__ == "__main__":
    sys.exit(main())
