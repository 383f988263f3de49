"""`./airflow-ml lock` with the real uv, on a package index in a folder."""

import re
from pathlib import Path

import pytest
from airflow_ml.common import AirflowMlError
from airflow_ml.lock import pins, versions

from tests.locks_checkout import LocksCheckout, make_wheel


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> LocksCheckout:
    one = LocksCheckout(tmp_path_factory.mktemp("compiled"))
    one.compile()
    return one


@pytest.fixture
def checkout(compiled: LocksCheckout, tmp_path: Path) -> LocksCheckout:
    return LocksCheckout(tmp_path, like=compiled)


def held(checkout: LocksCheckout, folder: str) -> dict[str, str]:
    text = (checkout.root / folder / "requirements.txt").read_text()
    return {package: versions(lines) for package, lines in pins(text).items()}


def entries(text: str) -> dict[str, str]:
    return {block.partition("=")[0]: block for block in re.split(r"\n(?=[a-z])", text)}


def test_every_pin_has_hashes_no_address_and_the_version_of_the_constraints(checkout: LocksCheckout) -> None:
    assert held(checkout, "stages/one") == {"alpha": "1.1", "beta": "1.0"}
    assert held(checkout, "stages/two") == {"beta": "1.0", "gamma": "1.1"}
    for name, text in checkout.files().items():
        if name.endswith("requirements.txt"):
            assert len(re.findall("--hash=sha256:[0-9a-f]{64}$", text, re.MULTILINE)) == len(pins(text))
            assert str(checkout.index) not in text


def test_newer_versions_and_files_in_the_index_change_nothing(checkout: LocksCheckout) -> None:
    before = checkout.files()
    assert checkout.compile() == []
    make_wheel(checkout.index, "gamma", "1.2", [])
    make_wheel(checkout.index, "beta", "1.0", [], "cp313-cp313-macosx_11_0_arm64")  # another file of a locked version
    assert checkout.compile() == []
    assert checkout.files() == before


def test_upgrade_changes_that_package_alone_in_every_lock_that_holds_it(checkout: LocksCheckout) -> None:
    before = checkout.files()
    make_wheel(checkout.index, "gamma", "1.2", ["beta<2"])
    assert checkout.compile("beta") == ["stages/one: beta 1.0 -> 1.1", "stages/two: beta 1.0 -> 1.1"]
    after = checkout.files()
    assert after["maintain/constraints.txt"] == "# one version\nbeta==1.1\n"
    assert after["services/three/requirements.txt"] == before["services/three/requirements.txt"]
    for folder in ("stages/one", "stages/two"):
        old, new = (entries(files[f"{folder}/requirements.txt"]) for files in (before, after))
        assert {name for name in {*old, *new} if old.get(name) != new.get(name)} == {"beta"}


def test_upgrade_gives_every_lock_the_newest_version_that_fits_all(checkout: LocksCheckout) -> None:
    """stages/one alone could have beta 1.3; gamma in stages/two takes 1.2 at most."""
    make_wheel(checkout.index, "beta", "1.2", [])
    make_wheel(checkout.index, "beta", "1.3", [])
    make_wheel(checkout.index, "gamma", "1.2", ["beta<1.3"])
    assert checkout.compile("beta", "gamma") == [
        "stages/one: beta 1.0 -> 1.2",
        "stages/two: beta 1.0 -> 1.2",
        "stages/two: gamma 1.1 -> 1.2",
    ]


def test_upgrade_of_two_that_move_together(checkout: LocksCheckout) -> None:
    """beta 2 fits alpha, but not gamma 1.1; so it waits for a gamma that takes it."""
    make_wheel(checkout.index, "gamma", "1.2", ["beta>=2"])
    changes = checkout.compile("gamma", "beta")
    assert "stages/two: gamma 1.1 -> 1.2" in changes
    assert "stages/one: beta 1.0 -> 2.0" in changes


def test_upgrade_to_a_named_version(checkout: LocksCheckout) -> None:
    checkout.compile("gamma==1.0")
    assert held(checkout, "stages/two") == {"beta": "1.0", "gamma": "1.0"}


def test_upgrade_that_does_not_fit_is_refused_and_changes_nothing(checkout: LocksCheckout) -> None:
    before = checkout.files()
    with pytest.raises(AirflowMlError, match=r"stages/two/requirements\.in cannot be resolved") as error:
        checkout.compile("beta==2.0")
    assert "make lock PACKAGE='A B'" in str(error.value)
    assert checkout.files() == before


@pytest.mark.parametrize(("what", "message"), [("omega", "no lock holds omega"), ("a b", "found the package 'a b'")])
def test_package_that_cannot_be_upgraded_is_refused(checkout: LocksCheckout, what: str, message: str) -> None:
    with pytest.raises(AirflowMlError, match=message):
        checkout.compile(what)


def test_new_lock_gets_the_versions_of_the_other_stages(checkout: LocksCheckout) -> None:
    (checkout.root / "stages/new").mkdir()
    (checkout.root / "stages/new/requirements.in").write_text("gamma\n")
    (checkout.root / "stages/two/requirements.in").write_text("gamma\n")
    make_wheel(checkout.index, "gamma", "1.2", [])
    before = checkout.files()
    changes = checkout.compile(folders=["stages/new"])
    assert changes == ["stages/new: beta not there -> 1.0", "stages/new: gamma not there -> 1.1"]
    new = {"stages/new/requirements.txt"}
    assert {name: text for name, text in checkout.files().items() if name not in new} == before


def test_edited_constraint_wins_over_the_other_locks(checkout: LocksCheckout) -> None:
    (checkout.root / "maintain/constraints.txt").write_text("beta==1.1\n")
    assert checkout.compile() == ["stages/one: beta 1.0 -> 1.1", "stages/two: beta 1.0 -> 1.1"]


@pytest.mark.parametrize(("package", "expected"), [((), {"delta", "server"}), (("server==1.1",), {"delta", "server"})])
def test_package_that_requirements_leave_out_is_not_locked(
    checkout: LocksCheckout, package: tuple[str, ...], expected: set[str]
) -> None:
    """A line `# without: NAME`, though the metadata of another package asks for it."""
    make_wheel(checkout.index, "plots", "1.0", [])
    for version in ("1.0", "1.1"):
        make_wheel(checkout.index, "server", version, ["delta", "plots"])
    (checkout.root / "services/three/requirements.in").write_text("server\n# why so\n# without: plots\n")
    checkout.compile()
    if package:
        checkout.compile(*package)
    assert set(held(checkout, "services/three")) == expected


def test_tests_run_the_airflow_that_is_locked_in_the_same_run(checkout: LocksCheckout) -> None:
    for folder, text in (("services/airflow", "gamma==1.0\n"), ("tests", "-r ../services/airflow/requirements.in\n")):
        (checkout.root / folder).mkdir()
        (checkout.root / folder / "requirements.in").write_text(text)
    checkout.compile()
    assert held(checkout, "tests") == held(checkout, "services/airflow") == {"beta": "1.0", "gamma": "1.0"}
