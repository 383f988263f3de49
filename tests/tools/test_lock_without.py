"""A `requirements.in` can leave out what a package's metadata asks for: locked, recorded, and checked like the rest."""

import json
import re
from pathlib import Path

import pytest

from tests.locks_checkout import LocksCheckout, make_wheel

SOURCE, LOCK, BOM = (f"services/three/{name}" for name in ("requirements.in", "requirements.txt", "sbom.cdx.json"))


@pytest.fixture
def checkout(tmp_path: Path) -> LocksCheckout:
    """A service that needs `server`, which asks for `delta` and for `plots`, and that for `gamma`."""
    one = LocksCheckout(tmp_path)
    make_wheel(one.index, "server", "1.0", ["delta", "plots"])
    make_wheel(one.index, "plots", "1.0", ["gamma"])
    (one.root / SOURCE).write_text("server\n# why\n# without: Plots\n")
    one.compile()
    return one


def test_lock_holds_neither_the_package_nor_what_only_it_needs(checkout: LocksCheckout) -> None:
    assert re.findall(r"^([a-z]+)==", (checkout.root / LOCK).read_text(), re.MULTILINE) == ["delta", "server"]
    checkout.run("check")


def test_bill_of_materials_records_what_was_left_out(checkout: LocksCheckout) -> None:
    properties = json.loads((checkout.root / BOM).read_text())["metadata"]["properties"]
    assert [found["value"] for found in properties if found["name"].endswith(":without")] == ["plots"]


def test_line_that_is_gone_is_told_and_compiled(checkout: LocksCheckout) -> None:
    (checkout.root / SOURCE).write_text("server\n")
    said = checkout.run("check", code=1).stderr
    assert f"found {SOURCE} without nothing; expected: plots" in said
    checkout.compile()
    assert "plots==1.0" in (checkout.root / LOCK).read_text()
    checkout.run("check")


def test_another_version_of_one_package_still_leaves_it_out(checkout: LocksCheckout) -> None:
    make_wheel(checkout.index, "server", "1.1", ["delta", "plots"])
    checkout.compile("server==1.1")
    assert re.findall(r"^([a-z]+)==(\S+)", (checkout.root / LOCK).read_text(), re.MULTILINE) == [
        ("delta", "1.0"),
        ("server", "1.1"),
    ]
