"""What this distribution adds to mszoo: published denoising networks, and importers of their checkpoints."""

from collections.abc import Iterator

import mszoo

_CONDITIONERS = {
    "restoration/stack": ("stack:Stack", "convolutions and ReLUs: DnCNN, BF-CNN, IRCNN"),
    "restoration/dilated_unet": ("dilated_unet:DilatedUNet", "a small U-Net with dilations (bias_free_denoising)"),
    "restoration/ffdnet": ("ffdnet:FFDNet", "convolutions at half the resolution, told the noise level"),
    "restoration/drunet": ("drunet:DRUNet", "bias-free residual U-Net, told the noise level"),
}
_IMPORTERS = {
    "restoration/dncnn": ("stacks:DnCNN", "DnCNN: model.N.* (norms merged), or dncnn.N.* (batch norms)"),
    "restoration/ircnn": ("stacks:IRCNN", "IRCNN: model.N.*, 7 dilated layers, or 25 such networks in one file"),
    "restoration/bf_cnn": ("stacks:BFCNN", "BF-CNN: conv_layers.*, running_sd.*, gammas.*"),
    "restoration/bias_free_dncnn": ("stacks:BiasFreeDnCNN", "DnCNN of bias_free_denoising, with biases or without"),
    "restoration/bias_free_unet": ("unets:BiasFreeUNet", "U-Net of bias_free_denoising, with biases or without"),
    "restoration/ffdnet": ("unets:FFDNet", "FFDNet: model.N.*, grey or colour"),
    "restoration/drunet": ("unets:DRUNet", "DRUNet: m_head, m_down1, ..., m_tail"),
}


@mszoo.hookimpl
def mszoo_components() -> Iterator[mszoo.Spec]:
    """The networks, and the importers."""
    for name, (target, summary) in _CONDITIONERS.items():
        yield mszoo.Spec("conditioner", name, f"mszoo_restoration.{target}", summary)
    for name, (target, summary) in _IMPORTERS.items():
        yield mszoo.Spec("importer", name, f"mszoo_restoration.importers.{target}", summary)
