"""The page in a real browser: what is dropped, clicked, shown and refused."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

pytest.importorskip("gradio", reason="the page needs gradio: pip install 'mszoo[web]'")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'mszoo[browser]'")

from mszoo.web import serve  # noqa: E402
from mszoo.web.photographs import MOST_PIXELS  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("needs a browser: apt-get install chromium", allow_module_level=True)

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
WAIT = 120_000  # milliseconds; two processors may be shared by several tests


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serve() as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Any]:
    """Opens pages, and asserts that they ask no other computer."""
    pages, hosts = [], set()

    def open_page(size: dict[str, int] = DESK) -> Any:
        page = browser.new_page(viewport=size)
        page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
        page.set_default_timeout(WAIT)
        page.goto(address)
        page.wait_for_selector("#example")
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert {host.split(":")[0] for host in hosts if host} == {"127.0.0.1"}


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "cat.png"
    Image.fromarray(data.chelsea()[100:164, 120:200]).save(path)
    return path


def drop(page: Any, *paths: Path) -> None:
    page.set_input_files("#files input[type=file]", [str(path) for path in paths])


def message(page: Any, text: str) -> str:
    page.wait_for_selector(f"#message:has-text('{text}')")
    return page.inner_text("#message")


def answer(page: Any, verb: str, tab: str | None = None) -> str:
    """Click a verb's button, and wait for its line, which ends with the time that it took."""
    if tab is not None:
        page.get_by_role("tab", name=tab).click()
    page.locator(f"#{verb}-button").click()
    page.wait_for_selector(f"#{verb}-line:has-text(' s')")
    return page.inner_text(f"#{verb}-line")


def shown(page: Any, verb: str, count: int) -> list[dict[str, Any]]:
    """Address and size of the pictures that answer a verb, once there are so many and all have arrived."""
    page.wait_for_function(
        """([where, count]) => {
            const found = [...document.querySelectorAll(where)]
            return found.length === count && found.every(one => one.complete && one.naturalWidth)
        }""",
        arg=[f"#{verb}-result img", count],
    )
    one = "({address: one.src, width: one.naturalWidth, height: one.naturalHeight})"
    return page.locator(f"#{verb}-result img").evaluate_all(f"them => them.map(one => {one})")


def choose(page: Any, verb: str, model: str) -> None:
    page.locator(f"#{verb}-model input").click()
    page.get_by_role("option", name=model, exact=True).click()


def test_a_photograph_is_dropped_and_denoised_under_a_slider(opened, photo):
    page = opened()
    drop(page, photo)
    assert "cat.png" in message(page, "Chosen")
    page.get_by_label("number input for Add noise first").fill("0.1")
    line = answer(page, "denoise")
    before, after = map(float, re.search(r"PSNR ([\d.]+) dB before, ([\d.]+) dB", line).groups())
    assert "photographs-colour" in line
    assert 19 < before < 22 < after
    noisy, denoised = shown(page, "denoise", 2)
    assert noisy["width"] == denoised["width"] == 80
    assert noisy["address"] != denoised["address"]


def test_an_energy_finds_the_noise_or_is_told_it(opened, photo):
    page = opened()
    drop(page, photo)
    message(page, "Chosen")
    page.get_by_label("number input for Add noise first").fill("0.2")
    choose(page, "denoise", "cifar10-grey-energy")
    found = float(re.search(r"noise level ([\d.]+) .*found", answer(page, "denoise")).group(1))
    assert 0.17 < found < 0.23
    page.get_by_label("as below").click()
    page.get_by_label("number input for Noise level that the model is told").fill("0.3")
    page.locator("#denoise-button").click()
    page.wait_for_selector("#denoise-line:has-text('told')")
    assert "noise level 0.3000" in page.inner_text("#denoise-line")


def test_a_hole_is_painted_and_filled(opened, photo):
    page = opened()
    drop(page, photo)
    message(page, "Chosen")
    page.get_by_role("tab", name="Fill a hole").click()
    choose(page, "fill", "photographs-grey-fast")
    page.locator("#fill-button").click()
    page.get_by_text("paint a hole into the photograph first").wait_for()
    page.locator("#fill-editor [aria-label=Undo]:enabled").wait_for()  # the photograph is in the editor
    box = page.locator("#fill-editor canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 10, y)
    page.mouse.down()
    page.mouse.move(x + 10, y, steps=4)
    page.mouse.up()
    uploads = []
    page.on("request", lambda request: uploads.append(request) if "/upload" in request.url else None)
    filled, of = re.search(r"([\d,]+) of ([\d,]+) pixels filled", answer(page, "fill")).groups()
    assert 0 < int(filled.replace(",", "")) < int(of.replace(",", "")) == 64 * 80
    assert 0 < len(uploads) < 20  # of the editor's three pictures, not at every step


def test_log_p_has_its_scales_and_its_map(opened, photo):
    page = opened()
    drop(page, photo)
    message(page, "Chosen")
    said = answer(page, "log-prob", "How probable?")
    total = float(re.match(r"([\d.]+) bits/dim", said).group(1))
    parts = page.locator("#log-prob-line tbody tr td:last-child").all_inner_texts()
    assert len(parts) == 4  # three scales of details, and the coarsest image
    assert sum(map(float, parts)) == pytest.approx(total, abs=0.003)
    shown(page, "log-prob", 1)


@pytest.mark.slow
def test_small_photographs_are_enlarged_and_samples_drawn(opened, photo):
    page = opened()
    drop(page, photo)
    message(page, "Chosen")
    assert "80 x 64 to 160 x 128" in answer(page, "enlarge", "Enlarge")
    assert "4 of 64 x 64" in answer(page, "draw", "Draw")
    assert len(shown(page, "draw", 4)) == 4


def test_what_is_no_photograph_is_told_and_not_kept(opened, tmp_path):
    page = opened()
    page.locator("#denoise-button").click()
    page.get_by_text("drop a photograph first").wait_for()
    text, broken, large = (tmp_path / name for name in ("notes.png", "broken.png", "large.png"))
    text.write_text("no picture")
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(broken)
    broken.write_bytes(broken.read_bytes()[:60])
    Image.new("L", (MOST_PIXELS // 1000 + 1, 1000)).save(large)
    drop(page, text, broken, large)
    said = message(page, "large.png")
    assert "notes.png cannot be read" in said
    assert "broken.png cannot be read" in said
    assert "large.png is too large for this page" in said
    kept = [path.name for path in Path(os.environ["GRADIO_TEMP_DIR"]).rglob("*") if path.is_file()]
    assert not {"notes.png", "broken.png", "large.png"} & set(kept)


def test_three_at_once_get_each_their_own(opened, tmp_path):
    pages = [opened(size) for size in (DESK, PHONE, DESK)]
    for i, page in enumerate(pages):
        path = tmp_path / f"mine-{i}.png"
        Image.fromarray(data.camera()[200 : 240 + 8 * i, 200:264]).save(path)
        drop(page, path)
    for i, page in enumerate(pages):
        assert f"mine-{i}.png" in message(page, "Chosen")
        page.locator("#denoise-button").click()
    for i, page in enumerate(pages):
        page.wait_for_selector("#denoise-line:has-text(' s')")
        assert {one["height"] for one in shown(page, "denoise", 2)} == {40 + 8 * i}


def test_nothing_is_wider_than_a_phone(opened):
    page = opened(PHONE)
    page.locator("#example").click()
    assert "astronaut" in message(page, "Chosen")
    answer(page, "denoise")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_its_files_are_gone_with_it_and_another_page_keeps_its_own():
    before = os.environ.get("GRADIO_TEMP_DIR")  # of the page that the other tests open, if it is there
    with serve() as address:
        assert address.startswith("http://127.0.0.1:")
        folder = Path(os.environ["GRADIO_TEMP_DIR"])
        assert folder.is_dir()
    assert not folder.exists()
    assert os.environ.get("GRADIO_TEMP_DIR") == before
