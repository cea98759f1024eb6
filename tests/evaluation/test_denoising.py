"""PSNR means what it says, and the blur of the demo is the best one."""

from pathlib import Path

import pytest
import torch
from PIL import Image

import mszoo
from mszoo.data import ImageFolder
from mszoo.errors import DataError
from mszoo.evaluation import probabilities, psnr, psnr_curve
from mszoo.experiments.demo import astronaut_face, best_blur
from tests.factories import energy, identity


@pytest.mark.parametrize("error", [1.0, 0.1, 1e-3])
def test_psnr_of_a_known_error_is_not_clipped_and_per_image(error):
    clean = torch.rand(2, 3, 4, 5)
    estimate = clean + error * torch.tensor([1.0, 2.0])[:, None, None, None]
    expected = -20 * torch.log10(error * torch.tensor([1.0, 2.0], dtype=torch.float64))
    torch.testing.assert_close(psnr(estimate, clean), expected, rtol=0, atol=1e-2)


def test_the_identity_gains_nothing_and_the_mean_is_over_images():
    images = [torch.rand(1, 40, 50), torch.rand(1, 64, 64), torch.rand(1, 31, 33)]
    for row in psnr_curve(identity(), images, [0.1, 0.5]):
        assert row.denoised == pytest.approx(row.noisy)
        assert row.noisy == pytest.approx(-20 * torch.log10(torch.tensor(row.sigma)).item(), abs=0.2)
        assert row.images == 3


def test_what_cannot_be_read_is_named_and_left_out(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        Image.new("L", (16, 16), 90).save(tmp_path / name)
    damage = tmp_path / "b.png"
    damage.write_bytes(damage.read_bytes()[:45])
    images = mszoo.create("dataset", "image_folder", 1, path=str(tmp_path))
    with pytest.warns(UserWarning, match=r"skipped: .*b\.png"):
        [row] = psnr_curve(identity(), images, [0.1])
    assert row.images == 2
    with pytest.warns(UserWarning, match=r"skipped: .*b\.png"):
        rows = list(probabilities(energy(), images))
    assert [Path(row.image).name for row in rows] == ["a.png", "c.png"]
    damage.rename(tmp_path / "only.png")
    with pytest.raises(DataError, match="no image that can be read"), pytest.warns(UserWarning, match="only"):
        list(psnr_curve(identity(), ImageFolder(1, path=str(tmp_path / "only.png")), [0.1]))


def test_the_curve_can_be_measured_again():
    images = [torch.rand(1, 16, 16)]
    first, again = (list(psnr_curve(identity(), images, [0.2], seed=s)) for s in (5, 5))
    assert first == again
    assert first != list(psnr_curve(identity(), images, [0.2], seed=6))


def test_best_blur_beats_other_widths():
    clean = astronaut_face()
    assert clean.shape == (1, 1, 160, 160)
    noisy = clean + 0.4 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    best = psnr(best_blur(noisy, clean), clean).item()
    assert best == pytest.approx(22.6, abs=0.3)  # the best Gaussian blur of this crop at sigma 0.4
