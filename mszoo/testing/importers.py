"""The contract of an importer: it knows its own files, leaves others alone, and gives the same model every time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from mszoo.errors import CheckpointError
from mszoo.importers import Importer, Source
from mszoo.importers.base import find_state
from mszoo.model import MultiScaleModel
from mszoo.pickles import read_tensors
from mszoo.testing.kit import Check, ContractError, Subject, require

__all__ = ["CHECKS"]

_WHERE = "mszoo.importers.Importer"


def knows_its_own_files(subject: Subject) -> None:
    """It recognizes the files that write_example writes."""
    with _example(subject) as (importer, paths):
        require(importer.recognizes(Source(paths)), "it does not recognize its own example", f"{_WHERE}.recognizes")


def leaves_others_alone(subject: Subject) -> None:
    """It does not recognize tensors of other names, an empty file or an empty folder, and raises nothing there."""
    importer: Importer = subject.make()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        empty = folder / "empty"
        empty.mkdir()
        for i, content in enumerate(({"strange.tensor": torch.ones(2, 3)}, {}, [1, 2], {"state_dict": {}})):
            torch.save(content, folder / f"{i}.pt")
        for path in (*sorted(folder.glob("*.pt")), empty):
            try:
                known = importer.recognizes(Source([path]))
            except Exception as error:
                raise ContractError(
                    f"it raises {type(error).__name__} where it only has to say no (the contract: {_WHERE}.recognizes)"
                ) from None
            require(not known, "it recognizes what is not of its layout", f"{_WHERE}.recognizes")


def gives_a_model(subject: Subject) -> None:
    """convert returns a MultiScaleModel in eval mode, whose weights are finite."""
    with _example(subject) as (importer, paths):
        model = importer.convert(Source(paths))
    require(isinstance(model, MultiScaleModel), f"it gives a {type(model).__name__}", f"{_WHERE}.convert")
    require(not model.training, "the model is in training mode", f"{_WHERE}.convert")
    finite = all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values())
    require(finite, "the model has weights that are not finite", f"{_WHERE}.convert")


def loads_every_weight(subject: Subject) -> None:
    """The same files give the same model, whatever torch's random state: no weight is left as it was drawn."""
    states = []
    with _example(subject) as (_, paths):
        for seed in (1, 2):
            importer: Importer = replace(subject, seed=seed).make()
            torch.manual_seed(seed)
            states.append(importer.convert(Source(paths)).state_dict())
    for name, tensor in states[0].items():
        same = torch.equal(tensor, states[1][name])
        require(same, f"weight {name} is another at every call", f"{_WHERE}.convert")


def can_be_saved(subject: Subject) -> None:
    """The model, saved and loaded, gives the same output."""
    with _example(subject) as (importer, paths), tempfile.TemporaryDirectory() as name:
        model = importer.convert(Source(paths))
        model.save_pretrained(Path(name) / "saved")
        loaded = MultiScaleModel.from_pretrained(Path(name) / "saved")
    y = torch.rand(1, model.channels, 32, 32)
    outputs = [m.denoise(y, None if all(head.blind for head in m.scales) else 0.1) for m in (model, loaded)]
    require(torch.equal(*outputs), "the saved model gives another output", f"{_WHERE}.convert")


def names_what_is_damaged(subject: Subject) -> None:
    """A file without one of its tensors, or with one of another shape, is a CheckpointError that names the file."""
    with _example(subject) as (importer, paths):
        for path in paths:
            content = read_tensors(path).value
            state = find_state(content)
            assert state is not None
            for name in list(state):
                tensor = state.pop(name)
                _require_refusal(importer, content, path, paths, f"without its tensor {name}")
                state[name] = torch.zeros(*tensor.shape, 2)
                _require_refusal(importer, content, path, paths, f"whose tensor {name} has another shape")
                state[name] = tensor
            torch.save(content, path)


def _require_refusal(importer: Importer, content: object, path: Path, paths: list[Path], what: str) -> None:
    torch.save(content, path)
    try:
        importer.convert(Source(paths))
    except CheckpointError as error:
        named = str(path.parent) in str(error)  # the file, or one that belongs to it
        require(named, f"of a file {what} its error does not name the file: {error}", f"{_WHERE}.convert")
    except Exception as error:
        raise ContractError(
            f"a file {what} gives {type(error).__name__}, no CheckpointError (the contract: {_WHERE}.convert)"
        ) from None
    else:
        require(False, f"it converts a file {what}", f"{_WHERE}.convert")


@contextmanager
def _example(subject: Subject) -> Iterator[tuple[Importer, list[Path]]]:
    importer: Importer = subject.make()
    with tempfile.TemporaryDirectory() as name:
        yield importer, list(importer.write_example(Path(name)))


CHECKS: tuple[Check, ...] = (
    knows_its_own_files,
    leaves_others_alone,
    gives_a_model,
    loads_every_weight,
    can_be_saved,
    names_what_is_damaged,
)
