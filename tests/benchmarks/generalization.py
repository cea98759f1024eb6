"""Two energies trained on disjoint images: do they agree on log p? (paper B, generalization)

    python tests/benchmarks/generalization.py TRAIN TEST OUT [--average 2] [--numbers 100] [KEY=VALUE ...]

TRAIN and TEST are zip files of images of one size, averaged down over --average pixels and to grey. A network of the
recipe ``cifar10-grey-energy`` is trained on all of TRAIN; for every number N two on N images each, none in common; then
two on a half of the set each, every one with the same steps. Prints for each pair the mean absolute difference of
log p over 1,000 test images and over the images (1,000 at most) that the first of the two has seen and the second has
not, and the test losses. Trainings are kept in OUT, and an interrupted one goes on: give the same command again.
KEY=VALUE overrides the recipe.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import zipfile
from pathlib import Path

from PIL import Image

import mszoo
from mszoo.data import spread
from mszoo.experiments.generalization import agreement
from mszoo.experiments.images import dual_loss, evenly
from mszoo.recipe import DatasetConfig
from mszoo.training.batches import choose

SETTINGS = ["training.batch_size=64", "training.steps=5000", "training.ema=0.998", "data.test=null"]


def shrink(source: Path, target: Path, factor: int) -> Path:
    """Grey PNG files of every image of a zip file, its pixels averaged over factor x factor."""
    if not target.exists():
        partial = target.with_suffix(".part")
        with zipfile.ZipFile(source) as images, zipfile.ZipFile(partial, "w") as small:
            for name in images.namelist():
                if name.endswith("/"):
                    continue
                buffer = io.BytesIO()
                Image.open(io.BytesIO(images.read(name))).convert("L").reduce(factor).save(buffer, "PNG")
                small.writestr(str(Path(name).with_suffix(".png")), buffer.getvalue())
        partial.rename(target)
    return target


def train(out: Path, images: Path, overrides: list[str]) -> mszoo.MultiScaleModel:
    """A trained model; trains it, or goes on, if need be."""
    command = [sys.executable, "-m", "mszoo", "train", "cifar10-grey-energy", "--out", str(out), "--resume"]
    subprocess.run([*command, f"data.train.path={images}", *SETTINGS, *overrides], check=True)
    return mszoo.load(str(out))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--average", type=int, default=2)
    parser.add_argument("--numbers", type=int, nargs="*", default=[100])
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    given = parser.parse_intermixed_args()
    given.out.mkdir(parents=True, exist_ok=True)
    images = shrink(given.train, given.out / "train.zip", given.average)
    test = shrink(given.test, given.out / "test.zip", given.average)
    data, unseen = (mszoo.create("dataset", "image_folder", 1, path=str(path)) for path in (images, test))
    whole = train(given.out / "all", images, given.overrides)
    others = evenly(unseen, 1000, whole)
    print(f"all   test        loss {dual_loss(whole, others):.4f}", flush=True)
    for number in [*given.numbers, None]:
        limit = [] if number is None else [f"data.train.limit={number}"]
        name = "half" if number is None else str(number)
        one, other = (
            train(given.out / f"{name}-{k}", images, [*given.overrides, f"data.train.part=[{k},2]", *limit])
            for k in (0, 1)
        )
        seen = choose(range(len(data)), DatasetConfig(name="image_folder", part=(0, 2), limit=number))
        mine = [data[seen[i]] for i in spread(len(seen), 1000)]
        rows, _ = agreement(one, other, {"test": others, "seen by one": mine})
        for row in rows:
            print(
                f"{name:5s} {row.images:11s} mean |difference| of log p {row.absolute:.3f} dB/dim, rms {row.rms:.3f}, "
                f"losses {row.first_loss:.4f} {row.second_loss:.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
