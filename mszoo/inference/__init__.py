"""Inference: what one does with a model and an image."""

from mszoo.inference.denoising import denoise_image

__all__ = ["denoise_image"]
