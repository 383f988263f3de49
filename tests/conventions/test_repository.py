"""The house rules that a person would otherwise have to remember: files, names, documents."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from airflow_ml.secret_files import SECRETS, setting

ROOT = Path(__file__).parents[2]
STAGES = sorted(path.parent for path in ROOT.glob("stages/*/Dockerfile"))
SERVICES = sorted(path.parent for path in ROOT.glob("services/*/Dockerfile"))
TRACKED = [
    ROOT / name
    for name in subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True
    ).stdout.split("\0")
    if name and (ROOT / name).is_file()
]
REQUIRED_FILES = {"Dockerfile", "README.md", "requirements.in", "requirements.txt"}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("folder", STAGES, ids=relative)
def test_stage_has_its_five_files_and_nothing_but_modules_beside_them(folder: Path) -> None:
    files = {path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")}
    required = REQUIRED_FILES | {f"{folder.name}.py"}
    assert required <= files
    assert all(name.endswith(".py") for name in files - required)


@pytest.mark.parametrize("folder", STAGES, ids=relative)
def test_stage_has_tests_and_a_row_in_the_readme(folder: Path) -> None:
    assert list((ROOT / "tests" / "stages" / folder.name).glob("test_*.py"))
    assert f"(stages/{folder.name})" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("folder", STAGES + SERVICES, ids=relative)
def test_dockerfile_keeps_the_rules(folder: Path) -> None:
    text = (folder / "Dockerfile").read_text()
    instructions = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert "syntax=" not in text, "a syntax line would pull a frontend image"
    assert [line for line in instructions if line.startswith("ARG")][:2] == [
        "ARG BUILDER=airflow-ml-builder",
        "ARG BASE=airflow-ml-base",
    ]
    assert [line for line in instructions if line.startswith("FROM")] == ["FROM ${BUILDER} AS build", "FROM ${BASE}"]
    final = instructions[instructions.index("FROM ${BASE}") :]
    assert not [line for line in final if line.startswith(("RUN", "USER", "ADD"))], "the image only copies layers"
    assert all(line.startswith("COPY --from=build /layers/") for line in final if line.startswith("COPY"))
    assert "/opt/build/layers.py wheels /build/requirements.txt" in text, "the one way to install, with hashes"
    assert re.search(r'airflow-ml\.size-budget-mb="\d+"', text)
    assert any(line.startswith('ENTRYPOINT ["/usr/bin/tini", "--"') for line in instructions)


@pytest.mark.parametrize("folder", STAGES + SERVICES, ids=relative)
def test_dockerfile_copies_every_layer_that_it_makes(folder: Path) -> None:
    text = (folder / "Dockerfile").read_text()
    shared = re.findall(r"--shared ([\w -]+?) *\\\n", text)
    parts = re.findall(r"layers\.py part (\w+)", text)
    made = {"wheels", "code", *(shared[0].split() if shared else []), *parts, *re.findall(r"/layers/(home)/", text)}
    assert sorted(re.findall(r"COPY --from=build /layers/([\w-]+)/ /", text)) == sorted(made)


@pytest.mark.parametrize("folder", STAGES, ids=relative)
def test_stage_asks_for_few_packages(folder: Path) -> None:
    names = [line for line in (folder / "requirements.in").read_text().splitlines() if line and line[0] not in "#-"]
    assert 1 <= len(names) <= 3


def test_nothing_that_runs_is_named_latest() -> None:
    """Only the build gives a second tag, for people; see airflow_ml/images/build.py."""
    files = [
        ROOT / "docker-compose.yml",
        *ROOT.glob("dags/**/*.py"),
        *ROOT.glob("*/*/Dockerfile"),
        *ROOT.glob("setup/*.sh"),
    ]
    assert [relative(path) for path in files if ":latest" in path.read_text()] == []


def test_every_setting_of_compose_is_explained_in_the_example() -> None:
    # Compose itself sets COMPOSE_PROJECT_NAME.
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    used = (used - {"COMPOSE_PROJECT_NAME"}) | {setting(secret) for secret in SECRETS}
    explained = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    images = {f"ML_{folder.name.upper().replace('-', '_')}_IMAGE" for folder in SERVICES}
    assert used - images <= explained
    assert explained <= used


def test_default_of_a_setting_is_in_the_example_alone() -> None:
    """Compose and the code require each setting: a default that exists twice is soon two defaults."""
    compose = (ROOT / "docker-compose.yml").read_text()
    assert re.findall(r"\$\{ML_\w+(?!\w|:\?)[^}]*\}", compose) == []
    reads = re.compile(r"""environ(?:\.get\(|\[)["'](ML_\w+)["'](?:\) or|, *["'])""")
    explained = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    for folder in ("dags", "services"):
        for path in ROOT.glob(f"{folder}/**/*.py"):
            assert explained.isdisjoint(reads.findall(path.read_text())), relative(path)


def test_example_holds_no_secret() -> None:
    for name, value in re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE):
        if any(word in name for word in ("PASSWORD", "SECRET", "KEY")):
            assert not value or value.startswith("<"), f"{name} has a default"


def test_published_ports_are_on_the_loopback_address() -> None:
    ports = re.findall(r"ports: \[(.*)\]", (ROOT / "docker-compose.yml").read_text())
    assert ports
    assert all(entry.strip().startswith('"127.0.0.1:') for line in ports for entry in line.split(","))


def test_log_of_every_service_is_bounded() -> None:
    """The engine's default keeps everything that a service writes, until the disk is full."""
    files = [yaml.safe_load(path.read_text()) for path in sorted(ROOT.glob("docker-compose*.yml"))]
    services = [(name, service) for file in files for name, service in file.get("services", {}).items()]
    bounded = {
        name
        for name, service in services
        if {"max-size", "max-file"} <= set(service.get("logging", {}).get("options", ()))
    }
    assert {name for name, _ in services} - bounded == set()


def test_postgres_keeps_its_files_where_its_volume_is() -> None:
    """Images from 18 on have another default: they refuse the volume, or write beside it."""
    postgres = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["postgres"]
    assert postgres["volumes"] == [f"postgres:{postgres['environment']['PGDATA']}"]


@pytest.mark.parametrize("path", [p for p in TRACKED if p.suffix == ".md"], ids=relative)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_readme_names_only_targets_that_make_knows() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", (ROOT / "README.md").read_text()))
    assert named <= targets


@pytest.mark.parametrize("script", [p for p in TRACKED if p.suffix == ".sh" and p.name != "lib.sh"], ids=relative)
def test_shell_script_is_strict_and_executable(script: Path) -> None:
    text = script.read_text()
    assert text.startswith("#!/usr/bin/env bash\n# ")
    assert "set -Eeuo pipefail" in text
    # The stand-in's entrypoint gets its mode from the Dockerfile.
    assert script.stat().st_mode & 0o100 or script.name == "entrypoint.sh"


def test_no_package_index_or_home_folder_is_committed() -> None:
    # Written in pieces, so that this file does not find itself.
    forbidden = re.compile(
        "|".join(["pypi" + r"\.org", "pythonhosted" + r"\.org", "deb.debian" + r"\.org", "/ro" + "ot/(?!.cache)"])
    )
    found = [
        relative(path)
        for path in TRACKED
        if path.suffix != ".png" and forbidden.search(path.read_text(errors="replace"))
    ]
    assert found == []


def test_each_decision_has_a_number_of_its_own_and_names_it() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(path.name[:4]) for path in decisions]
    assert numbers == list(range(1, len(decisions) + 1))
    assert [path.read_text().split(". ")[0] for path in decisions] == [f"# {number}" for number in numbers]


def test_model_of_a_large_day_uses_the_figures_of_the_page() -> None:
    command = [sys.executable, ROOT / "tests/benchmarks/large_day.py"]
    done = subprocess.run(command, text=True, capture_output=True, check=True)
    assert done.stdout in (ROOT / "docs/decisions/0048-a-day-in-shards.md").read_text()


def test_clone_that_changes_line_ends_has_unix_line_ends(tmp_path: Path) -> None:
    """Git for Windows sets core.autocrlf. A shell script or an image's content tag must not differ there."""
    index = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "--stage"], capture_output=True, text=True, check=True
    ).stdout
    places = ["git", "--git-dir", _git_folder(), "--work-tree", str(tmp_path), "-c", "core.autocrlf=true"]
    own_index = {**os.environ, "GIT_INDEX_FILE": str(tmp_path / "index")}
    subprocess.run([*places, "update-index", "--index-info"], input=index, text=True, env=own_index, check=True)
    subprocess.run([*places, "checkout-index", "--all", "--quiet"], env=own_index, check=True)
    cloned = [tmp_path / path.relative_to(ROOT) for path in TRACKED if path.suffix not in (".png", ".gz")]
    assert [str(path) for path in cloned if path.exists() and b"\r\n" in path.read_bytes()] == []
    assert sum(path.exists() for path in cloned) > 100


def _git_folder() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--absolute-git-dir"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_services_with_pages_have_the_same_login() -> None:
    first, second = (ROOT / "services" / name / "login.py" for name in ("mlflow", "reports"))
    assert first.read_bytes() == second.read_bytes()


def test_stages_that_train_log_lightgbms_messages_alike() -> None:
    """They have no library in common that knows LightGBM."""
    first, second = (
        ast.dump(next(node for node in ast.parse(path.read_text()).body if getattr(node, "name", "") == "NativeLog"))
        for path in (ROOT / "stages/training/fitting.py", ROOT / "stages/tuning/search.py")
    )
    assert first == second
