"""The engine proxy's image before the real engine: what it lets through works, and nothing else gets through."""

import json
import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import docker as docker_py
import pytest
from docker.errors import APIError, NotFound
from docker.types import Mount

from tests.attacks.bodies import OTHER
from tests.attacks.requests import CHUNKS, CREATE, OTHERS
from tests.harness import PATIENCE_S, ROOT, docker, images, wait_until
from tests.images.proxy_lab import (
    OUR_LABEL,
    PROBE,
    PROBE_DOCKERFILE,
    SOCKET,
    UPGRADE,
    Proxy,
    chunked,
    connect,
    request,
)

COUNT_SOCKETS = """
import glob, os
print(sum(os.path.islink(f) and os.readlink(f).startswith("socket:") for f in glob.glob("/proc/[0-9]*/fd/*")))
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[docker_py.APIClient]:
    """The engine itself, not through a proxy."""
    with closing(docker_py.APIClient(f"unix://{SOCKET}")) as client:
        yield client


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A stage image that does what its arguments say."""
    folder = tmp_path_factory.mktemp("probe")
    (folder / "probe.py").write_text(PROBE)
    (folder / "Dockerfile").write_text(PROBE_DOCKERFILE.format(base=images()["base"]))
    name = f"airflow-ml-probe:{secrets.token_hex(6)}"
    docker("build", "--quiet", "--tag", name, str(folder))
    yield name
    docker("image", "rm", "--force", name)


@pytest.fixture(scope="module")
def volume() -> Iterator[str]:
    """The data volume, which belongs to the stages' user as the images' /data does."""
    name = f"airflow-ml-test-{secrets.token_hex(6)}"
    yield name
    docker("volume", "rm", "--force", name)


@pytest.fixture(scope="module")
def proxy(volume: str, engine: docker_py.APIClient) -> Iterator[Proxy]:
    """A proxy that gives a client 2 s to send its request, so that longer silences show what they are worth."""
    with Proxy(f"--env=ML_DATA={volume}", "--env=ML_PROXY_REQUEST_SECONDS=2") as one:
        yield one
    for left in ours(engine, volume):
        engine.remove_container(left, force=True)


@pytest.fixture(scope="module")
def client(proxy: Proxy) -> Iterator[docker_py.APIClient]:
    with closing(proxy.client()) as one:
        yield one


@pytest.fixture(scope="module")
def body(probe: str, volume: str) -> dict[str, Any]:
    """A body that the proxy lets through."""
    return {
        "Image": probe,
        "User": "10001:10001",
        "Labels": {"airflow-ml.test": volume},
        "HostConfig": {
            "NetworkMode": "none", "ReadonlyRootfs": True, "CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"],
            "Memory": 128 << 20, "MemorySwap": 128 << 20, "PidsLimit": 64,
            "Mounts": [{"Type": "volume", "Source": volume, "Target": "/data"}],
        },
    }  # fmt: skip


@pytest.fixture
def start(client: docker_py.APIClient, body: dict[str, Any]) -> Callable[..., str]:
    """Create and start a probe through the proxy."""

    def run(*words: str) -> str:
        container: str = client.create_container_from_config({**body, "Cmd": list(words)})["Id"]
        client.start(container)
        return container

    return run


@pytest.fixture
def foreign(engine: docker_py.APIClient, probe: str) -> Iterator[str]:
    """A container that somebody else runs on the same engine."""
    container: str = engine.create_container(probe, ["sleep=300"], labels={"airflow-ml.dag": "looks like ours"})["Id"]
    engine.start(container)
    yield container
    engine.remove_container(container, force=True)


def ours(engine: docker_py.APIClient, volume: str) -> set[str]:
    """The containers of these tests; a stack of the project's may run on the same engine."""
    return {found["Id"] for found in engine.containers(all=True, filters={"label": f"airflow-ml.test={volume}"})}


# --- what the operators do ---


@pytest.fixture(scope="module")
def docker_operator(
    proxy: Proxy, probe: str, volume: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """Airflow's own DockerOperator, with the settings it has no parameters for put in by its client."""
    os.environ.setdefault("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
    from airflow.providers.docker.operators.docker import DockerOperator

    def make(*words: str, **arguments: Any) -> DockerOperator:
        operator = DockerOperator(
            **{
                "task_id": "probe", "image": probe, "command": list(words), "docker_url": proxy.url,
                "user": "10001:10001", "network_mode": "none", "mem_limit": "128m", "auto_remove": "force",
                "mount_tmp_dir": False, "mounts": [Mount("/data", volume)], "labels": {"airflow-ml.test": volume},
                "log_opts_max_size": "10m", **arguments,
            }
        )  # fmt: skip
        plain = operator.cli.create_host_config
        confined = {"memswap_limit": "128m", "pids_limit": 64, "read_only": True, "tmpfs": {"/tmp": "rw,noexec"}}  # noqa: S108
        operator.cli.create_host_config = lambda **given: plain(
            **given, **confined, cap_drop=["ALL"], security_opt=["no-new-privileges"]
        )
        return operator

    return make


def test_docker_operator_runs_a_stage_and_leaves_nothing(
    docker_operator: Callable[..., Any], engine: docker_py.APIClient
) -> None:
    operator = docker_operator("say=working", "write=a-file", 'say={"rows": 3}')
    assert operator.execute({}) == '{"rows": 3}'
    with pytest.raises(NotFound):
        engine.inspect_container(operator.container["Id"])


def test_docker_operator_learns_the_exit_code(docker_operator: Callable[..., Any]) -> None:
    from airflow.providers.docker.exceptions import DockerContainerFailedException

    with pytest.raises(DockerContainerFailedException, match="'StatusCode': 3") as failed:
        docker_operator("say=bad input", "exit=3").execute({})
    assert failed.value.logs == ["bad input"]


def test_docker_operator_that_is_killed_leaves_no_container(
    docker_operator: Callable[..., Any], engine: docker_py.APIClient
) -> None:
    operator = docker_operator("say=started", "sleep=300")
    errors: list[BaseException] = []

    def work() -> None:
        try:
            operator.execute({})
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: operator.container, "the container is created")
    container = operator.container["Id"]
    wait_until(lambda: engine.inspect_container(container)["State"]["Running"], "the container runs")
    operator.on_kill()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert errors
    with pytest.raises(NotFound):
        engine.inspect_container(container)


def test_docker_operator_gets_the_advice_to_build_a_missing_image(docker_operator: Callable[..., Any]) -> None:
    with pytest.raises(APIError, match=r"never pulled; do: run \./build_images\.sh"):
        docker_operator("say=x", image="airflow-ml-missing:1").execute({})


def test_stage_operator_runs_a_stage(
    proxy: Proxy, probe: str, volume: str, engine: docker_py.APIClient, docker_operator: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    lock = tmp_path / "images.lock.json"
    entry = {"image": probe, "id": engine.inspect_image(probe)["Id"]}
    lock.write_text(json.dumps({"version": 1, "images": {"probe": entry}}))
    for name, value in {
        "ML_IMAGE_LOCK": str(lock), "ML_DOCKER_HOST": proxy.url, "ML_DATA": volume, "ML_STAGE_MEMORY": "512m",
        "ML_UID": "10001", "ML_GID": "10001", "ML_MODEL_NAME": "airflow-ml", "ML_ENGINE": "docker", "ML_REASONS": "0",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "dags")])
    from ml.operator import StageOperator

    operator = StageOperator(task_id="probe", stage="probe", command=["grumble=working", 'say={"rows": 3}'])
    assert operator.execute({}) == {"rows": 3}
    with pytest.raises(NotFound):
        engine.inspect_container(operator.container_id)


# --- streams ---


def test_stream_brings_a_line_while_the_stage_still_runs(
    client: docker_py.APIClient, body: dict[str, Any], engine: docker_py.APIClient
) -> None:
    container = client.create_container_from_config({**body, "Cmd": ["say=early", "sleep=60"]})["Id"]
    output = client.attach(container, stream=True)
    client.start(container)
    assert next(output) == b"early\n"
    assert engine.inspect_container(container)["State"]["Running"]
    client.kill(container, "SIGTERM")
    assert client.wait(container)["StatusCode"] == 143
    assert client.logs(container) == b"early\n"
    client.remove_container(container)


def test_stream_and_wait_survive_a_silence_far_beyond_the_time_for_a_request(
    proxy: Proxy, client: docker_py.APIClient, body: dict[str, Any]
) -> None:
    container = client.create_container_from_config({**body, "Cmd": ["sleep=20", "say=at last", "exit=5"]})["Id"]
    output = client.attach(container, stream=True)
    client.start(container)
    codes: list[int] = []
    waiter = threading.Thread(target=lambda: codes.append(proxy.client().wait(container)["StatusCode"]))
    waiter.start()
    assert b"".join(output) == b"at last\n"
    waiter.join(PATIENCE_S)
    assert codes == [5]
    client.remove_container(container)


def test_stream_goes_on_after_the_client_said_it_sends_nothing_more(
    proxy: Proxy, client: docker_py.APIClient, body: dict[str, Any]
) -> None:
    container = client.create_container_from_config({**body, "Cmd": ["sleep=10", "say=heard"]})["Id"]
    attach = request(f"POST /containers/{container}/attach?stdout=1&stream=1", *UPGRADE)
    threading.Timer(1, client.start, [container]).start()
    answer = proxy.raw(attach, end=True)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert answer.endswith(b"heard\n")
    client.remove_container(container, force=True)


def test_client_that_leaves_frees_its_connection_to_the_engine(proxy: Proxy, start: Callable[..., str]) -> None:
    container = start("sleep=300")

    def sockets() -> int:
        return int(docker("exec", proxy.container, "python", "-c", COUNT_SOCKETS).stdout)

    before = sockets()
    waiting = [connect(proxy.socket) for _ in range(10)]
    for one in waiting:
        one.sendall(request(f"POST /containers/{container}/wait"))
    wait_until(lambda: sockets() == before + 20, "each client has its connection to the engine")
    for one in waiting:
        one.close()
    wait_until(lambda: sockets() == before, "the connections are gone with the clients")
    docker("rm", "--force", container)


# --- who sees what ---


def test_list_of_containers_holds_ours_only(
    client: docker_py.APIClient, start: Callable[..., str], foreign: str, volume: str
) -> None:
    own = start("sleep=300")
    listed = {found["Id"] for found in client.containers(all=True)}
    assert own in listed
    assert foreign not in listed
    assert own in {c["Id"] for c in client.containers(filters={"label": [f"airflow-ml.test={volume}"]})}
    assert client.containers(all=True, filters={"label": ["airflow-ml.dag=looks like ours"]}) == []
    docker("rm", "--force", own)


def test_two_installations_on_one_engine_do_not_see_each_other(
    volume: str, start: Callable[..., str], client: docker_py.APIClient, body: dict[str, Any]
) -> None:
    """Not even with the same data, images and labels."""
    container = start("sleep=300")
    with Proxy(f"--env=ML_DATA={volume}") as other, closing(other.client()) as others_client:
        for method, path, _ in OTHERS:
            status, message = other.ask(method, path.replace(OTHER, container))
            assert (method, path, status) == (method, path, 403)
            assert "was not created through this proxy" in message
        answer = other.raw(request(f"POST /containers/{container}/attach?stdout=1&logs=1", *UPGRADE))
        assert answer.startswith(b"HTTP/1.1 403 ")
        own = others_client.create_container_from_config(body)["Id"]
        assert [found["Id"] for found in others_client.containers(all=True)] == [own]
        assert own not in {found["Id"] for found in client.containers(all=True)}
        assert client.inspect_container(container)["State"]["Running"]
        others_client.remove_container(own)
    docker("rm", "--force", container)


def test_container_runs_as_judged(
    proxy: Proxy, start: Callable[..., str], engine: docker_py.APIClient, volume: str
) -> None:
    container = start("sleep=300")
    found = engine.inspect_container(container)
    host = found["HostConfig"]
    assert found["Config"]["User"] == "10001:10001"
    assert found["Config"]["Labels"][OUR_LABEL] == proxy.installation
    assert [mount["Name"] for mount in found["Mounts"]] == [volume]
    assert (host["Privileged"], host["Binds"], host["CapAdd"], host["CapDrop"]) == (False, None, None, ["ALL"])
    assert (host["NetworkMode"], host["ReadonlyRootfs"], host["PidsLimit"]) == ("none", True, 64)
    assert host["MaskedPaths"]
    docker("rm", "--force", container)


# --- the wire ---


def test_body_may_come_in_chunks(proxy: Proxy, body: dict[str, Any]) -> None:
    answer = proxy.raw(request(CREATE, CHUNKS, content=chunked(json.dumps(body).encode())))
    assert answer.startswith(b"HTTP/1.1 201 ")
    docker("rm", json.loads(answer.partition(b"\r\n\r\n")[2])["Id"])


def test_client_that_sends_nothing_is_let_go(proxy: Proxy) -> None:
    assert proxy.raw(b"", end=True) == b""
    assert proxy.raw(b"").startswith(b"HTTP/1.1 408 ")


def test_clients_beyond_the_limit_are_refused_and_later_ones_are_served(proxy: Proxy) -> None:
    crowd = [connect(proxy.socket) for _ in range(300)]
    answers = []
    for one in crowd:
        with one:
            answers.append(one.recv(12))
    assert set(answers) == {b"HTTP/1.1 503", b"HTTP/1.1 408"}  # immediately, and after the time for a request
    assert proxy.answers()


# --- its life ---


def test_proxy_says_that_the_engine_is_down_and_finds_it_again(tmp_path: Path, volume: str) -> None:
    """A link replaces the engine's socket, so that it can disappear and come back, as when an engine restarts."""
    tmp_path.chmod(0o755)
    link = tmp_path / "engine.sock"
    link.symlink_to("/var/run/docker.sock")
    with Proxy(
        f"--env=ML_DATA={volume}", f"--volume={tmp_path}:/engine:ro", "--env=ML_DOCKER_SOCKET=/engine/engine.sock"
    ) as one:
        link.unlink()
        status, message = one.ask("GET", "/version")
        assert (status, message[:12]) == (502, "engine down:")
        assert one.healthcheck().returncode == 1
        link.symlink_to("/var/run/docker.sock")
        assert one.ask("GET", "/version")[0] == 200
        assert one.healthcheck().returncode == 0


def test_proxy_takes_only_images_of_the_lock_as_it_is_now(tmp_path: Path, volume: str, body: dict[str, Any]) -> None:
    tmp_path.chmod(0o755)
    lock = tmp_path / "images.lock.json"
    lock.write_text('{"images": {}}')
    with Proxy(
        f"--env=ML_DATA={volume}", f"--volume={tmp_path}:/lock:ro", "--env=ML_IMAGE_LOCK=/lock/images.lock.json"
    ) as one:
        assert "image of the image lock" in one.ask("POST", "/containers/create", body)[1]
        replacement = tmp_path / "new"
        replacement.write_text(json.dumps({"images": {"probe": {"image": body["Image"]}}}))
        replacement.rename(lock)
        status, answer = one.ask("POST", "/containers/create", body)
        assert status == 201
        docker("rm", json.loads(answer)["Id"])
        lock.unlink()
        assert one.ask("POST", "/containers/create", body)[0] == 403


def test_proxy_ends_on_sigterm_though_streams_are_open(volume: str, body: dict[str, Any]) -> None:
    with Proxy(f"--env=ML_DATA={volume}") as one:
        with closing(one.client()) as client:
            container = client.create_container_from_config({**body, "Cmd": ["sleep=300"]})["Id"]
            client.start(container)
        with connect(one.socket) as stream:
            stream.sendall(request(f"POST /containers/{container}/attach?stdout=1&stream=1", *UPGRADE))
            assert stream.recv(65536).startswith(b"HTTP/1.1 101 ")
            docker("stop", "--time", "30", one.container)  # after 30 s it would be killed, with code 137
        assert json.loads(docker("inspect", one.container).stdout)[0]["State"]["ExitCode"] == 0
    docker("rm", "--force", container)


def test_proxy_that_was_killed_starts_again_on_the_socket_that_it_left(volume: str) -> None:
    with Proxy(f"--env=ML_DATA={volume}") as one:
        docker("kill", one.container)
        assert Path(one.socket).is_socket()
        assert not one.answers()
        docker("start", one.container)
        wait_until(one.answers, "the proxy answers again")


def test_proxy_says_that_it_cannot_make_its_socket(tmp_path: Path) -> None:
    """A folder of another user is mounted."""
    tmp_path.chmod(0o555)
    options = ["--user=65534:65534", "--env=ML_INSTALLATION=x", "--env=ML_DATA=data", "--env=ML_STAGE_MEMORY=1g"]
    mount = f"--volume={tmp_path}:/run/engine-proxy"
    done = docker("run", "--rm", *options, mount, images()["engine-proxy"], "serve", check=False)
    assert done.returncode == 1
    assert "cannot listen on /run/engine-proxy/engine.sock: Permission denied; expected: " in done.stderr
    assert "do: mount a volume or a folder there that belongs to user 65534" in done.stderr


def test_proxy_does_not_start_with_wrong_settings() -> None:
    done = docker("run", "--rm", images()["engine-proxy"], "serve", check=False)
    assert done.returncode == 2
    assert "ML_DATA is ''; expected: a volume's name or a folder's absolute path" in done.stderr


def test_proxy_logs_a_line_for_each_request(
    proxy: Proxy, client: docker_py.APIClient, body: dict[str, Any], probe: str
) -> None:
    container = client.create_container_from_config(body)["Id"]
    client.remove_container(container)
    proxy.ask("GET", "/info?line")
    lines = proxy.log().splitlines()
    assert [
        line for line in lines if "allowed 201 POST" in line and f"image={probe} container={container[:12]}" in line
    ]
    assert len([line for line in lines if "allowed 204 DELETE" in line and container[:12] in line]) == 1
    assert len([line for line in lines if "refused 403 GET /info?line" in line and 'reason="GET ' in line]) == 1
