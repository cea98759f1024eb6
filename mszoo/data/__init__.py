"""Data sets of images: ``len(dataset)``, ``dataset[i]`` -> (C, H, W) in [0, 1]."""

from mszoo.data.base import LOOKED_AT, Blocks, ImageDataset, readable, spread
from mszoo.data.image_folder import ImageFolder
from mszoo.data.photographs import Photographs
from mszoo.data.pickled_batches import PickledBatches

__all__ = ["LOOKED_AT", "Blocks", "ImageDataset", "ImageFolder", "Photographs", "PickledBatches", "readable", "spread"]
