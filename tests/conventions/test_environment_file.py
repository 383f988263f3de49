"""`.env` is made once, with secrets that nobody else has, and is never overwritten."""

import base64
import re
from pathlib import Path

import make_env
import pytest
from images.lock import write_service_images


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the real example, in which `.env` is made."""
    (tmp_path / ".env.example").write_text((make_env.ROOT / ".env.example").read_text())
    monkeypatch.setattr(make_env, "ROOT", tmp_path)
    monkeypatch.delenv("ML_DATA", raising=False)
    return tmp_path / ".env"


def values(file: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", file.read_text(), re.MULTILINE))


def test_every_setting_is_filled_in_and_the_file_is_private(environment: Path) -> None:
    assert make_env.main() == 0
    assert environment.stat().st_mode & 0o777 == 0o600
    assert all(values(environment).values())
    assert not [value for value in values(environment).values() if "<" in value]
    assert len(base64.urlsafe_b64decode(values(environment)["ML_FERNET_KEY"])) == 32


def test_secrets_differ_from_each_other_and_from_time_to_time(environment: Path) -> None:
    secrets = []
    for _ in range(2):
        make_env.main()
        secrets += [value for name, value in values(environment).items() if "PASSWORD" in name or "SECRET" in name]
        environment.unlink()
    assert len(set(secrets)) == len(secrets) == 8


def test_existing_file_is_never_overwritten(environment: Path) -> None:
    environment.write_text("ML_ADMIN_PASSWORD=mine\n")
    assert make_env.main() == 0
    assert environment.read_text() == "ML_ADMIN_PASSWORD=mine\n"


@pytest.mark.parametrize(
    ("uid", "data", "owner"), [(1000, "data", "10001"), (1000, "/srv/data", "1000"), (0, "/srv/data", "10001")]
)
def test_files_belong_to_the_user_in_a_folder_and_never_to_root(uid: int, data: str, owner: str) -> None:
    assert make_env.owner_id(uid, data) == owner


@pytest.mark.parametrize(("data", "mount"), [("data", "data"), ("mine", "data"), ("/srv/days", "/srv/days")])
def test_services_mount_the_volume_by_its_name_in_compose_or_the_folder(
    environment: Path, monkeypatch: pytest.MonkeyPatch, data: str, mount: str
) -> None:
    monkeypatch.setenv("ML_DATA", data)
    make_env.main()
    assert (values(environment)["ML_DATA"], values(environment)["ML_DATA_MOUNT"]) == (data, mount)


def test_service_images_change_only_their_own_lines(environment: Path) -> None:
    make_env.main()
    before = environment.read_text()
    for _ in range(2):
        write_service_images(environment.parent, {"airflow": "airflow-ml-airflow:1", "engine-proxy": "airflow-ml-e:2"})
    assert (
        environment.read_text()
        == f"{before}ML_AIRFLOW_IMAGE=airflow-ml-airflow:1\nML_ENGINE_PROXY_IMAGE=airflow-ml-e:2\n"
    )
    assert environment.stat().st_mode & 0o777 == 0o600
