from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mszoo
from mszoo.bases import Basis
from mszoo.conditioners import Conditioner
from mszoo.data import ImageDataset
from mszoo.discovery import registry
from mszoo.errors import ClashError, MszooError, OptionsError, UnknownComponentError
from mszoo.heads import Head
from mszoo.importers import Importer
from mszoo.objectives import Objective
from mszoo.registry import KINDS, Registry, Spec, natural_order
from mszoo.samplers import Sampler

CONTRACTS = {
    "basis": Basis,
    "conditioner": Conditioner,
    "head": Head,
    "objective": Objective,
    "dataset": ImageDataset,
    "sampler": Sampler,
    "importer": Importer,
}


def spec(name: str, target: str = "collections:OrderedDict", kind: str = "basis", **options: Any) -> Spec:
    return Spec(kind, name, target, **options)


# ---- what is there -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("component", list(registry()), ids=lambda s: f"{s.kind}:{s.name}")
def test_every_component_keeps_the_contract_of_its_kind(component: Spec) -> None:
    assert issubclass(component.load(), CONTRACTS[component.kind])
    assert component.summary
    assert component.distribution == "mszoo"


@pytest.mark.parametrize(
    ("kind", "name", "supplied", "options"),
    [
        ("basis", "db4", (), {}),
        ("conditioner", "bias_free_cnn", (3, 1), {"receptive_field": 9, "norm": "channel"}),
        ("objective", "denoising", (), {"random_intensity": True}),
        ("dataset", "photographs", (1,), {"split": "test"}),
    ],
)
def test_a_component_remembers_what_it_was_built_from(
    kind: str, name: str, supplied: tuple[Any, ...], options: dict[str, Any]
) -> None:
    part = mszoo.create(kind, name, *supplied, **options).part
    assert (part.name, part.distribution, part.config()) == (name, "mszoo", {"name": name, **options})


def test_listing_by_kind_and_pattern() -> None:
    assert mszoo.list_components("head") == [
        "anchored",
        "denoiser",
        "inner_product",
        "predictive",
        "score",
        "squared_norm",
    ]
    assert mszoo.list_components("basis", "db?") == [f"db{n}" for n in range(1, 10)]
    assert mszoo.list_components("basis", "no such*") == []
    everything = [name for kind in KINDS for name in mszoo.list_components(kind)]
    assert mszoo.list_components() == everything
    assert set(mszoo.list_components(pattern="*d*")) == {name for name in everything if "d" in name}
    assert not set(everything) & {"dmey", "bior2.2"}


@given(st.lists(st.integers(0, 10**6)), st.sampled_from(["", "db", "b/sym"]))
def test_natural_order_counts(numbers: list[int], word: str) -> None:
    names = [f"{word}{n}.x" for n in numbers]
    assert sorted(names, key=natural_order) == [f"{word}{n}.x" for n in sorted(numbers)]


# ---- unknown names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "hint"),
    [
        ("basis", "hear", "did you mean 'haar'"),
        ("conditioner", "biasfree_cnn", "did you mean 'bias_free_cnn'"),
        ("head", "denoising", "'denoising' is an? objective"),
        ("dataset", "zzz", "`mszoo components dataset` lists all"),
        ("bases", "haar", "did you mean 'basis'"),
    ],
)
def test_unknown_names_list_the_closest_and_the_kinds(kind: str, name: str, hint: str) -> None:
    for ask in (registry().get, registry().check, mszoo.create):
        with pytest.raises(UnknownComponentError, match=hint) as caught:
            ask(kind, name)
        assert all(known in str(caught.value) for known in KINDS)
        assert repr(name if kind in KINDS else kind) in str(caught.value)
    if kind not in KINDS:
        with pytest.raises(UnknownComponentError, match=hint):
            mszoo.list_components(kind)


# ---- options -------------------------------------------------------------------------------------------------


def faults(*args: Any, **options: Any) -> dict[tuple[str | int, ...], str]:
    with pytest.raises(OptionsError) as caught:
        mszoo.create(*args, **options)
    return dict(caught.value.rows)


def test_all_faulty_options_are_named_at_once() -> None:
    found = faults("conditioner", "bias_free_cnn", 1, receptive_feild=9, width="wide", norm="batsh")
    assert found.keys() == {("receptive_feild",), ("width",), ("norm",)}
    assert "did you mean 'receptive_field'" in found["receptive_feild",]
    assert "integer" in found["width",]
    assert "'wide'" in found["width",]
    assert "'batch', 'channel' or 'none'" in found["norm",]
    assert "'batsh'" in found["norm",]


def test_faults_inside_an_option_have_their_path() -> None:
    found = faults("objective", "denoising", noise={"max_sigm": 1.0, "distribution": "normal"})
    assert found.keys() == {("noise", "max_sigm"), ("noise", "distribution")}
    assert "did you mean 'max_sigma'" in found["noise", "max_sigm"]


@pytest.mark.parametrize("key", ["receptive-field", "x-y", "str", "kind", "name", "self", "channels", "conditioner"])
def test_any_unknown_key_is_named(key: str) -> None:
    with pytest.raises(OptionsError, match=re.escape(key)):
        mszoo.create("conditioner", "bias_free_cnn", 1, 0, **{key: 9})


@pytest.mark.parametrize(
    ("kind", "name", "key"),
    [("basis", "haar", "wavelet"), ("head", "denoiser", "conditioner"), ("basis", "db4", "taps")],
)
def test_what_the_name_or_the_model_decides_is_no_option(kind: str, name: str, key: str) -> None:
    with pytest.raises(OptionsError, match=f"{kind} '{name}': {key}: unknown key; it takes no options"):
        registry().check(kind, name, **{key: 1})


def test_options_are_converted_to_their_types() -> None:
    assert registry().check("conditioner", "bias_free_cnn", width="32", depth=None) == {"width": 32, "depth": None}


# ---- registering ---------------------------------------------------------------------------------------------


def test_a_name_registered_twice_names_both_distributions_and_keeps_the_first() -> None:
    known = Registry()
    first = spec("mine", distribution="first-plugin")
    known.register(first)
    with pytest.raises(ClashError, match=r"basis 'mine'.*'first-plugin'.*'second-plugin'"):
        known.register(spec("mine", "builtins:dict", distribution="second-plugin"))
    assert known.get("basis", "mine") == first
    known.register(spec("mine", kind="head"))  # another kind is another name
    known.register(spec("plugin/mine"))
    assert known.names("basis") == ["mine", "plugin/mine"]


def test_a_copy_is_independent() -> None:
    known = Registry()
    known.register(spec("a"))
    copy = known.copy()
    copy.register(spec("b"))
    assert known.names() == ["a"]
    known.update(copy)
    assert known.names() == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bases", "x", "m:C"), "unknown kind 'bases'; did you mean 'basis'"),
        (("basis", "", "m:C"), "needs a name"),
        (("basis", "two words", "m:C"), "needs a name without spaces"),
        (("basis", "x", "module.Class"), "must be 'module:Class'"),
        (("basis", "x", "m:C; import os"), "must be 'module:Class'"),
        (("basis", "x", dict), "must be 'module:Class'"),
    ],
    ids=str,
)
def test_malformed_specs_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(MszooError, match=message):
        Spec(*arguments)


@pytest.mark.parametrize("target", ["no_such_module:Thing", "math:no_such_thing"])
def test_what_cannot_be_imported_is_an_error_only_for_who_asks(target: str) -> None:
    known = Registry()
    known.register(spec("broken", target, distribution="bad-plugin"))
    assert known.names("basis") == ["broken"]
    with pytest.raises(MszooError, match=f"basis 'broken' of distribution 'bad-plugin'.*{target}"):
        known.create("basis", "broken")
