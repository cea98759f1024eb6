"""Bits per dimension of a photograph under a fixed Daubechies basis and under one learned from it, all else equal.

    python before_and_after.py [--steps 1500] [--length 4]

Both models have the same denoisers, seed, steps and training photographs (those of scikit-image); the test image is the
astronaut. The difference is the basis.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from mszoo_learned_basis.likelihood import negative_log_likelihood

import mszoo
from mszoo.recipe import read_recipe
from mszoo.training import train

RECIPE = """
name: before-and-after
model:
  channels: 1
  basis: {basis}
  levels: 2
  detail:
    - {{conditioner: {network}, head: score, objective: {{share: 0.75}}}}
    - {{conditioner: {network}, head: score, objective: {{share: 0.1875}}}}
  coarse: {{conditioner: {network}, head: score, objective: {{share: 0.0625}}}}
objective: {{name: learned/likelihood, min_sigma: 0.01, max_sigma: 10}}
data: {{train: {{name: photographs, crop: 64, flip: true}}}}
training:
  steps: {steps}
  batch_size: 8
  optimizer: {{name: adam, lr: 2e-3}}
  scheduler: cosine
  warmup: 50
  ema: 0.99
  checkpoint_every: {steps}
"""
NETWORK = (
    "{name: bias_free_cnn, receptive_field: 9, depth: 5, width: 24, norm: channel, activation: gelu, "
    "noise_embedding: true}"
)


def main() -> None:
    """Train both, print both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--length", type=int, default=4)
    given = parser.parse_args()
    wavelet = f"db{given.length // 2}"
    image = mszoo.create("dataset", "photographs", 1, split="test")[0][None]
    patches = image.unfold(2, 128, 128).unfold(3, 128, 128).reshape(1, -1, 128, 128).transpose(0, 1)
    bits = {}
    for name, basis in ((wavelet, wavelet), ("learned", f"{{name: learned/lattice, length: {given.length}}}")):
        with tempfile.TemporaryDirectory() as folder:
            recipe = Path(folder) / "recipe.yaml"
            recipe.write_text(RECIPE.format(basis=basis, network=NETWORK, steps=given.steps))
            began = time.perf_counter()
            model = train(read_recipe(str(recipe)), Path(folder) / "run")
        bits[name] = negative_log_likelihood(model, [patches])
        print(f"{name}: {bits[name]:.4f} bits/dim after {given.steps} steps, {time.perf_counter() - began:.0f} s")
        if name == "learned":
            with torch.no_grad():
                low, _ = model.basis.filters()  # type: ignore[union-attr,operator]
            print(f"low-pass filter: {' '.join(f'{v:.4f}' for v in low.tolist())}")
    print(f"learned - {wavelet}: {bits['learned'] - bits[wavelet]:+.4f} bits/dim")


if __name__ == "__main__":
    main()
