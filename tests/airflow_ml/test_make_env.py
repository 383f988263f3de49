"""`.env` is made once, with secrets that nobody else has; no line of it is ever overwritten."""

import base64
import re
from pathlib import Path

import pytest
from airflow_ml import make_env
from airflow_ml.common import ROOT, AirflowMlError, read_env
from airflow_ml.images.lock import write_service_images


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the real example, in which `.env` is made."""
    (tmp_path / ".env.example").write_text((ROOT / ".env.example").read_text())
    monkeypatch.delenv("ML_DATA", raising=False)
    return tmp_path / ".env"


def values(file: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", file.read_text(), re.MULTILINE))


def test_every_setting_is_filled_in_and_the_file_is_private(environment: Path) -> None:
    make_env.make_env(environment.parent)
    assert environment.stat().st_mode & 0o777 == 0o600
    assert [name for name, value in values(environment).items() if not value] == ["ML_ALERT_URLS"]
    assert not [value for value in values(environment).values() if "<" in value]
    assert len(base64.urlsafe_b64decode(values(environment)["ML_FERNET_KEY"])) == 32
    assert re.fullmatch(r"v2\.[\w-]{32}", values(environment)["ML_REGISTRY_KEY"])


def test_secrets_differ_from_each_other_and_from_time_to_time(environment: Path) -> None:
    secrets = []
    for _ in range(2):
        make_env.make_env(environment.parent)
        secrets += [value for name, value in values(environment).items() if "PASSWORD" in name or "SECRET" in name]
        environment.unlink()
    assert len(set(secrets)) == len(secrets) == 14


def test_older_file_keeps_its_lines_and_gets_what_is_new(environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_env.make_env(environment.parent)
    new, image = "ML_MLFLOW_POSTGRES_PASSWORD", "ML_AIRFLOW_IMAGE=airflow-ml-airflow:1"
    older = [line for line in environment.read_text().splitlines() if not line.startswith((new, "ML_DEADLINE="))]
    older = [line.replace("ML_AIRFLOW_PORT=8080", "ML_AIRFLOW_PORT=9090") for line in older] + [image]
    environment.write_text("\n".join(older) + "\n")
    capsys.readouterr()
    make_env.make_env(environment.parent)
    lines = environment.read_text().splitlines()
    rest = iter(lines)
    assert all(line in rest for line in older), "each line of before, in its order"
    assert len(values(environment)[new]) == 32
    assert lines.index("ML_DEADLINE=06:00") < lines.index(make_env.IMAGES) < lines.index(image)
    assert "later is an alert" in lines[lines.index("ML_DEADLINE=06:00") - 1]
    assert environment.stat().st_mode & 0o777 == 0o600
    assert f"which is older than these settings: ML_DEADLINE, {new}" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["", "ML_REGISTRY_KEY=\n"])
def test_older_file_gets_a_key_that_leaves_valid_what_is_not_signed(
    environment: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_env.make_env(environment.parent)
    environment.write_text(re.sub(r"ML_REGISTRY_KEY=.*\n", line, environment.read_text()))
    before = values(environment)
    capsys.readouterr()
    make_env.make_env(environment.parent)
    after = values(environment)
    assert re.fullmatch(r"v2\.[\w-]{32},", after["ML_REGISTRY_KEY"])
    assert {**before, "ML_REGISTRY_KEY": after["ML_REGISTRY_KEY"]} == after
    assert "has its first ML_REGISTRY_KEY" in capsys.readouterr().err


def test_whole_file_is_left_alone(environment: Path) -> None:
    make_env.make_env(environment.parent)
    before = environment.read_bytes()
    make_env.make_env(environment.parent)
    assert environment.read_bytes() == before


def test_setting_that_nothing_reads_is_named_with_the_nearest_one(
    environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_env.make_env(environment.parent)
    text = environment.read_text() + "ML_RESONS=3\n# ML_PARALELISM=1\nPATH=/bin\n"
    environment.write_text(text)
    capsys.readouterr()
    make_env.make_env(environment.parent)
    assert capsys.readouterr().err == (
        f"    warning: {environment}: nothing reads ML_RESONS; did you mean ML_REASONS?\n"
    )
    assert environment.read_text() == text


def test_every_setting_that_docs_or_compose_name_is_known(environment: Path) -> None:
    """Those that are optional, and those that another version of `.env` has in a comment, are no mistakes."""
    example = environment.parent / ".env.example"
    example.write_text(example.read_text() + "# ML_OPTIONAL=1\n")
    for file in ROOT.glob("docker-compose*.yml"):
        (environment.parent / file.name).write_text(file.read_text())
    docs = "\n".join((ROOT / "docs" / name).read_text() for name in ("use.md", "operate.md", "scale.md"))
    named = re.findall(r"^(ML_\w+)=", docs, re.MULTILINE)
    assert {"ML_OTLP_ENDPOINT", "ML_OPENLINEAGE_URL", "ML_ENGINE"} <= {*named}
    images = ["ML_AIRFLOW_IMAGE", "ML_ENGINE_PROXY_IMAGE", "ML_MLFLOW_IMAGE", "ML_REPORTS_IMAGE"]
    environment.write_text("".join(f"{name}=x\n" for name in ("ML_OPTIONAL", *named, *images)))
    assert make_env.unknown_settings(environment) == []


def test_setting_that_was_taken_out_by_a_comment_gets_its_default(environment: Path) -> None:
    """The example has the only default; without the line compose would refuse to start."""
    make_env.make_env(environment.parent)
    text = environment.read_text().replace("ML_PARALLELISM=4", "# ML_PARALLELISM=8")
    environment.write_text(text)
    make_env.make_env(environment.parent)
    assert "# ML_PARALLELISM=8" in environment.read_text()
    assert values(environment)["ML_PARALLELISM"] == "4"


def test_older_file_of_a_host_folder_gets_its_folder_mounted(environment: Path) -> None:
    environment.write_text("ML_DATA=/srv/days\n")
    make_env.make_env(environment.parent)
    assert values(environment)["ML_DATA_MOUNT"] == "/srv/days"


def test_setting_that_is_exported_is_there(environment: Path) -> None:
    """The default was once added behind it, and won."""
    make_env.make_env(environment.parent)
    environment.write_text(environment.read_text().replace("ML_PARALLELISM=4", "export ML_PARALLELISM = '8'"))
    make_env.make_env(environment.parent)
    assert environment.read_text().count("ML_PARALLELISM") == 1
    make_env.change_settings(environment, {"ML_PARALLELISM": "2"})
    assert values(environment)["ML_PARALLELISM"] == "2"


def test_folder_of_any_name_is_written_as_it_is_read(
    tmp_path: Path, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tmp_path / "our $days #1")
    monkeypatch.setenv("ML_DATA", folder)
    make_env.make_env(environment.parent)
    found = read_env(environment)
    assert (found["ML_DATA"], found["ML_DATA_MOUNT"]) == (folder, folder)


def test_example_ends_with_the_line_above_the_images(environment: Path) -> None:
    assert (environment.parent / ".env.example").read_text().splitlines()[-1] == make_env.IMAGES


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
    make_env.make_env(environment.parent)
    assert (values(environment)["ML_DATA"], values(environment)["ML_DATA_MOUNT"]) == (data, mount)


def test_service_images_change_only_their_own_lines(environment: Path) -> None:
    make_env.make_env(environment.parent)
    before = environment.read_text()
    for _ in range(2):
        write_service_images(environment.parent, {"airflow": "airflow-ml-airflow:1", "engine-proxy": "airflow-ml-e:2"})
    assert (
        environment.read_text()
        == f"{before}ML_AIRFLOW_IMAGE=airflow-ml-airflow:1\nML_ENGINE_PROXY_IMAGE=airflow-ml-e:2\n"
    )
    assert environment.stat().st_mode & 0o777 == 0o600


def test_new_value_changes_its_line_alone_in_a_file_for_its_owner_alone(environment: Path) -> None:
    environment.write_text("# ML_ADMIN_PASSWORD=no\nML_ADMIN_PASSWORD=\nML_OTHER_PASSWORD=kept=\n")
    make_env.change_settings(environment, {"ML_ADMIN_PASSWORD": "new"})
    assert environment.read_text() == "# ML_ADMIN_PASSWORD=no\nML_ADMIN_PASSWORD=new\nML_OTHER_PASSWORD=kept=\n"
    assert environment.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "# ML_ADMIN_PASSWORD=old\n"])
def test_new_value_of_a_missing_setting_says_what_to_do(environment: Path, text: str) -> None:
    environment.write_text(text)
    with pytest.raises(AirflowMlError, match=r"no ML_ADMIN_PASSWORD in .*\n.*make up, which adds it"):
        make_env.change_settings(environment, {"ML_ADMIN_PASSWORD": "new"})
