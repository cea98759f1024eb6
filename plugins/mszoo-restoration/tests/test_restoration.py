"""The networks and importers keep their contracts, and published files give the published numbers."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import mszoo
import mszoo.testing
from mszoo.errors import CheckpointError
from mszoo.evaluation import psnr

IMPORTERS = [name for name in mszoo.list_components("importer") if name.startswith("restoration/")]

# PSNR in dB at sigma 15, 25 and 50 of 255, made with the authors' own code
TABLE = {
    "dncnn_25_model.pth": (29.8692, 29.9818, 17.0855),
    "bias_free_dncnn_0-100.pt": (32.2389, 29.9149, 26.9309),
    "biased_dncnn_0-55.pt": (32.2792, 29.9564, 26.9362),
    "bias_free_unet_0-100.pt": (32.1087, 29.7907, 26.7915),
}


@mszoo.testing.parametrize_with_checks(
    ("conditioner", "restoration/stack", {"width": 4, "depth": 4}),
    ("conditioner", "restoration/stack", {"width": 4, "depth": 3, "dilations": [1, 2, 1], "bias": False}),
    ("conditioner", "restoration/dilated_unet", {"width": 4}),
    ("conditioner", "restoration/dilated_unet", {"width": 4, "bias": True}),
    ("conditioner", "restoration/ffdnet", {"width": 4, "depth": 3}),
    ("conditioner", "restoration/drunet", {"widths": [2, 3, 4, 5], "blocks": 1}),
    *(("importer", name) for name in IMPORTERS),
)
def test_contract(check):
    check()


def test_there_are_seven_importers():
    assert len(IMPORTERS) == 7


@pytest.mark.parametrize("name", IMPORTERS)
def test_each_file_is_known_by_one_importer(tmp_path: Path, name: str):
    from mszoo.importers import import_files

    files = mszoo.create("importer", name).write_example(tmp_path)
    assert import_files(files).importer == name


@pytest.mark.parametrize("file", TABLE)
def test_published_numbers(file: str):
    if "MSZOO_SHARED" not in os.environ:
        pytest.skip("MSZOO_SHARED is not set: the folder with the authors' checkpoints")
    model = mszoo.convert(Path(os.environ["MSZOO_SHARED"]) / "reference" / "denoisers" / file)
    grey = Image.fromarray(skimage.data.astronaut()).convert("L").crop((140, 0, 300, 160))
    clean = torch.from_numpy(np.array(grey, dtype=np.float32) / 255)[None, None]
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 1, 160, 160)).astype(np.float32))
    for sigma, expected in zip((15, 25, 50), TABLE[file], strict=True):
        with torch.inference_mode():
            assert psnr(model.denoise(clean + sigma / 255 * noise), clean).item() == pytest.approx(expected, abs=1e-3)


# ---- layouts without a published file here: their names and shapes, and a plain reading of the papers


def save(path: Path, state: dict) -> Path:
    torch.save(state, path)
    return path


def kernel(outputs: int, inputs: int, size: int = 3) -> Tensor:
    return torch.randn(outputs, inputs, size, size) / (inputs * size**2) ** 0.5


@pytest.mark.parametrize("channels", [1, 3])
def test_bf_cnn(tmp_path: Path, channels: int):
    state, y = {}, torch.rand(2, channels, 12, 15)
    h = y
    for i in range(20):
        weight = kernel(channels if i == 19 else 64, channels if i == 0 else 64)
        state[f"conv_layers.{i}.weight"] = weight
        h = F.conv2d(h, weight, padding=1)
        if 0 < i < 19:
            deviation, gain = torch.rand(1, 64, 1, 1) + 0.5, torch.rand(1, 64, 1, 1) + 0.5
            state[f"running_sd.{i - 1}"], state[f"gammas.{i - 1}"] = deviation, gain
            h = h / deviation * gain
        h = h.relu() if i < 19 else h
    model = mszoo.convert(save(tmp_path / "model.pt", state))
    assert model.channels == channels
    assert sum(p.numel() for p in model.parameters()) == 9 * 64 * (2 * channels + 18 * 64)
    torch.testing.assert_close(model.denoise(y), y - h, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("depth", [17, 20])
def test_dncnn_with_batch_norms(tmp_path: Path, depth: int):
    layers: list[nn.Module] = [nn.Conv2d(1, 64, 3, padding=1, bias=False), nn.ReLU()]
    for _ in range(depth - 2):
        layers += [nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Conv2d(64, 1, 3, padding=1, bias=False))
    for norm in network:
        if isinstance(norm, nn.BatchNorm2d):
            for tensor in norm.state_dict().values():
                tensor.copy_(torch.rand(tensor.shape) + 0.5) if tensor.is_floating_point() else tensor.fill_(9)
    network.eval()
    path = save(tmp_path / "net.pth", {f"module.dncnn.{k}": v for k, v in network.state_dict().items()})
    y = torch.rand(2, 1, 12, 15)
    torch.testing.assert_close(mszoo.convert(path).denoise(y), y - network(y), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("channels", "width", "depth"), [(1, 64, 15), (3, 96, 12)])
@pytest.mark.parametrize("size", [(12, 16), (11, 15)])
def test_ffdnet(tmp_path: Path, channels: int, width: int, depth: int, size: tuple[int, int]):
    widths = [4 * channels + 1, *[width] * (depth - 1), 4 * channels]
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU()]
    network = nn.Sequential(*layers[:-1])
    path = save(tmp_path / "ffdnet.pth", {f"model.{k}": v for k, v in network.state_dict().items()})
    model = mszoo.convert(path)
    y, sigma = torch.rand(2, channels, *size), torch.tensor([0.1, 0.2])
    padded = F.pad(y, (0, size[1] % 2, 0, size[0] % 2), mode="replicate")
    # sub-image 2 i + j of a channel holds the pixels of rows i and columns j modulo 2
    parts = [padded[:, c : c + 1, i::2, j::2] for c in range(channels) for i in (0, 1) for j in (0, 1)]
    out = network(torch.cat([*parts, sigma[:, None, None, None].expand_as(parts[0])], 1))
    expected = torch.zeros_like(padded)
    for n, (c, i, j) in enumerate((c, i, j) for c in range(channels) for i in (0, 1) for j in (0, 1)):
        expected[:, c, i::2, j::2] = out[:, n]
    torch.testing.assert_close(model.denoise(y, sigma), expected[..., : size[0], : size[1]], rtol=1e-4, atol=1e-5)


def seven_layers() -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, d in enumerate((1, 2, 3, 4, 3, 2, 1)):
        layers += [nn.Conv2d(1 if i == 0 else 64, 1 if i == 6 else 64, 3, padding=d, dilation=d), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def test_ircnn(tmp_path: Path):
    networks = [seven_layers() for _ in range(25)]
    states = [{f"model.{k}": v for k, v in network.state_dict().items()} for network in networks]
    y = torch.rand(1, 1, 12, 15)
    one = mszoo.convert(save(tmp_path / "one.pth", states[3]))
    torch.testing.assert_close(one.denoise(y), y - networks[3](y))
    path = save(tmp_path / "all.pth", {str(i): state for i, state in enumerate(states)})
    for sigma, number in ((2, 0), (3, 1), (4, 1), (25, 12), (50, 24), (80, 24)):
        model = mszoo.convert(path, importer="restoration/ircnn", sigma=sigma / 255)
        torch.testing.assert_close(model.denoise(y), y - networks[number](y))
    torch.testing.assert_close(mszoo.convert(path).denoise(y), y - networks[12](y))


@pytest.mark.parametrize("channels", [1, 3])
def test_drunet(tmp_path: Path, channels: int):
    widths, state = (
        (64, 128, 256, 512),
        {"m_head.weight": kernel(64, channels + 1), "m_tail.weight": kernel(channels, 64)},
    )

    def blocks(name: str, width: int, start: int) -> None:
        for i in range(start, start + 4):
            state[f"{name}.{i}.res.0.weight"] = kernel(width, width)
            state[f"{name}.{i}.res.2.weight"] = 0.1 * kernel(width, width)

    for i in (1, 2, 3):
        blocks(f"m_down{i}", widths[i - 1], 0)
        state[f"m_down{i}.4.weight"] = kernel(widths[i], widths[i - 1], 2)
        state[f"m_up{i}.0.weight"] = kernel(widths[i], widths[i - 1], 2)
        blocks(f"m_up{i}", widths[i - 1], 1)
    blocks("m_body", 512, 0)
    model = mszoo.convert(save(tmp_path / "drunet.pth", state))
    assert sum(p.numel() for p in model.parameters()) == 32_638_656 + 9 * 64 * 2 * (channels - 1)

    def apply(name: str, x: Tensor, start: int) -> Tensor:
        for i in range(start, start + 4):
            inner = F.conv2d(x, state[f"{name}.{i}.res.0.weight"], padding=1).relu()
            x = x + F.conv2d(inner, state[f"{name}.{i}.res.2.weight"], padding=1)
        return x

    y = torch.rand(1, channels, 16, 24)
    skipped = [F.conv2d(torch.cat([y, torch.full_like(y[:, :1], 0.2)], 1), state["m_head.weight"], padding=1)]
    for i in (1, 2, 3):
        inner = apply(f"m_down{i}", skipped[-1], 0)
        skipped.append(F.conv2d(inner, state[f"m_down{i}.4.weight"], stride=2))
    x = apply("m_body", skipped[-1], 0)
    for i in (3, 2, 1):
        x = apply(f"m_up{i}", F.conv_transpose2d(x + skipped[i], state[f"m_up{i}.0.weight"], stride=2), 1)
    expected = F.conv2d(x + skipped[0], state["m_tail.weight"], padding=1)
    with torch.no_grad():
        torch.testing.assert_close(model.denoise(y, 0.2), expected, rtol=1e-3, atol=1e-3)
        assert model.denoise(y[..., :13, :17], 0.2).shape == (1, channels, 13, 17)


@pytest.mark.parametrize("name", ["restoration/bf_cnn", "restoration/dncnn"])
def test_what_restricts_the_use_of_a_checkpoint_is_told(tmp_path: Path, name: str):
    from mszoo.importers import import_files

    told = import_files(mszoo.create("importer", name).write_example(tmp_path)).license
    assert (told is None) == (name == "restoration/dncnn")  # KAIR's are MIT
    assert told is None or "no license is stated" in told


@pytest.mark.parametrize("name", ["more", "conv2.bias"])
def test_a_tensor_too_many_is_named(tmp_path: Path, name: str):
    (path,) = mszoo.create("importer", "restoration/bias_free_unet").write_example(tmp_path)
    content = torch.load(path, weights_only=True)
    content["model"][0][name] = torch.ones(2)
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"unet\.pt: its tensor for"):
        mszoo.convert(path)
