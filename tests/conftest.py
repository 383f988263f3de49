"""Rules for every test run: a skipped test is a failed run, for what did not run proves nothing."""

import signal

import pytest
from hypothesis import HealthCheck, settings

# How many examples a property has: a few, not at random, so that a run of the same tests passes or fails each time.
# `make fuzz` looks for new faults, thousands at random, also where hypothesis sees CI and would not. No test depends
# on the speed of the machine. A folder is made once for a test, and each example replaces what is in it.
_ANY_MACHINE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
settings.register_profile("few", _ANY_MACHINE, max_examples=40, derandomize=True)
settings.register_profile("fuzz", _ANY_MACHINE, max_examples=3000, derandomize=False)
settings.load_profile("few")


def pytest_configure() -> None:
    # What a shell starts in the background ignores SIGINT, and so does all that it starts: tests send it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
