"""`./airflow-ml audit` with the real pip-audit and a vulnerability service on this machine; no other is asked."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from airflow_ml import audit as module
from airflow_ml.common import AirflowMlError

from tests.locks_checkout import LocksCheckout

# What the service knows, as OSV answers: alpha 1.1 has a hole.
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


class Audit:
    """The exit code of an audit, what it printed, and its error."""

    def __init__(self, checkout: LocksCheckout, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.error, self.code = "", 0
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("no_proxy", "127.0.0.1")
            try:
                self.code = module.audit(checkout.root, "osv", url)
            except AirflowMlError as error:
                self.code, self.error = error.exit_code, str(error)
        self.lines = capsys.readouterr().out.splitlines()


def ignore(checkout: LocksCheckout, **more: str) -> None:
    entry = {"id": '"CVE-2026-0001"', "package": '"alpha"', "reason": '"no door here"', "expires": FAR, **more}
    text = "[[ignore]]\n" + "".join(f"{key} = {value}\n" for key, value in entry.items() if value)
    (checkout.root / "maintain/audit-ignore.toml").write_text(text)


def test_vulnerable_version_is_named_with_its_lock_and_fails(
    checkout: LocksCheckout, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    done = Audit(checkout, service.url, capsys)
    assert (done.code, done.error) == (1, "")
    assert done.lines == [
        "services/three/requirements.txt: nothing found",
        "stages/one/requirements.txt: 1 found",
        "  alpha==1.1: CVE-2026-0001 GHSA-aaaa-bbbb-cccc, fixed in 2.0: alpha opens the door",
        "stages/two/requirements.txt: nothing found",
        "osv answered for 4 versions in 3 locks: 1 known vulnerability to act on",
    ]
    assert set(service.asked) == {("alpha", "1.1"), ("beta", "1.0"), ("gamma", "1.1"), ("delta", "1.0")}


def test_nothing_found_succeeds(checkout: LocksCheckout, service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    checkout.compile("alpha==1.0")
    done = Audit(checkout, service.url, capsys)
    assert done.code == 0, done.error
    assert done.lines[-1] == "osv answered for 4 versions in 3 locks: no known vulnerabilities to act on"


def test_two_versions_of_one_package_are_both_asked_for(
    checkout: LocksCheckout, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = checkout.root / "services/three/requirements.txt"
    lock.write_text(lock.read_text().replace("delta==1.0", "alpha==1.0"))
    assert Audit(checkout, service.url, capsys).code == 1
    assert {("alpha", "1.0"), ("alpha", "1.1")} <= set(service.asked)


def test_version_for_another_platform_is_asked_for_too(
    checkout: LocksCheckout, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = checkout.root / "stages/one/requirements.txt"
    lock.write_text(lock.read_text().replace("alpha==1.1 ", "alpha==1.1 ; sys_platform == 'win32' "))
    assert Audit(checkout, service.url, capsys).code == 1


def test_ignored_vulnerability_is_shown_with_its_reason_and_passes(
    checkout: LocksCheckout, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    ignore(checkout)
    done = Audit(checkout, service.url, capsys)
    assert done.code == 0, done.error
    assert f"    ignored until {FAR}: no door here" in done.lines


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"expires": "2026-01-31"}, "CVE-2026-0001 of alpha is ignored no longer, since 2026-01-31; do: upgrade, or"),
        ({"package": '"beta"'}, "CVE-2026-0001 of beta was not found; do: remove the entry"),
    ],
)
def test_entry_that_has_no_effect_is_named_and_the_audit_fails(
    checkout: LocksCheckout,
    service: Service,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, str],
    message: str,
) -> None:
    ignore(checkout, **change)
    done = Audit(checkout, service.url, capsys)
    assert done.code == 1
    assert any(line.startswith(f"maintain/audit-ignore.toml: {message}") for line in done.lines)


@pytest.mark.parametrize("wrong", [{"reason": ""}, {"reason": '" "'}, {"expires": '"2999-01-31"'}, {"more": "1"}])
def test_entry_without_reason_or_day_is_refused(
    checkout: LocksCheckout, service: Service, capsys: pytest.CaptureFixture[str], wrong: dict[str, str]
) -> None:
    ignore(checkout, **wrong)
    done = Audit(checkout, service.url, capsys)
    assert done.code == 3
    assert "expected: id, package, reason, and expires as a day like 2027-01-31" in done.error
    assert service.asked == []


def not_audited(done: Audit) -> None:
    assert (done.code, done.lines) == (3, [])
    assert done.error.startswith("the locks were not audited, so nothing is known of them: osv: ")


def test_service_out_of_reach_is_no_success(
    checkout: LocksCheckout, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.server.shutdown()
    service.server.server_close()
    not_audited(Audit(checkout, service.url, capsys))


def test_service_that_fails_for_one_package_is_no_success(
    checkout: LocksCheckout, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.broken = {"gamma"}
    not_audited(Audit(checkout, service.url, capsys))


def test_version_that_the_service_does_not_know_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip-audit skips what an index answers with 404, and exits with 0."""
    monkeypatch.setattr(module, "run_pip_audit", lambda pins, *_: {pin: [] for pin in pins if pin[0] != "beta"})
    with pytest.raises(AirflowMlError, match="no answer for beta 1") as error:
        module.ask([("alpha", "1"), ("beta", "1")], "pypi", None)
    assert error.value.exit_code == 3


def test_checkout_without_locks_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(AirflowMlError, match="holds no lock") as error:
        module.audit(tmp_path, "osv")
    assert error.value.exit_code == 3
