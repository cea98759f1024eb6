"""The fast copy computes the same."""

import itertools

import pytest
import torch

import mszoo
from mszoo.conditioners import BiasFreeCNN
from mszoo.errors import UnsupportedError
from mszoo.heads.denoiser import Denoiser
from mszoo.inference import fast
from mszoo.inference.fast import fold, folding


def trained_model(
    norm: str, activation: str, embedding: bool, invariant: bool = False, width: int = 12
) -> mszoo.MultiScaleModel:
    """A model whose running statistics and gains are not the initial ones; an invariant one ends in a U-Net."""
    torch.manual_seed(0)
    part = {
        "conditioner": {"name": "bias_free_cnn", "receptive_field": 9, "depth": 6, "width": width, "norm": norm,
                        "activation": activation, "noise_embedding": embedding, "brightness_invariant": invariant},
        "head": "denoiser",
    }  # fmt: skip
    unet = {"name": "bias_free_unet", "widths": [width, 16], "activation": activation}
    model = mszoo.MultiScaleModel.from_config(
        {"channels": 3, "basis": "db2", "levels": 2, "detail": part,
         "coarse": {"conditioner": unet, "head": "denoiser"} if invariant else part}
    )  # fmt: skip
    for name, tensor in model.state_dict().items():
        if "gain" in name or "running" in name:
            tensor.copy_(torch.rand_like(tensor) + 0.5)
        elif "last.weight" in name:  # a block of the U-Net starts as the identity
            tensor.add_(0.1 * torch.randn_like(tensor))
    return model.eval()


@pytest.mark.parametrize(
    ("norm", "activation", "embedding", "invariant"),
    [
        *itertools.product(["batch", "channel", "none"], ["relu", "gelu", "softplus"], [False, True], [False]),
        ("batch", "relu", False, True),
        ("none", "gelu", False, True),
    ],
)
@pytest.mark.parametrize(("size", "width"), [((8, 8), 12), ((200, 204), 16)])  # several images at a time, and one
def test_equal_up_to_rounding(norm, activation, embedding, invariant, size, width):
    model = trained_model(norm, activation, embedding, invariant, width)
    y, before = torch.rand(3, 3, *size), {k: v.clone() for k, v in model.state_dict().items()}
    quick = fast(model)
    with torch.inference_mode():
        expected = model.denoise(y, 0.2)
        torch.testing.assert_close(quick.denoise(y, 0.2), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert quick.reach == model.reach


def test_the_norms_are_gone():
    assert not any(isinstance(m, BiasFreeCNN) for m in fast(trained_model("batch", "relu", False)).modules())


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_folding_stays_on_the_device_of_the_weights(norm):
    quick = fast(trained_model(norm, "relu", False).to("meta"))
    assert {t.device.type for t in quick.state_dict().values()} == {"meta"}


def test_bfloat16_is_close():
    model = trained_model("batch", "relu", False)
    y = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        exact, rough = model.denoise(y), fast(model, torch.bfloat16).denoise(y)
    assert rough.dtype == torch.float32
    assert (rough - exact).norm() < 0.05 * exact.norm()


def test_a_fast_model_is_not_for_saving(tmp_path):
    unet = {"conditioner": "bias_free_unet", "head": "denoiser"}
    for model in (
        trained_model("batch", "relu", False),
        mszoo.MultiScaleModel.from_config({"channels": 1, "coarse": unet}),
    ):
        with pytest.raises(UnsupportedError, match="save the model that fast was given"):
            fast(model).save_pretrained(tmp_path / "fast")
        assert not (tmp_path / "fast").exists()
        model.save_pretrained(tmp_path / model.scales[-1].conditioner.part.name)


def both(width: int = 16) -> tuple[mszoo.MultiScaleModel, mszoo.MultiScaleModel]:
    """A model with every kind of stage, and its fast copy; smooth, for derivatives to be comparable everywhere."""
    model = trained_model("batch", "softplus", False, True, width)
    return model, fast(model)


def close(got: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_twice_fast_is_fast():
    model, once = both()
    twice, y = fast(once), torch.rand(2, 3, 16, 16)
    assert torch.equal(twice.denoise(y), once.denoise(y))
    assert [type(m) for m in twice.modules()] == [type(m) for m in once.modules()]
    assert twice is not once
    close(fast(model.train()).denoise(y), once.denoise(y))


def test_no_graph_is_kept_unless_the_input_asks_for_it():
    model, quick = both()
    y = torch.rand(1, 3, 16, 16)
    assert not quick.denoise(y).requires_grad
    assert not any(p.requires_grad for p in quick.parameters())
    assert any(p.requires_grad for p in model.parameters())
    y.requires_grad_()
    assert quick.denoise(y).requires_grad


DERIVATIVES = {
    "reverse": lambda f, y, v: torch.func.vjp(f, y)[1](v)[0],
    "forward": lambda f, y, v: torch.func.jvp(f, (y,), (v,))[1],
    "reverse of reverse": lambda f, y, v: torch.func.grad(
        lambda y: (torch.func.grad(lambda y: (f(y) ** 2).sum())(y) * v).sum()
    )(y),
    "forward of reverse": lambda f, y, v: torch.func.jvp(torch.func.grad(lambda y: (f(y) ** 2).sum()), (y,), (v,))[1],
    "vmap": lambda f, y, v: torch.func.vmap(f)(torch.stack([y, v])),
    "jacobian, forward": lambda f, y, v: torch.func.jacfwd(lambda a: f(y + a * v))(torch.tensor(0.3)),
}


@pytest.mark.parametrize("derivative", DERIVATIVES)
def test_derivatives_are_the_models(derivative):
    model, quick = both()
    y, v = torch.rand(1, 3, 8, 8), torch.randn(1, 3, 8, 8)
    ask = DERIVATIVES[derivative]
    close(ask(quick.denoise, y, v), ask(model.denoise, y, v))


def test_forward_derivative_of_the_packaged_model():
    """Where rounding changes a rectifier's sign, its derivative jumps: hence the norm."""
    model = mszoo.load("photographs-haar-rf13")
    y, v = torch.rand(1, 1, 32, 32), torch.randn(1, 1, 32, 32)
    got, expected = (torch.func.jvp(m.denoise, (y,), (v,))[1] for m in (fast(model), model))
    assert (got - expected).norm() < 1e-3 * expected.norm()


@pytest.mark.parametrize("gradients", [False, True])
def test_compiled_it_computes_the_same(gradients):
    model, quick = both()
    y = torch.rand(1, 3, 16, 16, requires_grad=gradients)
    compiled = torch.compile(quick.coarse.conditioner, backend="aot_eager", fullgraph=True)
    got, expected = compiled(y), model.coarse.conditioner(y)
    close(got, expected)
    if gradients:
        close(*(torch.autograd.grad(z.square().sum(), y)[0] for z in (got, expected)))


def test_exported_it_computes_the_same(tmp_path):
    _, quick = both()
    y = torch.rand(1, 3, 16, 16)
    torch.export.save(torch.export.export(quick.coarse.conditioner, (y,)), tmp_path / "exported.pt2")
    loaded = torch.export.load(tmp_path / "exported.pt2").module()
    assert torch.equal(loaded(y), quick.coarse.conditioner(y))


class Halved(BiasFreeCNN):
    """A plugin's: a subclass that computes something else."""

    def forward(self, y, t=None, cond=None):
        return super().forward(y, t, cond) / 2


def test_a_subclass_is_not_folded_as_its_parent():
    network = Halved(1, receptive_field=5, depth=3).eval()
    assert fold(network) is network


def test_a_plugin_registers_the_folding_of_its_own_class():
    class Own(Halved):
        pass

    @folding(Own)
    def _(conditioner, dtype):
        assert dtype == torch.float32
        return Halved(conditioner.channels, receptive_field=7, depth=3)

    assert type(fold(Own(1, receptive_field=5, depth=3))) is Halved
    model = mszoo.MultiScaleModel(1, Denoiser(Own(1, receptive_field=5, depth=3)))
    assert type(fast(model).coarse.conditioner) is Halved
    assert type(model.coarse.conditioner) is Own
