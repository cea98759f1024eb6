"""The contract of an importer: it recognizes somebody's files by their layout, and turns them into a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mszoo.errors import CheckpointError
from mszoo.model import MultiScaleModel
from mszoo.pickles import Contents, read_tensors
from mszoo.registry import Part

__all__ = ["Importer", "Source", "find_state"]

# Keys under which training programs save the weights.
_KEYS = ("state_dict", "model_state_dict", "params_ema", "params", "model", "network", "net")


class Source:
    """The files that are to be converted, each read once, when it is first asked for.

    Args:
        paths: files that PyTorch wrote, or one folder.

    Attributes:
        paths: as given.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "theirs.pth")
        ...     torch.save({"epoch": 3, "state_dict": {"module.conv.weight": torch.ones(4, 1, 3, 3)}}, file)
        ...     source = Source([file])
        ...     source.names, source.state(file)["conv.weight"].shape
        ([{'conv.weight'}], torch.Size([4, 1, 3, 3]))
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)
        self._contents: dict[Path, Contents] = {}

    @property
    def refused(self) -> list[str]:
        """Names of what the files read so far hold beside tensors and plain values; it was not built."""
        return list(dict.fromkeys(name for contents in self._contents.values() for name in contents.refused))

    def read(self, path: Path) -> Any:
        """What a file holds. Raises CheckpointError for one that is damaged, or none of PyTorch's."""
        if path not in self._contents:
            self._contents[path] = read_tensors(path)
        return self._contents[path].value

    def state(self, path: Path) -> dict[str, Tensor]:
        """A file's tensors by name, wherever in it they are, without DataParallel's prefix ``module.``.

        Raises:
            CheckpointError: it has no state dict of tensors.
        """
        state = find_state(self.read(path))
        if state is None:
            raise CheckpointError(f"{path} holds no state dict of tensors")
        return {name.removeprefix("module."): tensor for name, tensor in state.items()}

    @property
    def names(self) -> list[set[str]]:
        """For each path the names of its tensors; none for a folder, and for a file without a state dict."""
        found = []
        for path in self.paths:
            state = None if path.is_dir() else find_state(self.read(path))
            found.append({name.removeprefix("module.") for name in state or {}})
        return found


def find_state(content: Any) -> dict[str, Tensor] | None:
    """The state dict in a file's content: all of it, or what is under a usual key (there perhaps in a list of one)."""
    for _ in range(3):
        if isinstance(content, list) and len(content) == 1:
            content = content[0]
        if not isinstance(content, dict):
            return None
        if content and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
            return content
        content = next((content[key] for key in _KEYS if isinstance(content.get(key), (dict, list))), None)
    return None


class Importer(ABC):
    """Turns somebody's checkpoint into a model. Subclass it to add a layout.

    Keyword arguments of the constructor are options of ``mszoo convert --option name=value``.

    Attributes:
        license: what the published checkpoints of this layout may be used for, where that is less than any purpose; the
            user is shown it.

    Example:
        >>> import tempfile, mszoo, torch
        >>> class Nets(Importer):
        ...     def __init__(self, *, field: int = 5):
        ...         part = {"conditioner": {"name": "bias_free_cnn", "receptive_field": field}, "head": "denoiser"}
        ...         self.model = MultiScaleModel.from_config({"coarse": part})
        ...         self.network = self.model.coarse.conditioner
        ...
        ...     def recognizes(self, source):
        ...         return source.names == [set(self.network.state_dict())]
        ...
        ...     def convert(self, source):
        ...         self.network.load_state_dict(source.state(source.paths[0]))
        ...         return self.model.eval()
        ...
        ...     def write_example(self, folder):
        ...         torch.save(self.network.state_dict(), folder / "net.pth")
        ...         return [folder / "net.pth"]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     source = Source(Nets().write_example(Path(folder)))
        ...     Nets().recognizes(source), Nets().convert(source).blind
        (True, True)
    """

    part: Part
    license: str | None = None

    @abstractmethod
    def recognizes(self, source: Source) -> bool:
        """Whether the files are of this layout, by the names of their tensors (or the files beside them).

        Damage is for :meth:`convert` to name: a file with a tensor too few is still of its layout.
        """

    @abstractmethod
    def convert(self, source: Source) -> MultiScaleModel:
        """The model, in eval mode.

        Raises:
            CheckpointError: a tensor that is missing, unknown or of a wrong shape; the message names file and tensor.
        """

    @abstractmethod
    def write_example(self, folder: Path) -> list[Path]:
        """Write a small checkpoint of this layout with any weights, for :mod:`mszoo.testing`; returns its files."""
