"""Networks whose own output is the clean image: two U-Nets, and FFDNet."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from mszoo import MultiScaleModel
from mszoo.errors import CheckpointError
from mszoo.importers import Importer, Source
from mszoo_restoration.importers.building import build, convolutions, only_file, template

__all__ = ["BiasFreeUNet", "DRUNet", "FFDNet"]


class BiasFreeUNet(Importer):
    """The U-Net of *bias_free_denoising*: ``conv1`` to ``conv9``."""

    def recognizes(self, source: Source) -> bool:
        """See :meth:`mszoo.importers.Importer.recognizes`."""
        return len(source.paths) == 1 and len({f"conv{i}.weight" for i in range(1, 10)} & source.names[0]) > 7

    def convert(self, source: Source) -> MultiScaleModel:
        """See :meth:`mszoo.importers.Importer.convert`."""
        path, state = only_file(source)
        (first,) = convolutions(path, state, "conv1.weight", 1)
        biased = any(name.endswith(".bias") for name in state)
        network = {"name": "restoration/dilated_unet", "width": first.shape[0], "bias": biased}
        return build(path, first.shape[1], network, state)

    def write_example(self, folder: Path) -> list[Path]:
        """See :meth:`mszoo.importers.Importer.write_example`."""
        torch.save({"model": [template({"name": "restoration/dilated_unet", "width": 2})]}, folder / "unet.pt")
        return [folder / "unet.pt"]


class FFDNet(Importer):
    """FFDNet as ``model.N.*``: it takes the four images of half the size, and the noise level."""

    def recognizes(self, source: Source) -> bool:
        """See :meth:`mszoo.importers.Importer.recognizes`."""
        if len(source.paths) != 1 or "model.0.weight" not in source.names[0]:
            return False
        first = source.state(source.paths[0])["model.0.weight"]
        return first.ndim == 4 and first.shape[1] > 4 and first.shape[1] % 4 == 1

    def convert(self, source: Source) -> MultiScaleModel:
        """See :meth:`mszoo.importers.Importer.convert`."""
        path, state = only_file(source)
        depth = 1 + max((int(m[1]) for m in map(_NUMBER.fullmatch, state) if m), default=0) // 2
        first, *_ = convolutions(path, state, "model.{}.weight", depth, 2)
        renamed = {}
        for name, tensor in state.items():
            match = _NUMBER.fullmatch(name)
            if match is None or int(match[1]) % 2:
                raise CheckpointError(f"{path}: tensor {name!r} is not one of this layout")
            renamed[f"layers.{int(match[1]) // 2}.{match[2]}"] = tensor
        network = {"name": "restoration/ffdnet", "width": first.shape[0], "depth": depth}
        return build(path, (first.shape[1] - 1) // 4, network, renamed)

    def write_example(self, folder: Path) -> list[Path]:
        """See :meth:`mszoo.importers.Importer.write_example`."""
        ours = template({"name": "restoration/ffdnet", "width": 3, "depth": 3})
        state = {f"model.{2 * int(name.split('.')[1])}.{name.split('.')[2]}": v for name, v in ours.items()}
        torch.save(state, folder / "ffdnet.pth")
        return [folder / "ffdnet.pth"]


class DRUNet(Importer):
    """DRUNet: ``m_head``, ``m_down1`` ... ``m_down3``, ``m_body``, ``m_up3`` ... ``m_up1``, ``m_tail``."""

    def recognizes(self, source: Source) -> bool:
        """See :meth:`mszoo.importers.Importer.recognizes`."""
        return len(source.paths) == 1 and {"m_head.weight", "m_tail.weight"} & source.names[0] != set()

    def convert(self, source: Source) -> MultiScaleModel:
        """See :meth:`mszoo.importers.Importer.convert`."""
        path, state = only_file(source)
        (head,) = convolutions(path, state, "m_head.weight", 1)
        blocks = len([name for name in state if re.fullmatch(r"m_body\.\d+\.res\.0\.weight", name)])
        downs = [convolutions(path, state, f"m_down{i}.{blocks}.weight", 1)[0] for i in (1, 2, 3)]
        widths = [head.shape[0], *(down.shape[0] for down in downs)]
        network = {"name": "restoration/drunet", "widths": widths, "blocks": blocks}
        return build(path, head.shape[1] - 1, network, state)

    def write_example(self, folder: Path) -> list[Path]:
        """See :meth:`mszoo.importers.Importer.write_example`."""
        state = template({"name": "restoration/drunet", "widths": [2, 3, 4, 5], "blocks": 2})
        torch.save(state, folder / "drunet.pth")
        return [folder / "drunet.pth"]


_NUMBER = re.compile(r"model\.(\d{1,4})\.(weight|bias)")
