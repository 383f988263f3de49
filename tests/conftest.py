"""Rules for every test run: a skipped test is a failed run, for what did not run proves nothing."""

import signal

import pytest
from hypothesis import settings

# What `make fuzz` runs with; without it, each property has a hundred examples.
settings.register_profile("fuzz", max_examples=3000, deadline=None)


def pytest_configure() -> None:
    # What a shell starts in the background ignores SIGINT, and so does all that it starts: tests send it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
