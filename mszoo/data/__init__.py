"""Data sets of images: ``len(dataset)``, ``dataset[i]`` -> (C, H, W) in [0, 1]."""

from mszoo.data.base import ImageDataset
from mszoo.data.image_folder import ImageFolder
from mszoo.data.photographs import Photographs

__all__ = ["ImageDataset", "ImageFolder", "Photographs"]
