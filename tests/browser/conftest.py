"""A real Chromium, driven by Playwright: both are looked for when a test wants them."""

import os
import shutil

import pytest

from tests.support.programs import lcl
from tests.support.reports import WRONG_LAYER

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = (
    "no Chromium: install the system's (on Debian `apt-get install chromium`), or name one with CHROMIUM=/path/to/it"
)


@pytest.fixture(scope="session")
def chromium():
    """Start the browser once."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.exit(MISSING, returncode=1)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.exit("no Playwright: `make test-browser` installs it, and runs these tests", returncode=1)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


class Visitor:
    """A window, and what went wrong in it: errors, and everything that it asked a network for."""

    def __init__(self, browser, width, height=900, scheme="light", **more):
        self.page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme, **more)
        self.page.set_default_timeout(15_000)
        self.complaints, self.requests = [], []
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type != "log" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, path, address=""):
        """Open a file anew."""
        self.page.goto("about:blank")
        self.page.goto(f"{path.as_uri()}{address}")
        return self.page


@pytest.fixture
def visit(chromium):
    """Give a function that opens a window; after the test none may have had an error or asked a network."""
    visitors = []

    def make(width=1600, **settings):
        visitors.append(Visitor(chromium, width, **settings))
        return visitors[-1]

    yield make
    for visitor in visitors:
        visitor.page.close()
        assert visitor.complaints == []
        assert [url for url in visitor.requests if not url.startswith(("file:", "about:", "data:"))] == []


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Run a wrong layer and a right one, and make their pages."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "wrong.py").write_text(WRONG_LAYER)
    globs = ("[0123]d/plain/*", "1d/rounded/*", "2d/groups/*", "2d/padding/same-upper-stride")
    words = [word for glob in globs for word in ("-c", glob)]
    layers = ["-b", "wrong.py", "-b", "numpy.loop"]
    done = lcl("run", *layers, *words, "--no-diagnose", "--json", "r.json", "--html", "r.html", cwd=folder)
    assert done.returncode == 1, done.stderr
    return folder


@pytest.fixture(scope="session")
def axe():
    """Return the violations of WCAG 2.2 A and AA, and of good practice, that axe sees in a page."""
    from axe_playwright_python.sync_playwright import Axe

    def violations(page):
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found = Axe().run(page, options={"runOnly": tags}).response["violations"]
        return [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in found]

    return violations
