"""`.env` is made once, with secrets that nobody else has, and is never overwritten."""

import base64
import re
from pathlib import Path

import make_env
import pytest


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


def test_service_images_change_only_their_own_lines(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import images

    make_env.main()
    before = environment.read_text()
    monkeypatch.setattr(images, "ENV", environment)
    found = images.discover()
    images.write_service_images(found)
    assert environment.read_text().startswith(before)
    assert values(environment)["ML_AIRFLOW_IMAGE"] == found["airflow"].reference
    images.write_service_images(found)
    assert environment.read_text().count("ML_AIRFLOW_IMAGE=") == 1
    assert environment.stat().st_mode & 0o777 == 0o600
