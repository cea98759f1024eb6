"""Training: one loop, on one CPU or many GPUs, through Accelerate."""

from mszoo.training.assemble import assemble
from mszoo.training.batches import Batches
from mszoo.training.check import check
from mszoo.training.loop import train
from mszoo.training.start import rehearse
from mszoo.training.step import Step

__all__ = ["Batches", "Step", "assemble", "check", "rehearse", "train"]
