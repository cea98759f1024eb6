"""Recipes: what is written is what is built, and every fault is told with its place."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from mszoo.cli.guide import guides
from mszoo.errors import RecipeError
from mszoo.hub import packaged_models
from mszoo.recipe import Recipe, Source, differences, read_recipe
from mszoo.shipped import shipped_files
from mszoo.training import check
from tests.recipe.keys import page

GOOD = Path(shipped_files("recipes", ".yaml")["smoke-denoiser"]).read_text()


def faults(text: str, *overrides: str) -> list[str]:
    """Lines of the error, without the first."""
    source = Source(text, "bad.yaml")
    for override in overrides:
        source.override(override)
    with pytest.raises(RecipeError) as caught:
        check(source)
    return str(caught.value).splitlines()[1:]


@pytest.mark.parametrize("name", shipped_files("recipes", ".yaml"))
def test_every_shipped_recipe_is_whole(name):
    recipe, model = check(read_recipe(name))
    assert recipe.name == name
    assert recipe.description
    assert len(recipe.objectives()) == len(model.scales)


def commands(text: str) -> list[list[str]]:
    """What the shell blocks of a Markdown text give to ``mszoo``, each command a list of words."""
    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL))
    told = subprocess.run(
        ["bash", "-eu"],
        input=f"mszoo() {{ printf '%s\\0' \"$@\"; printf '\\n'; }}\n{blocks}",
        capture_output=True,
        text=True,
        check=True,
    )
    assert not told.stderr
    return [line.split("\0")[:-1] for line in told.stdout.splitlines()]


@pytest.mark.parametrize("name", packaged_models())
def test_how_a_packaged_model_was_trained_still_runs(name: str) -> None:
    recipes = [Path(shipped_files("recipes", ".yaml")[name]), packaged_models()[name] / "recipe.yaml"]
    shipped, packaged = (yaml.safe_load(path.read_text())["publication"] for path in recipes)
    assert shipped == packaged
    found = commands(shipped["training"])
    # A model may start from another that is packaged, or that the lines of Python between the commands save.
    made = set(packaged_models()) | set(re.findall(r'save_pretrained\("([^"]+)"\)', shipped["training"]))
    for verb, *words in found:
        assert verb in ("train", "assemble")
        if verb == "assemble":
            assert set(words[1:]) <= made
            continue
        recipe, overrides, out = words[0], words[1 : words.index("--out")], words[-1]
        checked, _ = check(read_recipe(recipe, overrides))
        assert checked.training.init is None or checked.training.init in made
        assert out not in made
        made.add(out)
    assert len(made) > len(packaged_models())


@pytest.mark.parametrize(
    ("written", "value"),
    {
        **{"1e-3": 1e-3, "1E-3": 1e-3, "-2e4": -2e4, "1.5e3": 1500.0, ".5": 0.5, "3": 3, "0x10": 16},
        **{"010": 10, "-08": -8, "0o10": 8, "1:30": "1:30", "1:30.5": "1:30.5", "0b11": "0b11"},  # YAML 1.2
        **{"1e": "1e", "e3": "e3", "1.2.3": "1.2.3", "db4": "db4", "true": True, "null": None},
    }.items(),
)
def test_numbers_in_files_and_overrides(written, value):
    assert Source(f"key: {written}", "x").values == {"key": value}
    source = Source("key: 0", "x")
    source.override(f"key={written}")
    assert source.values == {"key": value}
    assert type(source.values["key"]) is type(value)


@pytest.mark.parametrize(
    "value", ["1:30", "010", "1e-3", "0o17", "0x1f", "1_000", ".5", "yes", "null", "1e5", 3, 1e-20]
)
def test_what_is_written_into_a_checkpoint_is_read_as_it_was(value):
    source = Source("a: 0", "x")
    source.values["a"] = value
    for read in (lambda text: Source(text, "x").values, yaml.safe_load):
        assert read(source.text()) == {"a": value}


def test_a_fault_has_file_line_key_and_what_was_expected():
    text = GOOD.replace("steps: 300", "steps: many")
    line = next(i for i, row in enumerate(text.splitlines(), 1) if "many" in row)
    (fault,) = faults(text)
    assert fault.startswith(f"bad.yaml:{line}  training.steps  ")
    assert "integer" in fault
    assert "'many'" in fault


def test_all_faults_at_once():
    text = (
        GOOD.replace("steps: 300", "stepz: 300")
        .replace("batch_size: 16", "batch_size: -1")
        .replace("receptive_field: 9", "receptive_feild: 9")
        .replace("name: photographs, crop: 64", "name: photograph, crop: 64")
    )
    found = "\n".join(faults(text))
    expected = {
        "training.stepz": "'steps'",
        "training.batch_size": "greater than 0",
        "model.detail.conditioner.receptive_feild": "'receptive_field'",
        "data.train": "'photographs'",
    }
    for key, hint in expected.items():
        assert re.search(rf"bad.yaml:\d+  {key}  .*{hint}", found), (key, found)
    assert len(found.splitlines()) == len(expected)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("basis: haar", "basis: harr", r"model.basis  unknown basis 'harr'; did you mean 'haar'"),
        ("basis: haar", "basis: dmey", r"model.basis  .*not orthonormal"),
        ("basis: haar", "basis: null", r"model  levels: 2 needs a basis"),
        (
            "head: denoiser}",
            "head: inner_product}",
            r"model.detail.head  .*takes_t.*batch_independent.*smooth",
        ),
        ("head: denoiser}", "head: denoizer}", r"model.detail.head  .*did you mean 'denoiser'"),
        (
            "receptive_field: 9",
            "receptive_field: 8",
            r"model.detail.conditioner  .*odd receptive field from 5 to",
        ),
        ("max_sigma: 2.0", "max_sigma: -2.0", r"objective.noise.max_sigma  .*greater than 0, got -2"),
        (
            "max_sigma: 2.0",
            "max_sgma: 2.0",
            r"objective.noise.max_sgma  unknown key; did you mean 'max_sigma'",
        ),
        (
            "name: denoising",
            "name: denoisng",
            r"objective  unknown objective 'denoisng'; did you mean 'denoising'",
        ),
        ("crop: 64", "crop: 66", r"data.train.crop  66 does not fit this model.*multiples of 4"),
        ("split: test", "split: tset", r"data.test.split  .*'train' or 'test'"),
        ("split: test", "path: photos", r"data.test.path  unknown key; the keys of dataset 'photographs' are split"),
        ("warmup: 10", "scheduler: {name: step, decay_epochs: 0}", r"training.scheduler  step does not take"),
        ("warmup: 10", "scheduler: {name: multistep, decay_milestones: x}", r"training.scheduler  multistep does not"),
        ("warmup: 10", "scheduler: {name: cosine, cycle_mul: .nan}", r"training.scheduler  cosine does not take"),
        ("warmup: 10", "scheduler: {name: cosine, min_lr: -1}", r"training.scheduler  .*cosine does not take"),
        ("lr: 2e-2", "lr: 2e-2, betas: [a, b]", r"training.optimizer  adamuon .*"),
        ("warmup: 10", "workers: 100000", r"training.workers  .*less than or equal to 256"),
        ("flip: true", "flip: true, zoom: [1, .inf]", r"data.train.zoom\[1\]  .*finite"),
        ("max_sigma: 2.0", "psnr: [-9e9, 1]", r"objective.noise.*greater than or equal to -150"),
        ("warmup: 10", "scheduler: cosin", r"training.scheduler  .*did you mean 'cosine'"),
        ("name: adamuon", "name: adamoun", r"training.optimizer  .*did you mean 'adamuon'"),
        ("warmup: 10", "warmup: 300", r"training  warmup: 300 must be less than steps"),
        ("warmup: 10", "accumulate: 3", r"training  accumulate: 3 must divide batch_size"),
        ("lr: 2e-2", "lr: 2e-2, momentun: 3", r"training.optimizer  .*momentun"),
        ("lr: 2e-2", "lr: fast", r"training.optimizer.lr  should be a number, 0 or more, got 'fast'"),
        ("lr: 2e-2", "lr: .inf", r"training.optimizer.lr  should be a number, 0 or more, got inf"),
        ("warmup: 10", "seed: 99999999999999999999", r"training.seed  .*less than 9223372036854775808"),
        ("steps: 300", "steps: .nan", r"training.steps  .*"),
        (
            "name: denoising,",
            "name: denoising, random_intensity: true,",
            r"objective  with these options it cannot train scale 0, whose condition stays as it is",
        ),
    ],
)
def test_one_fault(old, new, expected):
    assert old in GOOD
    fault, *more = faults(GOOD.replace(old, new, 1))
    assert not [m for m in more if "it cannot train scale" not in m], "each scale of the same mapping tells its own"
    assert re.search(rf"^bad.yaml:\d+  {expected}", fault), fault


def test_a_fault_does_not_hide_others_of_its_section():
    text = GOOD.replace("channels: 1", "channels: one").replace("basis: haar", "basis: harr")
    text = text.replace("head: denoiser}", "head: denoizer}").replace("batch_size: 16", "batch_size: -1")
    found = faults(text.replace("name: adamuon", "name: adamoun"), "training.scheduler=cosin")
    for key in ("channels", "basis", "detail.head", "coarse.head", "batch_size", "optimizer", "scheduler"):
        assert any(re.search(rf"(model|training)\.{key}  ", fault) for fault in found), (key, found)
    assert len(found) == 7


def test_faults_of_overrides_name_the_command_line():
    (fault,) = faults(GOOD, "training.steps=abc")
    assert fault.startswith("command line: training.steps=abc  training.steps  ")


@pytest.mark.parametrize("override", ["training.steps", "=3", "model.detail.7.head=denoiser", "training.steps=[1"])
def test_malformed_overrides(override):
    source = Source(GOOD.replace("detail: {", "detail: [{").replace("denoiser}\n", "denoiser}]\n", 1), "x")
    with pytest.raises(RecipeError, match="command line"):
        source.override(override)


@pytest.mark.parametrize(
    "override",
    ["training.²=1", f"model.detail.{'9' * 5000}.head=denoiser", "model.coarse.objective.name=[1]", "model.5=1", "7=1"],
)
def test_overrides_that_are_nobodys_keys(override):
    def checked():
        source = Source(GOOD, "x")
        source.override(override)
        check(source)

    with pytest.raises(RecipeError):
        checked()


def test_overrides_reach_lists_new_keys_and_bare_names():
    source = Source(GOOD, "x")
    for override in [
        "training.optimizer=adam",
        "training.optimizer.lr=1e-4",
        "evaluation.sigmas=[0.5]",
        "model.basis=db2",
    ]:
        source.override(override)
    recipe, model = check(source)
    assert (recipe.training.optimizer.name, recipe.training.optimizer.options) == ("adam", {"lr": 1e-4})
    assert recipe.evaluation.sigmas == [0.5]
    assert model.config()["basis"] == {"name": "db2"}
    assert Recipe.model_validate(yaml.safe_load(source.text())) == recipe


def test_an_anchor_is_a_copy():
    scale = "{conditioner: {name: bias_free_cnn, receptive_field: 9, depth: 6}, head: denoiser}"
    source = Source(f"model: {{basis: haar, levels: 2, detail: [&s {scale}, *s], coarse: *s}}", "x")
    source.override("model.detail.0.conditioner.receptive_field=5")
    fields = [
        s["conditioner"]["receptive_field"]
        for s in (*source.values["model"]["detail"], source.values["model"]["coarse"])
    ]
    assert fields == [5, 9, 9]


def test_one_scale_of_a_mapping_for_all():
    source = Source(GOOD, "x")
    source.override("model.detail.1.conditioner.receptive_field=7")
    _, model = check(source)
    assert [head.receptive_field for head in model.eval().detail] == [9, 7]
    with pytest.raises(RecipeError, match=r"there is no model\.detail\[2\]"):
        source.override("model.detail.2.head=denoiser")


def test_an_option_of_a_default_part():
    source = Source(GOOD.replace("  optimizer: {name: adamuon, lr: 2e-2}\n", ""), "x")
    source.override("training.optimizer.weight_decay=1e-4")
    source.override("training.scheduler.min_lr=1e-5")
    recipe, _ = check(source)
    assert recipe.training.optimizer.model_dump() == {"name": "adam", "lr": 1e-3, "weight_decay": 1e-4}
    assert recipe.training.scheduler is not None
    assert recipe.training.scheduler.name == "cosine"


def test_differences():
    base = {"a": 1, "b": {"c": 2, "d": [1]}, "gone": 3}
    other = {"a": 1, "b": {"c": 2.5, "d": [1]}, "new": None, "more": "x"}
    assert differences(base, other) == ["b.c=2.5", "gone=null", "more=x"]
    assert differences(base, base) == []


def test_scales_merge_the_objective():
    text = GOOD.replace("head: denoiser}", "head: denoiser, objective: {noise: {max_sigma: 3.0}}}", 1)
    recipe, _ = check(Source(text, "x"))
    assert [o.options["noise"]["max_sigma"] for o in recipe.objectives()] == [3.0, 3.0, 2.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a: [1", "not YAML"), ("- 1", "a mapping"), ("a: 1\na: 2", "given twice"), ("", "fault"),
     ("a: !!python/object:os.x 1", "not YAML"), ("a: &a [*a]", "contains itself")],
)  # fmt: skip
def test_files_that_are_no_recipe(text, expected):
    with pytest.raises(RecipeError, match=expected):
        check(Source(text, "x"))


def test_the_guide_has_every_key():
    written = guides()["recipe"].read_text(encoding="utf-8")
    assert written == page(), "write it again: python -m tests.recipe.keys > mszoo/guides/recipe.md"
    for line in written.splitlines():
        assert not line.endswith("|  |"), f"what does it mean? {line}"


def test_unknown_recipe_is_answered_with_the_closest():
    with pytest.raises(RecipeError, match="did you mean 'smoke-denoiser'"):
        read_recipe("smoke-denoizer")
    with pytest.raises(RecipeError, match="no recipe file"):
        read_recipe("elsewhere/smoke-denoiser.yaml")
    assert read_recipe("recipes/smoke-denoiser.yaml").values["name"] == "smoke-denoiser"
