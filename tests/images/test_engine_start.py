"""The set-up starts an engine where none runs, also after one that was killed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness import PATIENCE_S, ROOT, images

# In namespaces of its own: its network leads nowhere, its engine ends with it. What `/run` holds there is new, so the
# script finds neither the usual engine nor systemd.
NAMESPACES = ("unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
SCRIPT = """
mount -t tmpfs tmpfs /run
ip link set lo up
start() { mkdir "$1"; mount --bind "$1" /var/lib/docker; setup/ensure_engine.sh; docker load --quiet --input "$1.tar"; }
listen() {
  docker run --detach --rm --publish=127.0.0.1:8000:8000 --entrypoint=python "$IMAGE" -m http.server
  docker inspect --format='ADDRESS {{.NetworkSettings.IPAddress}}' "$(docker ps --quiet)"
}

start "$FOLDER/one"
listen
docker network create left
# All but this shell: it is the first process of its namespace.
kill -KILL -1
umount /var/lib/docker
ip link delete "$(ip -oneline link show type bridge | grep -o 'br-[0-9a-f]*')"
echo "LEFT $(iptables --table nat --list-rules POSTROUTING | grep -c ' br-')"
echo "LEFT $(ls /run/docker/netns | wc -l)"

start "$FOLDER/two"
listen
for _ in $(seq 100); do
  python3 -c 'import urllib.request; print("ANSWER", urllib.request.urlopen("http://127.0.0.1:8000").status)' && break
  sleep 0.2
done
echo "NAMESPACES $(ls /run/docker/netns | wc -l)"
echo "RULES $(iptables --table nat --list-rules POSTROUTING | grep -c ' br-')"
"""


def test_container_is_reached_though_an_engine_was_killed_before(tmp_path: Path) -> None:
    missing = [program for program in ("dockerd", "ip", "unshare") if not shutil.which(program)]
    if os.geteuid() != 0 or missing:
        raise pytest.UsageError(f"needs root rights on Linux; found: user {os.geteuid()}, without {missing}")
    image = images()["base"]
    for name in ("one", "two"):
        subprocess.run(["docker", "save", "--output", tmp_path / f"{name}.tar", image], check=True)
    done = subprocess.run(
        [*NAMESPACES, "bash", "-c", SCRIPT],
        cwd=ROOT, text=True, capture_output=True, timeout=PATIENCE_S, check=False,
        env={**os.environ, "IMAGE": image, "FOLDER": str(tmp_path), "ENGINE_LOG": str(tmp_path / "log")},
    )  # fmt: skip
    found = done.stdout.splitlines()
    assert [line for line in found if line.startswith("LEFT")] == ["LEFT 1"] * 2, done.stderr
    assert [line for line in found if line.startswith("ADDRESS")] == ["ADDRESS 172.17.0.2"] * 2
    assert "ANSWER 200" in found, done.stderr
    assert "NAMESPACES 1" in found
    assert "RULES 0" in found
