"""The parameter file: every problem at once, in one line, and the profiles that must load."""

import os
import re

import pytest
import yaml

from colorize.config import params
from colorize.runtime import ParameterError

PROFILES = ("ci", "paper", "sample", "tiny")


@pytest.fixture
def text(repo) -> str:
    """A parameter file that loads."""
    return (repo / "profiles" / "sample.yaml").read_text()


@pytest.fixture
def load(tmp_path):
    """Load a parameter file given as text."""

    def load_text(text: str) -> params.Settings:
        path = tmp_path / "params.yaml"
        path.write_text(text)
        return params.load(path)

    return load_text


@pytest.fixture
def refusal(load):
    """What the user reads about a parameter file given as text."""

    def message(text: str) -> str:
        with pytest.raises(ParameterError) as caught:
            load(text)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return message


def changed(text: str, key: str, value: str) -> str:
    """The file with another value of one key."""
    found, count = re.subn(rf"(?m)^(\s+{key}:) [^#\n]*", rf"\1 {value} ", text)
    assert count == 1
    return found


def keys_of(value, prefix: str = "") -> list[str]:
    """Dotted names of all keys, in order; below `named` stand the names of data sets."""
    if not isinstance(value, dict) or prefix == "evaluate.named.":
        return []
    return [name for key in value for name in (f"{prefix}{key}", *keys_of(value[key], f"{prefix}{key}."))]


def comments_of(text: str) -> dict[str, str]:
    """Dotted name of every key of at most two levels that has a comment -> the comment."""
    comments, section = {}, ""
    for indent, key, comment in re.findall(r"(?m)^( {0,2})(\w+):[^#\n]*(?:# (.*))?$", text):
        section = section if indent else key
        comments[f"{section}.{key}" if indent else key] = comment
    return {name: comment for name, comment in comments.items() if comment}


@pytest.mark.parametrize("name", PROFILES)
def test_profile_loads(repo, name):
    params.load(repo / "profiles" / f"{name}.yaml")


@pytest.mark.parametrize("name", PROFILES)
def test_profile_has_the_keys_of_params_yaml_in_its_order(repo, name):
    profile = yaml.safe_load((repo / "profiles" / f"{name}.yaml").read_text())
    assert keys_of(profile) == keys_of(yaml.safe_load((repo / "params.yaml").read_text()))


def test_a_key_has_the_same_comment_in_every_profile(repo):
    first, *others = (comments_of((repo / "profiles" / f"{name}.yaml").read_text()) for name in PROFILES)
    assert len(first) > 30
    assert others == [first] * len(others)


def test_the_tiny_profile_shares_its_shards_and_prior_with_the_paper_profile(repo):
    tiny, paper = (params.load(repo / "profiles" / f"{name}.yaml") for name in ("tiny", "paper"))
    assert (tiny.datasets, tiny.models) == (["tiny_imagenet"], paper.models)
    assert (tiny.shard, tiny.soft_targets, tiny.prior) == (paper.shard, paper.soft_targets, paper.prior)


def test_the_paper_profile_has_the_papers_numbers(repo):
    settings = params.load(repo / "profiles" / "paper.yaml")
    assert settings.datasets == ["tiny_imagenet", "places365"]
    assert settings.models == ["regression", "cnn", "cnn_weighted", "unet", "unet_weighted"]
    train = settings.train
    assert (train.lr, train.beta1, train.beta2, train.weight_decay, train.clip_norm) == (3e-5, 0.9, 0.99, 1e-3, 5)
    assert (train.width, train.select, train.head_bias, settings.shard.gray) == (1, "last", "zero", "keep")
    assert (settings.soft_targets.sigma, settings.soft_targets.num_neighbors, settings.prior.lambda_) == (5, 10, 0.5)


def test_all_problems_are_named_at_once(text, refusal):
    broken = changed(changed(changed(text, "lr", "-1"), "batch_size", "0"), "gray", "maybe")
    message = refusal(broken)
    for key in ("train.lr", "train.batch_size", "shard.gray"):
        assert key in message
    assert "'keep' or 'drop'" in message
    assert "found -1" in message


def test_an_unknown_key_is_refused_and_the_near_one_suggested(text, refusal):
    message = refusal(text.replace("  batch_size:", "  batchsize:"))
    assert "train.batchsize: no such key (did you mean batch_size?)" in message
    assert "train.batch_size is missing" in message


def test_an_unknown_section_is_refused_and_the_near_one_suggested(text, refusal):
    assert "trian: no such key (did you mean train?)" in refusal(text + "\ntrian: {}\n")


def test_a_key_that_stands_twice_is_refused(text, refusal):
    message = refusal(text.replace("  steps:", "  lr: 1.0\n  steps:"))
    assert "'lr' appears twice" in message


@pytest.mark.parametrize("written", ["1e-4", "3E-5", "1.0e-3", "+2e+0", "1", ".5"])
def test_numbers_may_be_written_as_in_yaml_1_2(text, load, written):
    assert load(changed(text, "lr", written)).train.lr == float(written)


WRONG = [  # key, value, what the user reads
    ("lr", "-1", "train.lr: input should be greater than 0, found -1"),
    ("lr", "0", "train.lr: input should be greater than 0, found 0"),
    ("lr", "'1e-4'", "train.lr: input should be a valid number, found '1e-4'"),
    ("lr", "fast", "train.lr: input should be a valid number, found 'fast'"),
    ("lr", "true", "train.lr: input should be a valid number, found True"),
    ("lr", ".nan", "train.lr: input should be a finite number, found nan"),
    ("lr", ".inf", "train.lr: input should be a finite number, found inf"),
    ("lr", "-.inf", "train.lr: input should be a finite number, found -inf"),
    ("lr", "1e999", "train.lr: input should be a finite number, found inf"),
    ("lr", "[1e-4]", "train.lr: input should be a valid number, found [0.0001]"),
    ("lr", "", "train.lr: input should be a valid number, found None"),
    ("batch_size", "0", "train.batch_size: input should be greater than or equal to 1, found 0"),
    ("batch_size", "true", "train.batch_size: input should be a valid integer, found True"),
    ("batch_size", "32.0", "train.batch_size: input should be a valid integer, found 32.0"),
    ("batch_size", "1_000", "train.batch_size: input should be a valid integer, found '1_000'"),
    ("steps", "1.5", "train.steps: input should be a valid integer, found 1.5"),
    ("steps", "'300'", "train.steps: input should be a valid integer, found '300'"),
    ("steps", "1:30", "train.steps: input should be a valid integer, found '1:30'"),
    ("pretrained", "1", "train.pretrained: input should be a valid boolean, found 1"),
    ("pretrained", "yes", "train.pretrained: input should be a valid boolean, found 'yes'"),
    ("beta1", "1.0", "train.beta1: input should be less than 1, found 1.0"),
    ("width", "5", "train.width: input should be less than or equal to 4, found 5"),
    ("select", "first", "train.select: input should be 'best' or 'last', found 'first'"),
    ("schedule", "linear", "train.schedule: input should be 'constant' or 'cosine', found 'linear'"),
    ("head_bias", "one", "train.head_bias: input should be 'prior' or 'zero', found 'one'"),
    ("gray", "maybe", "shard.gray: input should be 'keep' or 'drop', found 'maybe'"),
    ("size", "60", "shard.size: input should be a multiple of 16, found 60"),
    ("size", "2048", "shard.size: input should be less than or equal to 1024, found 2048"),
    ("min_colorfulness", "-1", "shard.min_colorfulness: input should be greater than or equal to 0, found -1"),
    ("max_reject_fraction", "1.1", "shard.max_reject_fraction: input should be less than or equal to 1, found 1.1"),
    ("max_leaked", "-1", "shard.max_leaked: input should be greater than or equal to 0, found -1"),
    ("max_leaked", "none", "shard.max_leaked: input should be a valid integer, found 'none'"),
    ("num_neighbors", "0", "soft_targets.num_neighbors: input should be greater than or equal to 1, found 0"),
    ("lambda", "0", "prior.lambda: input should be greater than or equal to 0.000001, found 0"),
    ("lambda", "1e-300", "prior.lambda: input should be greater than or equal to 0.000001, found 1e-300"),
    ("lambda", "1e-45", "prior.lambda: input should be greater than or equal to 0.000001, found 1e-45"),
    ("sigma", "1e-30", "soft_targets.sigma: input should be greater than or equal to 0.1, found 1e-30"),
    ("sigma", "1e200", "soft_targets.sigma: input should be less than or equal to 1000, found 1e+200"),
    ("lr", "1e300", "train.lr: input should be less than or equal to 1000000000000000"),
    ("weight_decay", "1e300", "train.weight_decay: input should be less than or equal to 1000000000000000"),
    ("clip_norm", "1e39", "train.clip_norm: input should be less than or equal to 1000000000000000"),
    ("batch_size", "100000", "train.batch_size: input should be less than or equal to 65536, found 100000"),
    ("per_shard", "1" * 30, "shard.per_shard: input should be less than or equal to 1000000000, found 1111"),
    ("columns", "1000", "report.columns: 1,000 images in a line of a figure, expected at most 256 of 64 pixels"),
    ("figure6_model", "u" * 300, "report.figure6_model: string should have at most 100 characters"),
    ("figure6_model", "../unet", "report.figure6_model: string should match pattern"),
]


@pytest.mark.parametrize(("key", "value", "expected"), WRONG)
def test_a_wrong_value_is_answered_with_its_key_what_is_allowed_and_what_was_found(text, refusal, key, value, expected):
    assert expected in refusal(changed(text, key, value))


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        ("[-1]", "seeds.0: input should be greater than or equal to 0, found -1"),
        ("[0, 010]", "seeds.1: input should be a valid integer, found '010'"),
        ("[1, 2, 1]", "seeds: a seed appears twice"),
        (f"[{2**64}]", f"seeds.0: input should be less than {2**63}, found {2**64}"),
        (f"[{2**63}]", f"seeds.0: input should be less than {2**63}, found {2**63}"),
        ("[]", "seeds: list should have at least 1 item"),
        ("0", "seeds: input should be a valid list, found 0"),
    ],
)
def test_seeds_are_different_whole_numbers(text, refusal, seeds, expected):
    assert expected in refusal(re.sub(r"(?m)^seeds:.*\n- 0$", f"seeds: {seeds}", text))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("    - 177\n", "".join(f"    - {n}\n" for n in range(1000)), "evaluate.named.objects: 1,007 images in a line"),
        ("  size: 64 ", "  size: 1024 ", None),
        ("  - regression\n  - cnn\n", "  - cnn\n  - cnn\n", "report.figure4_models: a name appears twice"),
    ],
)
def test_figures_that_no_file_can_hold_are_refused_before_any_training(text, load, refusal, before, after, expected):
    changed_text = text.replace(before, after)
    assert changed_text != text
    if expected is None:
        assert load(changed_text).report.columns == 8
    else:
        assert expected in refusal(changed_text)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkfifo, "not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (os.mkdir, "is a directory"),
        (lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 20 << 30), "the limit is 1,048,576"),
        (lambda path: path.symlink_to(path.name), "too many levels of symbolic links"),
    ],
)
def test_what_is_no_file_that_a_person_wrote_is_named_and_not_read(tmp_path, make, words):
    make(tmp_path / "params.yaml")
    with pytest.raises(ParameterError, match=rf"params\.yaml: .*{words}"):
        params.load(tmp_path / "params.yaml")


def test_max_leaked_may_be_null(text, load):
    assert load(changed(text, "max_leaked", "null")).shard.max_leaked is None


def test_a_value_without_end_is_cut_short(text, refusal):
    """Ten lists of ten lists of ..., a billion in all."""
    lists = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    message = refusal(changed("a0: &a0 [x]\n" + lists + text, "lr", "*a9"))
    assert "train.lr: input should be a valid number, found [[" in message and len(message) < 1000


HOSTILE = {
    "object": "a: !!python/object/apply:os.system ['touch owned']",
    "module": "a: !!python/module:antigravity",
    "name": "a: !!python/name:os.system",
    "deep": "[" * 3000,
    "deeper": "a: " + "{a: " * 2000,
    "long number": "a: " + "1" * 5000,
    "odd tags": "a: !!int ''",
    "odd date": "a: !!timestamp x",
    "list as key": "? [a]\n: b",
    "list within itself": "train: &a {lr: *a}",
    "newline in a key": '"two\\nlines": 1',
    "escape in a key": '"\\e[2J": 1',
    "number as key": "1: 2",
    "two documents": "a: 1\n---\nb: 2",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line_and_executes_nothing(tmp_path, monkeypatch, refusal, kind):
    monkeypatch.chdir(tmp_path)
    message = refusal(HOSTILE[kind])
    assert "params.yaml" in message and message.isprintable()
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_an_unknown_model_is_refused_with_the_list_of_models(text, refusal):
    message = refusal(text.replace("- unet\n", "- unett\n", 1))
    assert "unett: no such model; the models are regression, cnn, cnn_weighted, unet, unet_weighted" in message


def test_a_name_that_stands_twice_is_refused(text, refusal):
    assert "a name appears twice" in refusal(text.replace("- scenes\n", "- objects\n", 1))


@pytest.mark.parametrize("name", ["gray", "prior", "oracle", "baselines"])
def test_no_model_has_the_name_of_a_baseline(text, refusal, monkeypatch, name):
    """Not even if the registry has it: both would write the same files."""
    monkeypatch.setitem(params.MODELS, name, params.MODELS["cnn"])
    assert f"{name}: the name of a baseline" in refusal(text.replace("- unet_weighted\n", f"- {name}\n", 1))


@pytest.mark.parametrize("content", ["", "just text", "- a\n- list\n", "a: [", "a: *nowhere", "\x00"])
def test_what_is_no_parameter_file_is_refused_in_one_line(refusal, content):
    assert "params.yaml" in refusal(content)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "params.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ParameterError, match=r"params\.yaml"):
        params.load(tmp_path / "params.yaml")


def test_a_missing_file_says_where_to_start(tmp_path):
    with pytest.raises(ParameterError, match="no such file; change to the top folder of the repository"):
        params.load(tmp_path / "params.yaml")


def test_a_data_set_model_or_seed_out_of_the_run_is_refused(text, load):
    settings = load(text)
    assert settings.dataset("objects") == "objects"
    assert settings.model("unet") == "unet"
    assert settings.seed("0") == 0
    with pytest.raises(ParameterError, match=r"cars is not in `datasets` of params\.yaml \(objects, scenes\)"):
        settings.dataset("cars")
    with pytest.raises(ParameterError, match=r"gan is not in `models` of params\.yaml"):
        settings.model("gan")
    with pytest.raises(ParameterError, match=r"00 is not in `seeds` of params\.yaml \(0\)"):
        settings.seed("00")


def test_settings_cannot_be_changed(text, load):
    with pytest.raises(ValueError, match="frozen"):
        load(text).train.lr = 1.0


UNION = "unions:\n  both: {first: objects, second: scenes, mix: [3, 1]}\n"


def with_union(text: str, union: str = UNION, datasets: str = "- objects\n- scenes\n- both\n") -> str:
    """The file with a union."""
    text = re.sub(r"unions: \{\}.*\n", union, text)
    return text.replace("- objects\n- scenes\n", datasets, 1)


def test_a_union_has_a_name_and_two_members(text, load):
    settings = load(with_union(text))
    assert settings.union("both").mix == [3, 1]
    with pytest.raises(ParameterError, match=r"objects is not in `unions` of params.yaml \(both\)"):
        settings.union("objects")


@pytest.mark.parametrize(
    ("union", "datasets", "expected"),
    [
        (UNION, "- objects\n- scenes\n", "unions: both is not in `datasets`"),
        (UNION, "- objects\n- both\n- scenes\n", "unions.both: scenes is not before both in `datasets`"),
        (UNION.replace("scenes", "nowhere"), None, "unions.both: nowhere is not before both in `datasets`"),
        (UNION.replace("scenes", "both"), None, "unions.both: both is not before both in `datasets`"),
        (UNION.replace("scenes", "objects"), None, "unions.both: first and second are both objects"),
        (UNION.replace("3, 1", "3, 0"), None, "unions.both.mix.1: input should be greater than or equal to 1, found 0"),
        (UNION.replace("3, 1", "0.5, 0.5"), None, "unions.both.mix.0: input should be a valid integer"),
        (UNION.replace("3, 1", "1, 1, 1"), None, "unions.both.mix: list should have at most 2 items"),
        (UNION.replace(", mix: [3, 1]", ""), None, "unions.both.mix is missing"),
    ],
)
def test_a_wrong_union_is_refused_before_any_stage_runs(text, refusal, union, datasets, expected):
    assert expected in refusal(with_union(text, union, datasets or "- objects\n- scenes\n- both\n"))
