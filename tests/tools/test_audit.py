"""`make audit` with the real pip-audit and a vulnerability service on this machine; no other is asked."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.locks_checkout import LocksCheckout, locks

# What the service knows, as OSV tells it: alpha 1.1 has a hole.
HOLE = {
    "id": "GHSA-aaaa-bbbb-cccc",
    "aliases": ["CVE-2026-0001"],
    "summary": "alpha opens the door",
    "affected": [
        {
            "package": {"name": "alpha", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}],
        }
    ],
}
FAR = "2999-01-31"


class Service:
    """Answers queries; `broken` are the packages that it has an error for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.broken: set[str] = set()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                name, version = query["package"]["name"], query["version"]
                service.asked.append((name, version))
                found = {"vulns": [HOLE]} if (name, version) == ("alpha", "1.1") else {}
                body = json.dumps(found).encode()
                self.send_response(500 if name in service.broken else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1/query"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def service() -> Iterator[Service]:
    one = Service()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> LocksCheckout:
    one = LocksCheckout(tmp_path_factory.mktemp("compiled"))
    one.compile()
    return one


@pytest.fixture
def checkout(compiled: LocksCheckout, tmp_path: Path) -> LocksCheckout:
    return LocksCheckout(tmp_path, like=compiled)


def audit(checkout: LocksCheckout, url: str) -> "CompletedProcess[str]":
    return locks("--root", str(checkout.root), "audit", "--osv-url", url, no_proxy="127.0.0.1")


def ignore(checkout: LocksCheckout, **more: str) -> None:
    entry = {"id": '"CVE-2026-0001"', "package": '"alpha"', "reason": '"no door here"', "expires": FAR, **more}
    text = "[[ignore]]\n" + "".join(f"{key} = {value}\n" for key, value in entry.items() if value)
    (checkout.root / "scripts/audit-ignore.toml").write_text(text)


def test_vulnerable_version_is_named_with_its_lock_and_fails(checkout: LocksCheckout, service: Service) -> None:
    done = audit(checkout, service.url)
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == [
        "services/three/requirements.txt: nothing found",
        "stages/one/requirements.txt: 1 found",
        "  alpha==1.1: CVE-2026-0001 GHSA-aaaa-bbbb-cccc, mended in 2.0: alpha opens the door",
        "stages/two/requirements.txt: nothing found",
        "4 versions in 3 locks, answered for by osv: 1 known vulnerability to act on",
    ]
    assert set(service.asked) == {("alpha", "1.1"), ("beta", "1.0"), ("gamma", "1.1"), ("delta", "1.0")}


def test_nothing_found_is_told_and_succeeds(checkout: LocksCheckout, service: Service) -> None:
    checkout.compile("alpha==1.0")
    done = audit(checkout, service.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("answered for by osv: no known vulnerabilities to act on")


def test_two_versions_of_one_package_are_both_asked_for(checkout: LocksCheckout, service: Service) -> None:
    lock = checkout.root / "services/three/requirements.txt"
    lock.write_text(lock.read_text().replace("delta==1.0", "alpha==1.0"))
    assert audit(checkout, service.url).returncode == 1
    assert {("alpha", "1.0"), ("alpha", "1.1")} <= set(service.asked)


def test_version_for_another_platform_is_asked_for_too(checkout: LocksCheckout, service: Service) -> None:
    lock = checkout.root / "stages/one/requirements.txt"
    lock.write_text(lock.read_text().replace("alpha==1.1 ", "alpha==1.1 ; sys_platform == 'win32' "))
    assert audit(checkout, service.url).returncode == 1


def test_ignored_one_is_told_with_its_reason_and_passes(checkout: LocksCheckout, service: Service) -> None:
    ignore(checkout)
    done = audit(checkout, service.url)
    assert done.returncode == 0, done.stderr
    assert f"    ignored until {FAR}: no door here" in done.stdout.splitlines()


def test_ignored_one_fails_again_when_its_day_is_over(checkout: LocksCheckout, service: Service) -> None:
    ignore(checkout, expires="2026-01-31")
    done = audit(checkout, service.url)
    assert done.returncode == 1
    assert "audit-ignore.toml: CVE-2026-0001 of alpha is not ignored any more, since 2026-01-31" in done.stdout


def test_ignored_one_of_another_package_does_not_count(checkout: LocksCheckout, service: Service) -> None:
    ignore(checkout, package='"beta"')
    done = audit(checkout, service.url)
    assert done.returncode == 1
    assert "audit-ignore.toml: CVE-2026-0001 of beta was not found; do: remove it from the list" in done.stdout


@pytest.mark.parametrize("wrong", [{"reason": ""}, {"reason": '" "'}, {"expires": '"2999-01-31"'}, {"more": "1"}])
def test_ignored_one_without_reason_or_day_is_refused(
    checkout: LocksCheckout, service: Service, wrong: dict[str, str]
) -> None:
    ignore(checkout, **wrong)
    done = audit(checkout, service.url)
    assert done.returncode == 3
    assert "expected: id, package, reason, and expires as a day like 2027-01-31" in done.stderr
    assert service.asked == []


def test_service_out_of_reach_is_no_all_clear(checkout: LocksCheckout, service: Service) -> None:
    service.server.shutdown()
    service.server.server_close()
    done = audit(checkout, service.url)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: the locks were not audited, so nothing is known of them:\n  osv: ")
    assert "Traceback" not in done.stderr


def test_service_that_fails_for_one_package_is_no_all_clear(checkout: LocksCheckout, service: Service) -> None:
    service.broken = {"gamma"}
    done = audit(checkout, service.url)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: the locks were not audited, so nothing is known of them:\n  osv: ")


def test_version_that_the_service_does_not_know_is_no_all_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip-audit skips what an index answers with 404, and ends well: that is not what we tell."""
    from airflow_ml.common import AirflowMlError as Failure
    from locks import audit as module

    monkeypatch.setattr(module, "run_pip_audit", lambda pins, *_: {pin: [] for pin in pins if pin[0] != "beta"})
    with pytest.raises(Failure, match="no answer for beta 1"):
        module.ask([("alpha", "1"), ("beta", "1")], "pypi", None)
