"""One way for every alert: claim it, compose it, send it to the channels, keep it in the sink.

Raises nothing: an alert that cannot be sent must not change the failure that it reports. What went wrong with the
alert itself is logged, and kept with it.
"""

import logging
from collections.abc import Callable

from ml.alerts import channels, sink
from ml.alerts.message import Message, Severity
from ml.links import run_page

log = logging.getLogger(__name__)

# The Dag and its run, and what else names the event.
Key = tuple[str | int, ...]


def deliver(kind: str, key: Key, compose: Callable[[], Message]) -> None:
    """Send an alert to all channels and keep it, unless this was done for the key before.

    :param kind: what the alert reports, such as `breach`; named if the alert cannot be composed
    :param key: the Dag, the run and what else identifies the event; equal for all processes that notice it
    """
    try:
        if not sink.claim(*key):
            log.info("The %s alert of %s was sent before", kind, key)
            return
    except OSError as error:
        log.error("The sink %s cannot be written (%s): this alert may be sent twice", sink.folder(), error)
    message = _composed(kind, key, compose)
    problems = channels.send(message)
    for problem in problems:
        log.error("Alert not sent: %s", problem)
    try:
        sink.keep(message, problems)
        log.info("Alert %r: kept in %s", message.subject, sink.folder() / "alerts.log")
    except OSError as error:
        log.error("Alert %r could not be kept in %s: %s", message.subject, sink.folder(), error)


def _composed(kind: str, key: Key, compose: Callable[[], Message]) -> Message:
    try:
        return compose()
    except Exception as error:  # an alert without its facts is better than no alert
        log.exception("The %s alert of %s could not be composed", kind, key)
        about = " ".join(map(str, key))
        facts = {
            "Alert": f"{kind}, about: {about}",
            "Error": f"the alert could not be composed: {error!r}",
            "Do": "look at the run, and report this error: it is one of the alerts' own code",
        }
        title = f"{about}: {kind}; the alert could not be composed"
        return Message(Severity.ERROR, title, facts, _page(key))


def _page(key: Key) -> str:
    try:
        return run_page(*map(str, key[:2]))
    except Exception as error:  # what made composing fail, such as Airflow's settings, may make this fail too
        return f"not known ({error!r})"
