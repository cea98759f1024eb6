"""The model card, written from what the checkpoint holds: its recipe, its configuration and its measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from huggingface_hub import EvalResult, ModelCardData

from mszoo.checkpoint import folder as checkpoint
from mszoo.errors import CheckpointError
from mszoo.evaluation import Likelihood, Result, read_likelihoods, read_results
from mszoo.model import MultiScaleModel
from mszoo.options import validate
from mszoo.recipe import SIGMAS, Recipe, read_recipe
from mszoo.summary import COLUMNS

__all__ = ["Facts", "eval_results", "read_facts", "write_card"]

_PAPER_A = """@inproceedings{kadkhodaie2023learning,
  title     = {Learning multi-scale local conditional probability models of images},
  author    = {Kadkhodaie, Zahra and Guth, Florentin and Mallat, St{\\'e}phane and Simoncelli, Eero P.},
  booktitle = {International Conference on Learning Representations},
  year      = {2023},
  note      = {arXiv:2303.02984}
}"""
_PAPER_B = """@misc{guth2025learning,
  title  = {Learning normalized image densities via dual score matching},
  author = {Guth, Florentin and Kadkhodaie, Zahra and Simoncelli, Eero P.},
  year   = {2025},
  note   = {arXiv:2506.05310}
}"""


@dataclass(frozen=True)
class Facts:
    """What a card is written from.

    Attributes:
        name: what the model is called, and loaded by: a packaged model's name, or owner/name.
        recipe: that trained it.
        model: the checkpoint itself.
        psnr, nll: what was measured.
        pictures: file names beside the card.
    """

    name: str
    recipe: Recipe
    model: MultiScaleModel
    psnr: Sequence[Result]
    nll: Sequence[Likelihood]
    pictures: Sequence[str]

    @property
    def parameters(self) -> int:
        """How many there are."""
        return sum(p.numel() for p in self.model.parameters())


def read_facts(folder: Path, name: str, pictures: Sequence[str]) -> Facts:
    """Read what a card says from a checkpoint.

    Args:
        folder: the checkpoint.
        name: of the model, as the card has it.
        pictures: names of picture files beside the card.

    Raises:
        CheckpointError: it is not whole, or has no recipe.
        OptionsError: faults of the recipe.
    """
    model = MultiScaleModel.from_pretrained(folder)
    path = folder / checkpoint.RECIPE
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {checkpoint.RECIPE}, from which its card is written; copy it there")
    recipe = validate(Recipe, read_recipe(path).values, str(path))
    return Facts(name, recipe, model, read_results(folder), read_likelihoods(folder), pictures)


def write_card(facts: Facts) -> str:
    """The card's text, its header included."""
    publication = facts.recipe.publication
    sections = [
        f"---\n{_header(facts).to_yaml()}\n---",
        f"# {facts.name}",
        publication.about.strip() or facts.recipe.description,
        *(f"![{facts.name} at work]({picture})" for picture in facts.pictures),
        _how_to_load(facts),
        "## Architecture",
        _architecture(facts),
        "## Measurements",
        *(_measurements(facts) or ["None were made before it was published."]),
    ]
    if publication.training:
        sections += ["## Training", publication.training.strip()]
    sections += ["## Data and use", " ".join(filter(None, (publication.data_terms.strip(), publication.avoid.strip())))]
    papers = [_PAPER_A] * bool(facts.model.levels) + [_PAPER_B] * _has_energy(facts.model)
    if papers:
        sections += ["## Sources", *(f"```bibtex\n{paper}\n```" for paper in papers)]
    return "\n\n".join(section for section in sections if section) + "\n"


def eval_results(facts: Facts) -> dict[str, str]:
    """The measurements in the Hub's newer form: YAML text by the name of its file in ``.eval_results/``."""
    entries: dict[str, list[dict[str, Any]]] = {}
    for n in _numbers(facts):
        dataset = facts.recipe.publication.benchmarks.get(n.data, f"mszoo/{n.data}")
        entry = {"dataset": {"id": dataset, "task_id": n.metric}, "value": n.value, "notes": n.note}
        entries.setdefault(n.data, []).append(entry)
    return {f"{data}.yaml": yaml.safe_dump(rows, sort_keys=False) for data, rows in entries.items()}


class _Number(NamedTuple):
    """One measurement: its data set, its names for programs and for readers, its value, and the command behind it."""

    data: str
    metric: str
    name: str
    value: float
    note: str


def _numbers(facts: Facts) -> list[_Number]:
    found = []
    for r in facts.psnr:
        note = f"{_command(facts, r)}; mean of per-image values, seed {r.seed}"
        key, views = (f"_views_{r.views}", f", {r.views} views") if r.views > 1 else ("", "")
        for row in r.rows:
            metric, name = f"psnr_sigma_{row.sigma:.4g}{key}", f"PSNR (dB) at sigma {row.sigma:.4g}{views}"
            found.append(_Number(r.data, metric, name, round(row.denoised, 4), note))
    for r in facts.nll:
        note = f"{_command(facts, r)}; 8-bit convention, no dequantization"
        found.append(_Number(r.data, "bits_per_dim", "bits per dimension", round(r.nll, 5), note))
    return found


def _header(facts: Facts) -> ModelCardData:
    results = [
        EvalResult(
            task_type="image-to-image" if n.metric.startswith("psnr") else "unconditional-image-generation",
            task_name="denoising" if n.metric.startswith("psnr") else "density estimation",
            dataset_type=facts.recipe.publication.benchmarks.get(n.data, n.data),
            dataset_name=n.data,
            metric_type=n.metric,
            metric_name=n.name,
            metric_value=n.value,
        )
        for n in _numbers(facts)
    ]
    fields = [head.receptive_field for head in facts.model.scales]
    return ModelCardData(
        library_name="mszoo",
        license=facts.recipe.publication.license,
        pipeline_tag="image-to-image",
        tags=sorted({*facts.recipe.publication.tags, *(_kinds(facts.model))}),
        model_name=facts.name,
        eval_results=results or None,
        mszoo={
            "channels": facts.model.channels,
            "levels": facts.model.levels,
            "receptive_field": fields[0],
            "parameters": facts.parameters,
            "description": facts.recipe.description,
        },
    )


def _kinds(model: MultiScaleModel) -> list[str]:
    return ["image-prior", *(["wavelets"] * bool(model.levels)), *(["energy-based-model"] * _has_energy(model))]


def _has_energy(model: MultiScaleModel) -> bool:
    from mszoo.heads import EnergyHead

    return any(isinstance(head, EnergyHead) for head in model.scales)


def _how_to_load(facts: Facts) -> str:
    unit, blind = facts.model.unit, facts.model.blind
    sides = f"; H and W multiples of {unit}, or pad=True" if unit > 1 else ""
    lines = ["import mszoo", "", f'model = mszoo.load("{facts.name}")']
    given = "y" if blind else "y, sigma=0.1"
    shape = f"(B, {facts.model.channels}, H, W)"
    lines.append(f"x = model.denoise({given})  # y: {shape}, the clean image in [0, 1]{sides}")
    if _has_energy(facts.model):
        lines.append("bits = model.nll(x)  # bits per dimension of 8-bit images, (B,)")
    return "```python\n" + "\n".join(lines) + "\n```"


def _architecture(facts: Facts) -> str:
    model, config = facts.model, facts.model.config()
    basis = f"{config['basis']['name']} basis, {model.levels} levels" if model.levels else "no basis, one scale"
    rows = _table([COLUMNS, *(scale.cells for scale in model.summary())])
    return f"{model.channels} channel(s), {basis}, {facts.parameters:,} parameters.\n\n{rows}"


def _measurements(facts: Facts) -> list[str]:
    found = []
    for r in facts.psnr:
        count = r.rows[0].images if r.rows else 0
        rows = [("sigma", "sigma x 255", "noisy", "denoised")]
        rows += [(f"{w.sigma:.4g}", f"{w.sigma * 255:.4g}", f"{w.noisy:.2f}", f"{w.denoised:.2f}") for w in r.rows]
        found.append(
            f"PSNR in dB on {r.data}, the mean over {count} image(s) of per-image values, not clipped; white Gaussian "
            f"noise, seed {r.seed}{_of_views(r)}. `{_command(facts, r)}`:\n\n{_table(rows)}"
        )
    for r in facts.nll:
        found.append(
            f"Negative log likelihood on {r.data}, the mean over {r.images} image(s): **{r.nll:.4f} bits per "
            f"dimension** ({r.db_per_dim:.3f} dB per dimension), a density at the 8-bit values without dequantization, "
            f"which bounds no code length. `{_command(facts, r)}`"
        )
    for c in facts.model.constants.values():
        found.append(
            f"The constant that normalizes its energy was found at noise variance {c.t:g}, for images of "
            f"{c.size[1]} x {c.size[2]} pixels: {c.value:.2f} nats, standard error {c.error:.2g}."
        )
    return found


def _of_views(result: Result) -> str:
    return f"; estimates averaged over {result.views} views of each image" if result.views > 1 else ""


def _command(facts: Facts, result: Result | Likelihood) -> str:
    data = "" if result.data == "photographs" else f" --data {result.data}"
    sigmas = [row.sigma for row in result.rows] if isinstance(result, Result) else list(SIGMAS)
    usual = len(sigmas) == len(SIGMAS) and all(abs(a - b) < 1e-9 for a, b in zip(sigmas, SIGMAS, strict=True))
    levels = "" if usual else "".join(f" --sigma {s:.6g}" for s in sigmas)
    seed = f" --seed {result.seed}" if isinstance(result, Result) and result.seed else ""
    views = f" --views {result.views}" if isinstance(result, Result) and result.views > 1 else ""
    return f"mszoo evaluate {facts.name}{data}{levels}{seed}{views}"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]])
