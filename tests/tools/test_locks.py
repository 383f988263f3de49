"""`make lock` with the real uv on a package index in a folder, and `make lock-check` on every kind of drift."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from locks.__main__ import main

from tests.locks_checkout import ROOT, LocksCheckout, copy_of_locks, locks, make_wheel

TRAINING = "stages/training/requirements.txt"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> LocksCheckout:
    one = LocksCheckout(tmp_path_factory.mktemp("compiled"))
    one.compile()
    return one


@pytest.fixture
def checkout(compiled: LocksCheckout, tmp_path: Path) -> LocksCheckout:
    return LocksCheckout(tmp_path, like=compiled)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return copy_of_locks(tmp_path)


def pins(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z-]+)==(\S+)", text, re.MULTILINE))


def entries(text: str) -> dict[str, str]:
    return {block.partition("=")[0]: block for block in re.split(r"\n(?=[a-z])", text)}


def problems(root: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What `make lock-check` says; it fails."""
    assert main(["--root", str(root), "check"]) == 1
    return capsys.readouterr().err.splitlines()


def edit(root: Path, file: str, old: str, new: str) -> None:
    path = root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


# --- compile ---


def test_compile_pins_all_with_hashes_and_the_constraint_s_version_everywhere(checkout: LocksCheckout) -> None:
    files = checkout.files()
    assert pins(files["stages/one/requirements.txt"]) == {"alpha": "1.1", "beta": "1.0"}
    assert pins(files["stages/two/requirements.txt"]) == {"beta": "1.0", "gamma": "1.1"}
    for folder in ("stages/one", "stages/two", "services/three"):
        text = files[f"{folder}/requirements.txt"]
        assert len(re.findall("--hash=sha256:[0-9a-f]{64}$", text, re.MULTILINE)) == len(pins(text))
        assert str(checkout.index) not in text + files[f"{folder}/sbom.cdx.json"]
    checkout.run("check")


def test_compile_again_changes_no_byte(checkout: LocksCheckout) -> None:
    before = checkout.files()
    assert checkout.compile() == "nothing changed\n"
    assert checkout.files() == before


def test_newer_versions_in_the_index_change_nothing(checkout: LocksCheckout) -> None:
    before = checkout.files()
    make_wheel(checkout.index, "gamma", "1.2", [])
    make_wheel(checkout.index, "beta", "1.0", [], "cp313-cp313-macosx_11_0_arm64")  # another file of a locked version
    assert checkout.compile() == "nothing changed\n"
    assert checkout.files() == before


def test_upgrade_touches_that_package_alone_in_every_lock_that_holds_it(checkout: LocksCheckout) -> None:
    before = checkout.files()
    make_wheel(checkout.index, "gamma", "1.2", ["beta<2"])
    assert checkout.compile("beta") == "stages/one: beta 1.0 -> 1.1\nstages/two: beta 1.0 -> 1.1\n"
    after = checkout.files()
    assert after["scripts/constraints.txt"] == "# one version\nbeta==1.1\n"
    assert after["services/three/requirements.txt"] == before["services/three/requirements.txt"]
    for folder, other in (("stages/one", "alpha"), ("stages/two", "gamma")):
        old, new = (entries(files[f"{folder}/requirements.txt"]) for files in (before, after))
        assert {name for name in {*old, *new} if old.get(name) != new.get(name)} == {"beta"}
        assert other in new
    checkout.run("check")


def test_upgrade_of_two_that_go_together(checkout: LocksCheckout) -> None:
    """beta 2 fits alpha, but not gamma 1.1; so it waits for a gamma that takes it."""
    make_wheel(checkout.index, "gamma", "1.2", ["beta>=2"])
    told = checkout.compile("gamma", "beta").splitlines()
    assert "stages/two: gamma 1.1 -> 1.2" in told
    assert "stages/one: beta 1.0 -> 2.0" in told
    checkout.run("check")


def test_upgrade_to_a_version_that_is_named(checkout: LocksCheckout) -> None:
    checkout.compile("gamma==1.0")
    assert pins(checkout.files()["stages/two/requirements.txt"]) == {"beta": "1.0", "gamma": "1.0"}
    checkout.run("check")


def test_upgrade_that_does_not_fit_says_so_and_changes_nothing(checkout: LocksCheckout) -> None:
    before = checkout.files()
    said = checkout.run("compile", "beta==2.0", code=1).stderr
    assert said.startswith("error: stages/two/requirements.in cannot be resolved:")
    assert "make lock PACKAGE='A B'" in said
    assert checkout.files() == before


def test_upgrade_of_what_no_lock_holds_is_refused(checkout: LocksCheckout) -> None:
    assert "no lock holds omega" in checkout.run("compile", "omega", code=1).stderr


def test_one_folder_is_compiled_alone(checkout: LocksCheckout) -> None:
    (checkout.root / "stages/new").mkdir()
    (checkout.root / "stages/new/requirements.in").write_text("gamma\n")
    (checkout.root / "stages/two/requirements.in").write_text("gamma\n")
    make_wheel(checkout.index, "gamma", "1.2", [])
    before = checkout.files()
    told = checkout.compile(str(checkout.root / "stages/new"))
    # The version of the other stages, though the index has a newer one.
    assert told == "stages/new: beta not there -> 1.0\nstages/new: gamma not there -> 1.1\n"
    new = {"stages/new/requirements.txt", "stages/new/sbom.cdx.json"}
    assert {name: text for name, text in checkout.files().items() if name not in new} == before


def test_hash_that_was_edited_is_not_believed(checkout: LocksCheckout) -> None:
    before = checkout.files()
    path = checkout.root / "stages/one/requirements.txt"
    path.write_text(re.sub("sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", path.read_text()))
    assert checkout.compile().splitlines() == [
        "stages/one: alpha 1.1: other hashes or markers",
        "stages/one: beta 1.0: other hashes or markers",
    ]
    assert checkout.files() == before


# --- check, on our own locks ---


def test_own_locks_are_as_they_were_made(copied: Path) -> None:
    assert locks("--root", str(copied), "check").returncode == 0


def test_check_needs_no_environment_and_no_network(copied: Path) -> None:
    """In a process that cannot open a socket."""
    code = (
        "import socket, sys\n"
        "def refuse(*args, **more): raise AssertionError('the network was asked')\n"
        "socket.socket = socket.create_connection = socket.getaddrinfo = refuse\n"
        "from locks.__main__ import main\n"
        f"sys.exit(main(['--root', {str(copied)!r}, 'check']))\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/scripts"}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(
            ("stages/training/requirements.in", "lightgbm", "lightgbm<9"),
            r"stages/training/requirements.txt: found stages/training/requirements.in with lightgbm<9; "
            r"expected: lightgbm, of which the lock was made; do: make lock$",
            id="requirement changed",
        ),
        pytest.param(
            ("stages/training/requirements.in", "lightgbm", "lightgbm\npyarrow"),
            r"stages/training/requirements.txt: found no pyarrow; expected: it, for requirements.in asks for it;",
            id="requirement added",
        ),
        pytest.param(
            ("stages/prediction/requirements.in", "pandas\n", ""),
            r"stages/prediction/requirements.txt: found pandas, which no requirement needs; expected: no pandas;",
            id="requirement removed",
        ),
        pytest.param(
            ("scripts/constraints.txt", "scipy==", "scipy==9."),
            r"stages/training/requirements.txt: found scipy==[\d.]+; expected: scipy==9\.[\d.]+, as scripts/const",
            id="constraint changed",
        ),
        pytest.param(
            ("stages/training/requirements.txt", "narwhals==", "narwhals==9."),
            r"narwhals: found [\d.]+ in stages/prediction, 9\.[\d.]+ in stages/training; expected: one version in all",
            id="stages differ",
        ),
        pytest.param(
            ("stages/training/requirements.txt", "narwhals==", "narwhals==9."),
            r"stages/training/requirements.txt: found narwhals==9\.[\d.]+; expected: narwhals==[\d.]+, as made; do: ",
            id="version edited",
        ),
        pytest.param(
            ("services/airflow/requirements.txt", "alembic==", "alembic==9."),
            r"alembic: found [\d.]+ in tests, 9\.[\d.]+ in services/airflow; expected: the tests run the Airflow that",
            id="tests and Airflow differ",
        ),
        pytest.param(
            (TRAINING, "--hash=sha256:1", "--hash=sha256:2"),
            r"stages/training/requirements.txt: found other hashes or markers of lightgbm==[\d.]+; expected: as made;",
            id="hash edited",
        ),
        pytest.param(
            (TRAINING, "narwhals==", "evil==1 \\\n    --hash=sha256:" + "0" * 64 + "\nnarwhals=="),
            r"stages/training/requirements.txt: found evil==1, which no requirement needs; expected: no evil;",
            id="package added",
        ),
        pytest.param(
            (TRAINING, "lightgbm==", "# a remark\nlightgbm=="),
            r"stages/training/requirements.txt: found more than entries; expected: as it was made; do: make lock$",
            id="remark added",
        ),
        pytest.param(
            (TRAINING, "lightgbm==", "--index-url https://index.example/simple\nlightgbm=="),
            r".*requirements.txt line 1: found '--index-url https://index.example/simple'; expected: NAME==VERSION",
            id="index added",
        ),
        pytest.param(
            ("stages/training/sbom.cdx.json", '"version": "', '"version": "9.'),
            r"stages/training/sbom.cdx.json: found other content than its serial number names; expected: as it was",
            id="bill of materials edited",
        ),
        pytest.param(
            ("stages/training/sbom.cdx.json", "{", ""),
            r"stages/training/sbom.cdx.json: found no bill of materials in it; expected: CycloneDX in JSON; do: make",
            id="bill of materials damaged",
        ),
    ],
)
def test_check_names_the_drift(
    copied: Path, change: tuple[str, str, str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(copied, *change)
    found = problems(copied, capsys)
    assert any(re.match(f"error: {expected}", line) for line in found), found


def test_check_names_an_entry_without_hash(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copied / TRAINING
    path.write_text(re.sub(r"(narwhals==\S+) \\\n(    --hash=\S+( \\)?\n)+", r"\1\n", path.read_text()))
    assert any(
        re.match(rf"error: {TRAINING}: found narwhals==\S+ without a hash; expected: --hash=sha256:...; do: ", line)
        for line in problems(copied, capsys)
    )


def test_check_names_who_needs_a_package_that_was_removed(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copied / TRAINING
    path.write_text(re.sub(r"narwhals==\S+ \\\n(    --hash=\S+( \\)?\n)+", "", path.read_text()))
    (line,) = problems(copied, capsys)
    assert re.match(rf"error: {TRAINING}: found no narwhals; expected: narwhals==\S+, which lightgbm needs; do: ", line)


@pytest.mark.parametrize("file", ["requirements.in", "requirements.txt", "sbom.cdx.json"])
def test_check_names_a_file_that_is_missing(copied: Path, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    (copied / "stages/training" / file).unlink()
    (line,) = problems(copied, capsys)
    assert line == f"error: stages/training: found no {file}; expected: it beside the others; do: make lock"


def test_bill_of_materials_lists_each_entry_with_the_files_of_the_images(copied: Path) -> None:
    bom = json.loads((copied / "stages/training/sbom.cdx.json").read_text())
    lock = (copied / TRAINING).read_text()
    assert {item["name"]: item["version"] for item in bom["components"]} == pins(lock)
    for item in bom["components"]:
        assert item["purl"] == f"pkg:pypi/{item['name']}@{item['version']}"
        assert item["licenses"]
        for file in item["externalReferences"]:
            assert f"--hash=sha256:{file['hashes'][0]['content']}" in entries(lock)[item["name"]]
    numpy = next(item for item in bom["components"] if item["name"] == "numpy")
    names = [file["url"] for file in numpy["externalReferences"]]
    assert len(names) == 2
    assert all("-cp313-cp313-manylinux" in name for name in names)
    assert "aarch64" in names[0]
    assert "x86_64" in names[1]
    needs = {item["ref"]: item["dependsOn"] for item in bom["dependencies"]}
    scipy = next(ref for ref in needs if ref.startswith("pkg:pypi/scipy@"))
    assert needs[scipy] == [numpy["purl"]]
