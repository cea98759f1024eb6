"""Writes a training folder of paper B with the authors' code: their arguments, network and checkpoint, random weights.

    python tests/importers/paper_b_folder.py CODE OUT [their options, as --network UNet]

CODE is a checkout of FlorentinGuth/DualScoreMatching (it needs einops, matplotlib, torchvision and tqdm). OUT/run gets
``model.pth.tar`` and ``args.json``, OUT/expected.pt (y, t, f(y, t), output of their model's network). A process of its
own, because their modules have names such as ``data`` and ``main``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import torch


def write(code: str, out: Path, words: list[str]) -> None:
    sys.path.insert(0, code)
    import main as theirs  # type: ignore[import-not-found]

    torch.manual_seed(0)
    args = theirs.parse_args([*words, "--dir", str(out), "--name", "run"])
    info = theirs.DatasetInfo(spatial_size=16, num_channels=3, mean=0.5, variance=0.1)
    bare = theirs.UNet(info, **eval(args.network_kwargs))
    network = theirs.Reparameterization(bare, info, **eval(args.reparam_kwargs))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:  # gains, which are all 1, and biases
                parameter += 0.3 * torch.randn_like(parameter)

    psnr = torch.tensor([90.0, 30.0, -30.0])
    levels = theirs.DenoisingError(info, psnr=psnr).to_noise_level()
    performance = theirs.PerformanceInfo(loss=0.4, noise_levels=levels, denoising_errors=levels.to_error())
    folder = out / "run"
    folder.mkdir()
    training = SimpleNamespace(step=0, args=args, dir=folder, network=network, logger=MagicMock(), writer=MagicMock())
    theirs.print_cmd_line_and_save_args(training)
    theirs.save_checkpoint(training, performance, performance, is_best_on_test=True)

    t = levels.variance
    y = torch.rand(3, 3, 16, 16) + t.sqrt()[:, None, None, None] * torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        torch.save((y, t, bare(y, t), network(y, t)), out / "expected.pt")


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
