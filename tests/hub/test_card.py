"""What a card says is what was measured, as the Hub's own client reads it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import HfApi, ModelCard
from huggingface_hub._eval_results import parse_eval_result_entries
from huggingface_hub.repocard_data import ModelCardData

from mszoo.evaluation import read_likelihoods, read_results
from mszoo.hub import packaged_models
from mszoo.hub.pushing import publication, push
from mszoo.inference import normalize
from mszoo.model import MultiScaleModel
from tests.hub.helpers import REPO, build, save
from tests.hub.server import HubServer

Entry = tuple[str, str, float]


@pytest.fixture(scope="module", params=["small", *packaged_models()])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "small":
        return save(build(), tmp_path_factory.mktemp("card"))
    return packaged_models()[request.param]


@pytest.fixture(scope="module")
def files(folder: Path) -> dict[str, bytes]:
    return publication(folder, REPO)


def data_of(text: bytes) -> ModelCardData:
    data = ModelCard(text.decode()).data
    assert isinstance(data, ModelCardData)
    return data


def assert_are_what_was_measured(entries: list[Entry], folder: Path) -> None:
    """Data set, metric and value of each number: all that were measured, once, and by a metric that tells its sigma."""
    psnr = [(r.data, row) for r in read_results(folder) for row in r.rows]
    bits = [(r.data, r.nll) for r in read_likelihoods(folder)]
    expected = sorted([*((data, row.denoised) for data, row in psnr), *bits])
    found = sorted((data, value) for data, _, value in entries)
    assert [data for data, _ in found] == [data for data, _ in expected]
    assert [value for _, value in found] == pytest.approx([value for _, value in expected], abs=1e-4)
    assert len({(data, metric) for data, metric, _ in entries}) == len(entries)
    for data, row in psnr:
        metrics = [m for d, m, value in entries if d == data and value == pytest.approx(row.denoised, abs=1e-4)]
        numbers = [float(n) for m in metrics for n in re.findall(r"\d+\.\d+|\d+", m)]
        assert any(n == pytest.approx(row.sigma, rel=1e-3) for n in numbers)


def test_the_model_index_holds_what_was_measured(folder: Path, files: dict[str, bytes]) -> None:
    results = data_of(files["README.md"]).eval_results
    assert results
    assert_are_what_was_measured([(r.dataset_name, r.metric_type, r.metric_value) for r in results], folder)
    assert all(r.metric_name for r in results)


def test_so_do_the_newer_results(folder: Path, files: dict[str, bytes]) -> None:
    names = [name for name in files if name.startswith(".eval_results/")]
    assert names
    benchmarks = yaml.safe_load(files["recipe.yaml"])["publication"].get("benchmarks", {})
    found: list[Entry] = []
    for name in names:
        data = Path(name).stem
        entries = parse_eval_result_entries(yaml.safe_load(files[name]))
        assert {entry.dataset_id for entry in entries} == {benchmarks.get(data, f"mszoo/{data}")}
        assert all(entry.notes and entry.notes.startswith("mszoo evaluate ") for entry in entries)
        found += [(data, entry.task_id, entry.value) for entry in entries]
    assert_are_what_was_measured(found, folder)


def test_the_header_has_what_the_hub_searches_by(folder: Path, files: dict[str, bytes]) -> None:
    data = data_of(files["README.md"])
    recipe = yaml.safe_load(files["recipe.yaml"])["publication"]
    assert data.library_name == "mszoo"
    assert data.license == recipe["license"]
    assert data.pipeline_tag == "image-to-image"
    assert set(recipe["tags"]) <= set(data.tags or [])
    assert json.loads(files["config.json"])["library_name"] == "mszoo"


def test_the_text_has_what_a_reader_needs(folder: Path, files: dict[str, bytes]) -> None:
    text = ModelCard(files["README.md"].decode()).text
    words = " ".join(text.split())
    name = REPO if folder not in packaged_models().values() else folder.name
    assert f'mszoo.load("{name}")' in text
    assert " ".join(yaml.safe_load(files["recipe.yaml"])["publication"]["data_terms"].split()) in words
    assert "Do not rely on it" in text or "avoid" in yaml.safe_load(files["recipe.yaml"])["publication"]
    assert all(f"{row.denoised:.2f}" in text for r in read_results(folder) for row in r.rows)
    assert all(f"{r.nll:.4f}" in text for r in read_likelihoods(folder))
    for result in [*read_results(folder), *read_likelihoods(folder)]:
        assert f"mszoo evaluate {name}" in text
        assert f"--data {result.data}" in text or result.data == "photographs"
    for picture in (n for n in files if n.endswith(".png")):
        assert f"]({picture})" in text


def test_the_hub_takes_it_and_finds_it(hub: HubServer, saved: Path, clock: list[float]) -> None:
    push(saved, REPO)
    assert any("validate-yaml" in path for _, path in hub.requests)
    (found,) = HfApi(endpoint=hub.url, token="hf_write").list_models(filter=["mszoo", "license:mit", "denoising"])
    assert (found.id, found.library_name, found.pipeline_tag) == (REPO, "mszoo", "image-to-image")
    results = data_of(str(ModelCard.load(REPO)).encode()).eval_results
    assert results
    assert len(results) == 7


def test_a_card_without_measurements_says_so(tmp_path: Path) -> None:
    folder = save(build(), tmp_path / "unmeasured", measured=False)
    files = publication(folder, REPO, unmeasured=True)
    assert not [name for name in files if name.startswith(".eval_results/")]
    assert data_of(files["README.md"]).eval_results is None
    assert "None were made before it was published." in files["README.md"].decode()


@pytest.mark.filterwarnings("ignore:the constant")
def test_a_card_tells_how_well_the_constant_of_an_energy_is_known(tmp_path: Path) -> None:
    energy = {"conditioner": {"name": "unet", "width": 4, "halvings": 1}, "head": "inner_product"}
    model = MultiScaleModel.from_config({"coarse": energy}).eval()
    constant = normalize(model, (16, 24))
    text = publication(save(model, tmp_path / "energy"), REPO)["README.md"].decode()
    assert "found at noise variance 1000, for images of 16 x 24 pixels" in text
    assert f"{constant.value:.2f} nats, standard error {constant.error:.2g}." in text
