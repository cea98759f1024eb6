"""Inference: what one does with a model and an image."""

from mszoo.inference.denoising import add_noise, denoise_image

__all__ = ["add_noise", "denoise_image"]
