"""Inference: what one does with a model and an image."""

from mszoo.inference.anscombe import Anscombe, denoise_poisson
from mszoo.inference.deblurring import deblur
from mszoo.inference.denoising import add_noise, denoise_image
from mszoo.inference.fast import fast, folding
from mszoo.inference.inverse import measured_noise, solve
from mszoo.inference.likelihood import has_density, log_prob, log_prob_map, log_prob_scales, nll, normalize
from mszoo.inference.maximum import map_estimate
from mszoo.inference.noise_level import estimate_sigma, noise_level
from mszoo.inference.operators import Blur, Inpainting, Operator, RandomProjections, SuperResolution
from mszoo.inference.sampling import downsample, sample, super_resolve
from mszoo.inference.views import denoise_view, denoise_views
from mszoo.samplers import Schedule

__all__ = [
    "Anscombe",
    "Blur",
    "Inpainting",
    "Operator",
    "RandomProjections",
    "Schedule",
    "SuperResolution",
    "add_noise",
    "deblur",
    "denoise_image",
    "denoise_poisson",
    "denoise_view",
    "denoise_views",
    "downsample",
    "estimate_sigma",
    "fast",
    "folding",
    "has_density",
    "log_prob",
    "log_prob_map",
    "log_prob_scales",
    "map_estimate",
    "measured_noise",
    "nll",
    "noise_level",
    "normalize",
    "sample",
    "solve",
    "super_resolve",
]
