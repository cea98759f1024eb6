"""Several models side by side, and their pictures."""

import csv
import itertools

import torch
from PIL import Image

from mszoo.evaluation import comparison, evaluate, plots, psnr_curve, write_csv
from mszoo.experiments import receptive_fields
from tests.evaluation.conftest import Images
from tests.factories import denoiser


def test_models_see_the_same_noisy_images(tmp_path):
    models = {"flat": denoiser(receptive_field=9, depth=6), "split": denoiser(levels=1)}
    images, sigmas = Images(torch.rand(1, 16, 20), torch.rand(1, 12, 12)), [0.1, 0.4]
    found = {name: evaluate(model, images, sigmas=sigmas, seed=3) for name, model in models.items()}
    rows = [row for name, model in models.items() for row in comparison(name, model, found[name])]
    assert [(r.model, r.sigma) for r in rows] == [(m, s) for m in models for s in sigmas]
    assert [r.noisy for r in rows[:2]] == [r.noisy for r in rows[2:]]
    assert [(r.levels, r.receptive_field) for r in rows[::2]] == [(0, 9), (1, 5)]
    alone = list(psnr_curve(models["split"], images, sigmas, seed=3))
    assert [r.denoised for r in rows[2:]] == [r.denoised for r in alone]
    write_csv(rows, tmp_path / "psnr.csv")
    with open(tmp_path / "psnr.csv") as file:
        table = list(csv.DictReader(file))
    assert [float(r["denoised"]) for r in table] == [r.denoised for r in rows]
    for i, plot in enumerate((plots.noise_levels, receptive_fields.plot)):
        figure = plots.figure_of(lambda axes, plot=plot: plot(axes, rows))
        plots.save_figure(figure, tmp_path / f"{i}.png")
        with Image.open(tmp_path / f"{i}.png") as picture:
            assert picture.getextrema()[0][0] < 255, "something is drawn"


def test_every_scale_has_its_estimate():
    model, y = denoiser(levels=2, basis="db2"), torch.rand(2, 1, 16, 24)
    with torch.no_grad():
        scales, denoised = model.denoise_scales(y), model.denoise(y)
    assert [tuple(s.shape) for s in scales] == [(2, 1, 16, 24), (2, 1, 8, 12), (2, 1, 4, 6)]
    assert torch.equal(scales[0], denoised)
    assert model.basis is not None
    for fine, coarse in itertools.pairwise(scales):
        torch.testing.assert_close(model.basis.analyze(fine)[0], coarse)
