"""The engine proxy's settings."""

import json
from pathlib import Path

import pytest

from settings import read_settings

REQUIRED = {"ML_INSTALLATION": "airflow-ml", "ML_DATA": "data", "ML_STAGE_MEMORY": "1g"}


def test_settings_have_defaults_for_all_but_the_name_the_data_and_the_memory() -> None:
    settings = read_settings(REQUIRED)
    assert settings.limits.data == "data"
    assert settings.limits.networks == {}
    assert settings.limits.connections is None
    assert settings.limits.max_memory == 1024**3
    assert settings.engine == "/var/run/docker.sock"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ML_INSTALLATION", ""),
        ("ML_INSTALLATION", "a=b"),
        ("ML_ENGINE", "../docker"),
        ("ML_DATA", ""),
        ("ML_DATA", "/"),
        ("ML_DATA", "/srv/.."),
        ("ML_DATA", "/srv//ml"),
        ("ML_DATA", "/srv/"),
        ("ML_DATA", "./data"),
        ("ML_STAGE_NETWORKS", "tracking"),
        ("ML_STAGE_NETWORKS", "registry=host"),
        ("ML_STAGE_NETWORKS", "registry=host,exchange=shop"),
        ("ML_STAGE_NETWORKS", "registry=tracking,exchange=host"),
        ("ML_STAGE_NETWORKS", "registry=container:postgres"),
        ("ML_STAGE_NETWORKS", "registry="),
        ("ML_STAGE_NETWORKS", "*=shop"),
        ("ML_CONNECTIONS_VOLUME", "/etc"),
        ("ML_CONNECTIONS_VOLUME", "a:b"),
        ("ML_STAGE_MEMORY", ""),
        ("ML_STAGE_MEMORY", "0"),
        ("ML_STAGE_MEMORY", "lots"),
        ("ML_PROXY_REQUEST_SECONDS", "-1"),
        ("ML_DOCKER_SOCKET", "tcp://10.0.0.1:2375"),
    ],
)
def test_settings_that_are_wrong_are_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        read_settings({**REQUIRED, name: value})


@pytest.mark.parametrize(
    ("text", "size"),
    [("4g", 4 << 30), ("512M", 512 << 20), ("512mb", 512 << 20), ("8388608", 8 << 20), ("64kB", 64 << 10)],
)
def test_settings_take_sizes_as_docker_py_writes_them(text: str, size: int) -> None:
    assert read_settings({**REQUIRED, "ML_STAGE_MEMORY": text}).limits.max_memory == size


def test_settings_take_a_folder_networks_and_sizes() -> None:
    settings = read_settings(
        {
            "ML_INSTALLATION": "airflow-ml_2",
            "ML_DATA": "/srv/my data/v1.2",
            "ML_STAGE_NETWORKS": "registry=tracking,exchange=host-shop,exchange=hosting,exchange=none",
            "ML_CONNECTIONS_VOLUME": "airflow-ml_connections",
            "ML_STAGE_MEMORY": "512m",
        }
    )
    assert settings.limits.installation == "airflow-ml_2"
    assert settings.limits.data == "/srv/my data/v1.2"
    assert settings.limits.networks == {"registry": {"tracking"}, "exchange": {"host-shop", "hosting", "none"}}
    assert settings.limits.connections == "airflow-ml_connections"
    assert settings.limits.max_memory == 512 * 1024**2


def test_swarm_needs_a_folder_and_takes_the_names_of_the_registry(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ML_DATA is 'data'"):
        read_settings({**REQUIRED, "ML_ENGINE": "swarm"})
    entries = {"a": {"image": "airflow-ml-a:1", "pushed": "r/airflow-ml-a@sha256:0"}, "b": {"image": "airflow-ml-b:1"}}
    (tmp_path / "lock").write_text(json.dumps({"images": entries}))
    environment = {**REQUIRED, "ML_ENGINE": "swarm", "ML_DATA": "/srv/ml", "ML_IMAGE_LOCK": str(tmp_path / "lock")}
    settings = read_settings(environment)
    assert settings.is_swarm
    assert settings.current_limits().pushed == {"r/airflow-ml-a@sha256:0": "airflow-ml-a:1"}
    assert not read_settings({**REQUIRED, "ML_ENGINE": "kubernetes"}).is_swarm
