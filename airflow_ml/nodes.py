"""Tries the data's folder on each node of a swarm: stages run only where it is safe.

A node that passes gets a label, which the stages' containers ask for (dags/ml/placement.py); one that fails loses it.
"""

import json
import re
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from airflow_ml.common import AirflowMlError, docker, image_lock, locked_image, try_docker
from airflow_ml.data import DATA_FOLDER, Data

CHECK = ("-m", "stagekit.check_storage", "--changes=20")
SAFE = "safe"
# A node may have to pull the base image before it joins.
JOIN_S = 120


@dataclass(frozen=True)
class Node:
    """A node of the swarm that may get work; `here` is the manager that was asked."""

    id: str
    name: str
    here: bool
    is_safe: bool


def label_of(folder: str) -> str:
    """The label of a node on which a folder is safe: airflow-ml.srv.ml for /srv/ml."""
    return "airflow-ml" + re.sub(r"[^A-Za-z0-9]+", ".", folder).rstrip(".")


def nodes_of(data: Data) -> list[Node]:
    """The nodes that are ready and active, by name. Errors: AirflowMlError if this engine is no manager."""
    ids = docker("node", "ls", "--quiet").split()
    this = docker("info", "--format", "{{.Swarm.NodeID}}").strip()
    found: list[dict[str, Any]] = json.loads(docker("node", "inspect", *ids))
    usable = [one for one in found if (one["Status"]["State"], one["Spec"]["Availability"]) == ("ready", "active")]
    nodes = [
        Node(one["ID"], one["Description"]["Hostname"], one["ID"] == this,
             (one["Spec"].get("Labels") or {}).get(label_of(data.source)) == SAFE)
        for one in usable
    ]  # fmt: skip
    return sorted(nodes, key=lambda node: node.name)


def check_new_nodes(data: Data) -> Iterator[str]:
    """Try the folder on each node that has no label; a text for each on which no stage will run, and why."""
    try:
        for node in nodes_of(data):
            if not node.is_safe and (done := check_node(node, data)).returncode:
                yield f"no stage will run on {node.name}: {what_is_wrong(done)}"
    except AirflowMlError as error:
        yield f"no stage will run on a node that was not checked: {error}"


def what_is_wrong(done: "subprocess.CompletedProcess[str]") -> str:
    """What a check that failed found."""
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1].split("check-storage: ")[-1]


def check_node(node: Node, data: Data) -> "subprocess.CompletedProcess[str]":
    """Try the folder on a node, then set or remove its label; returns what the check printed, and its exit code.

    Errors: AirflowMlError if the check cannot start.
    """
    done = check_here(data) if node.here else _check_with(node, data)
    label = label_of(data.source)
    if done.returncode and node.is_safe:
        docker("node", "update", "--label-rm", label, node.id)
    if not done.returncode and not node.is_safe:
        docker("node", "update", "--label-add", f"{label}={SAFE}", node.id)
    return done


def check_here(data: Data) -> "subprocess.CompletedProcess[str]":
    """Try the folder with two processes of this host."""
    mount = data.mount(DATA_FOLDER, writable=True)
    return try_docker("run", "--rm", *data.confined, mount, locked_image("base"), *CHECK)


def _check_with(node: Node, data: Data) -> "subprocess.CompletedProcess[str]":
    """This host and a job on the node check together."""
    image = image_lock().get("base", {}).get("pushed")
    if not image:
        raise AirflowMlError("the base image was not pushed", do="./build_images.sh --push ADDRESS")
    name, mount = f"airflow-ml-check-{uuid.uuid4().hex[:8]}", data.mount(DATA_FOLDER, writable=True)
    meet = (*CHECK, f"--meet={name}", f"--wait={JOIN_S}")
    try:
        docker(
            "service", "create", "--quiet", "--detach", f"--name={name}", "--mode=replicated-job",
            "--restart-condition=none", f"--constraint=node.id=={node.id}", "--read-only", "--cap-drop=ALL",
            f"--user={data.user}", mount, image, *meet,
        )  # fmt: skip
        here = ("run", "--rm", f"--name={name}", *data.confined, mount, locked_image("base"))
        done = try_docker(*here, *meet)
        job = try_docker("service", "ps", "--no-trunc", "--format", "{{.CurrentState}} {{.Error}}", name).stdout
    finally:
        try_docker("service", "rm", name)
        try_docker("rm", "--force", name)
    done.stderr = f"{done.stderr.rstrip()}; the job on {node.name}: {' '.join(job.split()) or 'was not made'}"
    return done
