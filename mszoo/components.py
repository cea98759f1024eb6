"""The built-in components, announced through the same hook as a plugin's."""

from __future__ import annotations

from collections.abc import Iterator

from mszoo.hooks import hookimpl
from mszoo.registry import Spec

_ORTHOGONAL = "mszoo.bases.orthogonal:OrthogonalBasis"
_FAMILIES = {  # PyWavelets' orthogonal families and their orders
    "db": ("Daubechies", range(1, 39)),
    "sym": ("Symlet", range(2, 21)),
    "coif": ("Coiflet", range(1, 18)),
}
# Names PyWavelets has that are not orthonormal: asking for one gives the reason, not "unknown".
_REFUSED = ["dmey"] + [
    f"{family}{order}"
    for family in ("bior", "rbio")
    for order in [
        "1.1",
        "1.3",
        "1.5",
        "2.2",
        "2.4",
        "2.6",
        "2.8",
        "3.1",
        "3.3",
        "3.5",
        "3.7",
        "3.9",
        "4.4",
        "5.5",
        "6.8",
    ]
]


@hookimpl
def mszoo_components() -> Iterator[Spec]:
    """Every basis, conditioner, head, objective, data set, sampler and importer that mszoo ships."""
    yield Spec("basis", "haar", _ORTHOGONAL, "Haar wavelet, 2 taps", {"wavelet": "haar"})
    for family, (title, orders) in _FAMILIES.items():
        for n in orders:
            taps = 6 * n if family == "coif" else 2 * n
            name = f"{family}{n}"
            yield Spec("basis", name, _ORTHOGONAL, f"{title} wavelet, {taps} taps", {"wavelet": name})
    for name in _REFUSED:
        yield Spec("basis", name, _ORTHOGONAL, "not orthonormal: refused", {"wavelet": name}, listed=False)

    yield Spec(
        "conditioner",
        "bias_free_cnn",
        "mszoo.conditioners.bias_free_cnn:BiasFreeCNN",
        "bias-free CNN of chosen receptive field (paper A)",
    )
    yield Spec(
        "conditioner",
        "bias_free_unet",
        "mszoo.conditioners.bias_free_unet:BiasFreeUNet",
        "bias-free U-Net that sees the whole image, for the coarse scale",
    )
    yield Spec(
        "conditioner",
        "unet",
        "mszoo.conditioners.unet:UNet",
        "U-Net with norms over space and a noise embedding (paper B)",
    )
    yield Spec(
        "head",
        "denoiser",
        "mszoo.heads.denoiser:Denoiser",
        "the network's output is the noise (paper A)",
    )
    yield Spec(
        "head",
        "inner_product",
        "mszoo.heads.inner_product:InnerProductEnergy",
        "energy U = <y, f(y, t)> / 2 (paper B)",
    )
    yield Spec(
        "head",
        "squared_norm",
        "mszoo.heads.squared_norm:SquaredNormEnergy",
        "energy U = |f(y, t)|^2 / 2 (paper B)",
    )
    yield Spec(
        "head",
        "anchored",
        "mszoo.heads.anchored:AnchoredEnergy",
        "energy U = exact Gaussian energy + gated correction; learns fastest",
    )
    yield Spec(
        "head",
        "predictive",
        "mszoo.heads.predictive:PredictiveEnergy",
        "anchored, its mean and variance predicted from the coarser image; for details",
    )
    yield Spec(
        "head",
        "score",
        "mszoo.heads.score:Score",
        "the network's output is minus the score (paper B's comparison)",
    )
    yield Spec(
        "objective",
        "denoising",
        "mszoo.objectives.denoising:Denoising",
        "squared error of the denoised coefficients (paper A)",
    )
    yield Spec(
        "objective",
        "score_matching",
        "mszoo.objectives.score_matching:ScoreMatching",
        "squared error of the score (denoising score matching)",
    )
    yield Spec(
        "objective",
        "dual_score_matching",
        "mszoo.objectives.score_matching:DualScoreMatching",
        "squared errors of the score and of the time score (paper B)",
    )
    yield Spec(
        "objective",
        "contrastive",
        "mszoo.objectives.contrastive:Contrastive",
        "noise-contrastive in space and time: no second derivatives (Yu et al.)",
    )
    yield Spec(
        "dataset",
        "pickled_batches",
        "mszoo.data.pickled_batches:PickledBatches",
        "the published batches of downsampled ImageNet and of CIFAR-10",
    )
    yield Spec(
        "dataset",
        "photographs",
        "mszoo.data.photographs:Photographs",
        "photographs that scikit-image ships; no download",
    )
    yield Spec(
        "dataset",
        "image_folder",
        "mszoo.data.image_folder:ImageFolder",
        "a folder, a zip file or a glob of image files",
    )
    yield Spec(
        "dataset",
        "hub_dataset",
        "mszoo.data.hub_dataset:HubDataset",
        "a data set of the Hugging Face Hub, Parquet files or a folder, by the library datasets",
    )
    yield Spec(
        "dataset",
        "webdataset",
        "mszoo.data.webdataset:WebDataset",
        "images in tar files, by path or URL",
    )
    yield Spec(
        "sampler",
        "ascent",
        "mszoo.samplers.ascent:Ascent",
        "stochastic ascent, the noise estimated or known (paper A)",
    )
    yield Spec(
        "sampler",
        "heun",
        "mszoo.samplers.heun:Heun",
        "the probability flow in second-order steps (Karras et al.)",
    )
    yield Spec(
        "sampler",
        "langevin",
        "mszoo.samplers.langevin:Langevin",
        "annealed Langevin dynamics; of an energy, with Metropolis' test",
    )
    yield Spec(
        "importer",
        "paper_a",
        "mszoo.importers.paper_a:PaperA",
        "paper A's networks: one file, or a low-pass one and conditional ones, finest first",
    )
    yield Spec(
        "importer",
        "paper_b",
        "mszoo.importers.paper_b:PaperB",
        "paper B's training folder, or its model.pth.tar with args.json beside it",
    )
