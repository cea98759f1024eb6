"""Networks: noisy coefficients, their noise level and the clean coarser image in; the shape of y out."""

from mszoo.conditioners.base import Conditioner
from mszoo.conditioners.bias_free_cnn import BiasFreeCNN
from mszoo.conditioners.bias_free_unet import BiasFreeUNet
from mszoo.conditioners.layers import Waves
from mszoo.conditioners.unet import UNet

__all__ = ["BiasFreeCNN", "BiasFreeUNet", "Conditioner", "UNet", "Waves"]
