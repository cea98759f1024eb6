"""A report: what it says, what it leaves out, and that it is one file."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.factories import denoiser, energy


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i, name in enumerate(["a.png", "b.png", "<b>&.png"]):
        Image.fromarray(rng.integers(0, 40 + 80 * i, (32, 32), np.uint8)).save(folder / name)
    return folder


class _Sources(HTMLParser):
    """What a page would load, and whether each tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.loaded += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def written(mszoo_command, model, photos, tmp_path, *words) -> tuple[str, str]:
    model.save_pretrained(tmp_path / "mine")
    words = words or ("--beside", "tv", "--images", "1")
    out = tmp_path / "report.html"
    code, said, complaints = mszoo_command(
        *("report", tmp_path / "mine", "--data", photos, "--out", out, "--sigma", "0.1", "--sigma", "0.2", *words)
    )
    assert code == 0, complaints
    return out.read_text(encoding="utf-8"), said


def test_of_an_energy_it_has_log_p_with_its_ends_and_maps_in_one_file(mszoo_command, photos, tmp_path):
    text, said = written(mszoo_command, energy(), photos, tmp_path)
    for heading in ("Denoising", "Samples", "log p", "To measure it again", "The recipe"):
        assert f"<h2>{heading}</h2>" in text
    assert "3 image(s): mean" in text
    assert "mszoo log-prob photos --model mine" in text
    assert "left out: log p" not in said
    page = _Sources()
    page.feed(text)
    assert not page.open
    assert page.loaded
    assert all(source.startswith("data:image/png;base64,") for source in page.loaded)
    assert "&lt;b&gt;&amp;.png" in text
    assert "<b>&.png" not in text
    assert str(tmp_path) not in text  # a path of this computer is nobody else's business


def test_of_a_denoiser_it_leaves_out_log_p_and_says_why(mszoo_command, photos, tmp_path):
    text, said = written(mszoo_command, denoiser(), photos, tmp_path)
    assert "<h2>log p</h2>" not in text
    assert "has no energy" in text[text.index("<h2>Left out</h2>") :]
    assert "left out: log p" in said
    assert "mszoo log-prob" not in text


@pytest.mark.slow
def test_baselines_stand_beside_it(mszoo_command, photos, tmp_path):
    text, _ = written(mszoo_command, denoiser(), photos, tmp_path, "--images", "1")
    rows = re.findall(r"<tr><td>([\w-]+)(?:, told sigma)?</td><td>[\d.]+</td><td>[\d.]+</td>", text)
    assert {"noisy", "mine", "nl-means", "wavelet", "tv"} <= set(rows)


@pytest.mark.parametrize("name", ["report.pdf", "nowhere.png/report.html"])
def test_a_page_that_cannot_be_written_is_told_before_anything_is_measured(mszoo_command, tmp_path, name):
    (tmp_path / "nowhere.png").write_bytes(b"")
    code, _, err = mszoo_command("report", "cifar10-grey-energy", "--out", tmp_path / name)
    assert code == 1
    assert name.split("/")[0] in err


def test_a_page_that_is_there_is_not_replaced_unasked(mszoo_command, tmp_path):
    (tmp_path / "report.html").write_text("mine")
    code, _, err = mszoo_command("report", "cifar10-grey-energy", "--out", tmp_path / "report.html")
    assert (code, "--overwrite" in err, (tmp_path / "report.html").read_text()) == (1, True, "mine")


def test_it_opens_in_a_browser_without_a_network(mszoo_command, photos, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'mszoo[browser]'")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs a browser: apt-get install chromium")
    written(mszoo_command, energy(), photos, tmp_path)
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(offline=True, viewport={"width": 390, "height": 844})
        page, faults = context.new_page(), []
        page.on("console", lambda told: faults.append(told.text) if told.type in ("error", "warning") else None)
        page.on("request", lambda request: faults.append(request.url) if request.url.startswith("http") else None)
        page.goto((tmp_path / "report.html").as_uri())
        pictures = page.locator("img").evaluate_all("them => them.map(one => one.naturalWidth)")
        width = page.evaluate("document.documentElement.scrollWidth")
        browser.close()
    assert pictures
    assert min(pictures) > 0
    assert width <= 390
    assert not faults
