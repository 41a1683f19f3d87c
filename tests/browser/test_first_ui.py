"""What somebody does in the first five minutes, in a real browser against the whole platform."""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from tests.system.platform import PASSWORD, Platform

CHROMIUM = os.environ.get("SUTAZAI_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
DESK, POCKET = (1280, 900), (390, 844)


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with tempfile.TemporaryDirectory(prefix="sutazai-ui-") as folder:
        Path(folder).chmod(0o755)
        with Platform(Path(folder) / "home") as platform:
            yield platform


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("SUTAZAI_REQUIRE_REAL") == "1":
            pytest.fail("Chromium is not installed, and this run requires it")
        pytest.skip("Chromium is not installed: name one in SUTAZAI_CHROMIUM")
    with sync_playwright() as driver:
        # As root its own sandbox cannot be made; it sees no page but ours.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def opened(browser: Browser, size: tuple[int, int]) -> tuple[BrowserContext, Page, set[str]]:
    """A window, and the hosts that it asks for anything."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    context.set_default_timeout(20_000)
    page = context.new_page()
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    return context, page, hosts


def cookie_of(context: BrowserContext) -> dict[str, object] | None:
    return next((dict(cookie) for cookie in context.cookies() if cookie.get("name") == "sutazai_ui"), None)


def register(page: Page, name: str) -> None:
    page.get_by_role("tab", name="Create account").click()
    page.get_by_label("Email", exact=True).fill(f"{name}@example.org")
    page.get_by_label("Username", exact=True).fill(name)
    page.get_by_label("Password", exact=True).last.fill(PASSWORD)
    page.get_by_label("Password once more", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()


def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Email or username").fill(name)
    page.get_by_label("Password", exact=True).first.fill(password)
    # By keyboard: Enter sends the form.
    page.get_by_label("Password", exact=True).first.press("Enter")


def badge(page: Page, state: str) -> Locator:
    """Behind its icon, which is a word too."""
    return page.get_by_text(re.compile(rf"[a-z] ?{state}$"))


def expect_signed_in(page: Page) -> None:
    expect(page.get_by_role("heading", name="Agents")).to_be_visible(timeout=20_000)


@contextmanager
def at_the_api(platform: Platform, name: str) -> Iterator[httpx.Client]:
    """The same user, logged in without a browser."""
    with httpx.Client(base_url=platform.api, timeout=30, trust_env=False) as client:
        answer = client.post("/api/v1/auth/login", json={"username": name, "password": PASSWORD})
        client.headers["authorization"] = f"Bearer {answer.json()['data']['access_token']}"
        yield client


def browsers_signed_in(platform: Platform, name: str) -> int:
    """How many sessions of a browser the user has."""
    with at_the_api(platform, name) as client:
        sessions = client.get("/api/v1/auth/sessions").json()["data"]["sessions"]
        return sum("Chrome" in session["user_agent"] for session in sessions)


def test_the_first_five_minutes(platform: Platform, browser: Browser, tmp_path: Path) -> None:
    context, page, hosts = opened(browser, DESK)
    # Nobody was here before, and an address that was asked for is kept for later.
    page.goto(f"{platform.ui}/tasks")
    expect(page.get_by_label("Email or username")).to_be_visible(timeout=20_000)
    page.screenshot(path=tmp_path / "sign-in.png")
    register(page, "ada")
    expect(page.get_by_text("There are no tasks yet.")).to_be_visible(timeout=20_000)
    page.get_by_role("link", name="Agents", exact=True).click()
    expect_signed_in(page)
    page.screenshot(path=tmp_path / "agents.png")

    cookie = cookie_of(context)
    assert cookie is not None and (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])")
    for text in (stored, page.content()):
        assert str(cookie["value"]) not in text and not re.search(r"eyJ[\w-]+\.[\w-]+\.", text)
    assert browsers_signed_in(platform, "ada") == 1

    # A form, and a result that arrives by itself.
    page.get_by_role("link", name="Open Everything").click()
    page.get_by_role("combobox", name="Tool").click()
    page.get_by_role("option", name="trigger-long-running-operation").click()
    page.get_by_role("spinbutton", name="duration").fill("2")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(badge(page, "Running")).to_be_visible()
    page.screenshot(path=tmp_path / "running.png")
    expect(badge(page, "Succeeded")).to_be_visible()
    expect(page.get_by_text("The operation is complete.").first).to_be_visible()
    page.screenshot(path=tmp_path / "succeeded.png")

    # The task, and once more.
    page.get_by_role("link", name="Open the task").click()
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    first = page.url
    page.screenshot(path=tmp_path / "task.png")
    page.get_by_role("button", name="Retry").click()
    page.wait_for_url(lambda url: "task=" in url and url != first)
    expect(badge(page, "Succeeded")).to_be_visible()
    expect(page.get_by_role("link", name="What it retries")).to_be_visible()

    # A reload keeps both the page and who is signed in.
    page.reload()
    expect(page.get_by_role("link", name="What it retries")).to_be_visible(timeout=20_000)
    page.get_by_role("link", name="Tasks", exact=True).first.click()
    expect(page.get_by_role("link", name="everything · trigger-long-running-operation")).to_have_count(2)
    page.screenshot(path=tmp_path / "tasks.png")
    page.get_by_role("link", name="everything · trigger-long-running-operation").first.click()
    page.get_by_role("button", name="Change and run").click()
    expect(page.get_by_role("spinbutton", name="duration")).to_have_value("2")
    page.get_by_role("link", name="Health").click()
    expect(page.get_by_text("Everything works.")).to_be_visible()
    page.screenshot(path=tmp_path / "health.png")

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Email or username")).to_be_visible(timeout=20_000)
    assert cookie_of(context) is None
    assert browsers_signed_in(platform, "ada") == 0
    # Neither does a copy of the cookie lead back in.
    context.add_cookies([{**cookie, "sameSite": "Strict"}])  # type: ignore[typeddict-item]
    page.reload()
    expect(page.get_by_text("Your session has ended. Sign in to go on.")).to_be_visible(timeout=20_000)

    # "" stands for what pages bring along themselves.
    assert hosts - {""} == {urlsplit(platform.ui).netloc, urlsplit(platform.api).netloc}
    context.close()


def test_on_a_small_screen_one_signs_in_and_is_signed_out_from_elsewhere(
    platform: Platform, browser: Browser, tmp_path: Path
) -> None:
    answer = httpx.post(
        f"{platform.api}/api/v1/auth/register",
        json={"email": "bob@example.org", "username": "bob", "password": PASSWORD, "confirm_password": PASSWORD},
        trust_env=False,
    )
    assert answer.status_code == 201
    context, page, _ = opened(browser, POCKET)
    # Another name of this machine is as good.
    page.goto(platform.ui.replace("127.0.0.1", "localhost"))
    expect(page.get_by_label("Email or username")).to_be_visible(timeout=20_000)
    sign_in(page, "bob", "not the password")
    expect(page.get_by_text("the name or the password is wrong")).to_be_visible()
    page.screenshot(path=tmp_path / "refused.png")
    sign_in(page, "bob")
    expect_signed_in(page)
    page.screenshot(path=tmp_path / "agents.png")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= POCKET[0]

    # With a page open and nobody touching it.
    with at_the_api(platform, "bob") as elsewhere:
        assert elsewhere.delete("/api/v1/auth/sessions").json()["data"] == {"ended": 1}
    began = time.monotonic()
    expect(page.get_by_text("Your session has ended. Sign in to go on.")).to_be_visible(timeout=10_000)
    assert time.monotonic() - began < 5
    page.screenshot(path=tmp_path / "ended.png")
    context.close()
