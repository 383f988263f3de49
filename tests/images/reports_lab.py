"""The real service of the reports in a container, and a browser to look at its pages."""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from typing import Any

from playwright.sync_api import Browser, HttpCredentials, Page, sync_playwright

from tests.harness import PATIENCE_S, docker, images, page_login, wait_until

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
PASSWORD = "of-the-pages-and-longer"
LOGIN: HttpCredentials = {"username": "ml", "password": PASSWORD}
PHONE, DESKTOP = (360, 800), (1280, 900)


@dataclass
class Service:
    """The service in a container of its own, confined as compose confines it."""

    container: str
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, method: str = "GET", **headers: str) -> HTTPResponse:
        """The answer to a request; its content was read and is `response.content`."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)) as connection:
            connection.putrequest(method, path, skip_host=True)
            for name, value in {"Host": f"localhost:{self.port}", **page_login(PASSWORD), **headers}.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            response = connection.getresponse()
            response.content = response.read()  # type: ignore[attr-defined]
            return response

    def text(self, path: str) -> str:
        response = self.ask(path)
        assert response.status == 200
        return str(response.content.decode())  # type: ignore[attr-defined]

    def answers(self) -> bool:
        try:
            return self.ask("/healthz").status == 200
        except OSError:
            return False

    def log(self) -> str:
        return docker("logs", self.container).stderr


def start_service(*options: str) -> Service:
    confined = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=64m", "--pids-limit=64"]
    published, password = "--publish=127.0.0.1::8000", f"--env=ML_PAGES_PASSWORD={PASSWORD}"
    container = docker(
        "run", "--detach", *confined, published, password, *options, images()["reports"], "serve"
    ).stdout.strip()
    port = int(docker("port", container, "8000").stdout.splitlines()[0].rpartition(":")[2])
    service = Service(container, port)
    wait_until(service.answers, "the service answers", container)
    return service


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless Chromium."""
    executable = next(filter(None, map(shutil.which, BROWSERS)))
    # Chromium's sandbox needs a user that is not root; the page is our own.
    arguments = [*ARGUMENTS, *(["--no-sandbox"] if os.getuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield browser
        browser.close()


@contextmanager
def open_page(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page for somebody who has logged in; the options are those of a context of the browser."""
    with closing(browser.new_context(http_credentials=LOGIN, **options)) as context:
        context.set_default_timeout(PATIENCE_S * 1000)
        yield context.new_page()


def watch(page: Page) -> tuple[list[str], list[str]]:
    """What the page's console says, and what it asks for, from now on."""
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    return said, asked
