"""The links that a sweep prints, opened as on a first visit: in Chromium with an empty profile."""

import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

pytest.importorskip("selenium")

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.conftest import CommandLine
from tests.tracking.server import free_port

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="needs Chromium and its driver"),
]

SIZE = "1900,1500"
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
SECONDS = 60
"""For a page to show what it should."""

SWEEP = ("-m", "optimizer.learning_rate=0.3,0.7", "initializer.scale=0.1,0.3", "trainer.epochs=50", "sweep.confirm=0")
PARAMETERS = ("optimizer.learning_rate", "initializer.scale")
NAMES = {f"learning_rate={rate} scale={scale}" for rate in (0.3, 0.7) for scale in (0.1, 0.3)}

CANVAS_IS_DRAWN = """
    return [...document.querySelectorAll("canvas.foreground")].some((canvas) =>
        canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0))
"""
"""The lines of parallel coordinates."""
SCROLL_ON = """
    const cards = [...document.querySelectorAll("[data-testid=experiment-view-compare-runs-card]")]
    const points = (card) => card.querySelectorAll(".js-plotly-plot .point").length
    const next = cards.slice(1).find((card) => points(card) < arguments[0]) || cards.at(-1)
    next && next.scrollIntoView({block: "start"})
    return cards.map((card) => [card.querySelector("h4").textContent, points(card)])
"""
"""MLflow draws the charts that are in sight, and forgets others: this returns titles and numbers of points."""


def lines_of(printed: str) -> dict[str, str]:
    """Return the lines of a sweep's end by their titles: a command to start MLflow, and links."""
    pairs = [line.strip().partition(" ") for line in printed.splitlines()]
    return {title: rest.strip() for title, _, rest in pairs if title == "MLflow" or "://" in rest}


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Yield the links of a sweep by their titles, with MLflow running where they lead."""
    nnexp = CommandLine(tmp_path_factory.mktemp("sweep"))
    folder = nnexp.folder
    alone, result = nnexp("trainer.epochs=50"), nnexp(*SWEEP)
    assert (alone.stderr, result.returncode, result.stderr) == ("", 0, "")
    found = {**lines_of(result.stdout), "Run": lines_of(alone.stdout)["then"]}
    address = f"http://127.0.0.1:{free_port()}"
    command = [*shlex.split(found.pop("MLflow")), "--port", address.rpartition(":")[2], "--no-browser"]
    command[0] = sys.executable
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, env=CommandLine(folder).environment()
    ) as process:
        try:
            wait_for_server(address)
            pages = {title: link.replace("http://127.0.0.1:5000", address) for title, link in found.items()}
            yield {**pages, "best": re.findall(r"(?:Best|Lowest): ([^,]+),", result.stdout)[0]}
        finally:
            process.terminate()


def wait_for_server(address: str) -> None:
    for _ in range(10 * SECONDS):
        try:
            with urlopen(f"{address}/health", timeout=1):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise TimeoutError(address)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    """Yield a browser that has never been anywhere."""
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in [*FLAGS, f"--window-size={SIZE}", f"--user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(flag)
    driver = Chrome(options, Service(DRIVER))
    try:
        yield driver
    finally:
        driver.save_screenshot(str(tmp_path / "page.png"))  # pytest keeps the folder, for a look at what went wrong
        driver.quit()


def eventually(browser: Chrome, seen: Callable[[Chrome], bool], what: str) -> None:
    WebDriverWait(browser, SECONDS).until(seen, what)


def texts(browser: Chrome, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((element) => element.textContent)"
    found: list[str] = browser.execute_script(script, selector)
    return found


def test_the_runs_of_a_sweep_are_listed_and_drawn_the_best_first(browser: Chrome, links: dict[str, str]) -> None:
    def names(page: Chrome) -> list[str]:
        return texts(page, "[role=row] a[href*='/runs/']")

    browser.get(links["Runs"])
    eventually(browser, lambda page: set(names(page)) == NAMES, "the names of all runs")
    assert names(browser)[0] == links["best"]
    eventually(browser, lambda page: "Models" in texts(page, "nav a"), "the part of MLflow that is about training")
    eventually(browser, lambda page: bool(page.execute_script(CANVAS_IS_DRAWN)), "lines of parallel coordinates")

    points: dict[str, int] = {}

    def are_drawn(page: Chrome) -> bool:
        for title, count in page.execute_script(SCROLL_ON, len(NAMES)):
            points[title] = max(count, points.get(title, 0))
        return [count >= len(NAMES) for count in points.values()][1:5] == [True] * 4

    eventually(browser, are_drawn, "points in the charts below")
    assert [*points][:3] == ["Parallel Coordinates", *(f"{name} vs. final/test/loss" for name in PARAMETERS)]


def has_whole_pictures(page: Chrome) -> bool:
    widths: list[int] = page.execute_script("return [...document.images].map((image) => image.naturalWidth)")
    return min(widths, default=0) > 0


def test_a_stranger_finds_the_runs_the_report_the_curves_and_the_model(browser: Chrome, links: dict[str, str]) -> None:
    def follow(text: str) -> None:
        eventually(browser, lambda page: bool(page.find_elements(By.PARTIAL_LINK_TEXT, text)), text)
        browser.get(str(browser.find_element(By.PARTIAL_LINK_TEXT, text).get_attribute("href")))

    run, _, query = links["Run"].partition("?")
    experiment = run.partition("/runs/")[0]
    browser.get(experiment)  # the part of MLflow that a first visit opens
    follow("All runs")
    follow("epochs=50")
    eventually(browser, lambda page: page.current_url.startswith(run), "the run")
    follow("Report")
    eventually(browser, lambda page: bool(page.find_elements(By.TAG_NAME, "iframe")), "its report")
    browser.switch_to.frame(browser.find_element(By.TAG_NAME, "iframe"))
    eventually(browser, has_whole_pictures, "its pictures")

    def sections(page: Chrome) -> list[str]:
        return re.findall(r"^(.+)\n? ?\(\d+\)$", page.find_element(By.TAG_NAME, "body").text, re.MULTILINE)

    browser.get(f"{run}/model-metrics?{query}")
    eventually(browser, lambda page: {"test", "train"} <= {*sections(page)}, "curves")
    browser.get(f"{experiment}/models?{query}")
    eventually(browser, lambda page: bool(page.find_elements(By.LINK_TEXT, "model")), "its model")


def test_the_report_of_a_sweep_has_its_name_and_its_answer(browser: Chrome, links: dict[str, str]) -> None:
    browser.get(links["Report"])
    name = "learning_rate x scale (4 runs)"
    eventually(browser, lambda page: texts(page, "[data-testid=runs-header]") == [name], "the name of the sweep")
    eventually(browser, lambda page: bool(page.find_elements(By.TAG_NAME, "iframe")), "its report")
    browser.switch_to.frame(browser.find_element(By.TAG_NAME, "iframe"))
    eventually(browser, lambda page: links["best"] in page.find_element(By.TAG_NAME, "body").text, "its answer")
    eventually(browser, has_whole_pictures, "its pictures")
