"""Unknown keys lead to those that they stand for, and files to git only where git has them."""

import subprocess

import pytest

from pisces.config import nearest
from pisces.config.presets import overlay
from pisces.config.schema import Params
from pisces.core import way_back, yaml
from pisces.core.reading import read_csv

TRAIN = nearest.described_keys(Params.model_fields["train"].annotation)


@pytest.mark.parametrize(
    ("written", "first"),
    [
        ("lrr", "lr"),  # by its spelling
        ("batch", "batch_size"),
        ("learning_rate", "lr"),  # by its description, of which it is the initials
        ("early_stopping", "epochs"),  # by its description
        ("wd", "weight_decay"),  # by its initials
        ("optim", "optimizer"),  # by its beginning
        ("num_epochs", "epochs"),
    ],
)
def test_an_unknown_key_leads_to_the_one_that_is_meant(written, first):
    assert nearest.likely(written, TRAIN)[0] == first


@pytest.mark.parametrize("written", ["momentum", "x", "", "_"])
def test_nothing_is_offered_where_nothing_is_near(written):
    assert nearest.likely(written, TRAIN) == []


def test_few_are_offered_and_those_of_other_sections_by_their_full_name():
    found = nearest.likely("mixup", nearest.every_param())
    assert len(found) == nearest.MOST
    assert all(one.startswith("augment.mixup_") for one in found)
    assert nearest.question(found[:2]) == f" (did you mean {found[0]} or {found[1]}?)"
    assert nearest.question([]) == ""


def test_the_file_of_a_preset_leads_to_its_name():
    with pytest.raises(ValueError, match=r"did you mean smoke\?"):
        overlay("presets/smoke.yaml")


@pytest.fixture
def repository(tmp_path):
    """A repository of git in which `own.yaml` and `own.csv` are committed."""

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)

    git("init", "-q")
    (tmp_path / "own.yaml").write_text("a: 1\n")
    (tmp_path / "own.csv").write_text("x\n1\n")
    git("add", ".")
    git("commit", "-qm", "files")
    return tmp_path


def test_git_is_advised_for_what_it_can_bring_back(repository):
    for name in ("own.yaml", "own.csv"):
        (repository / name).write_text("")
    with pytest.raises(ValueError, match=r"or bring it back with git checkout -- .*own.yaml$"):
        yaml.read(repository / "own.yaml")
    with pytest.raises(ValueError, match=r"git checkout -- .*own.csv, or make it again with dvc"):
        read_csv(repository / "own.csv", "pis", {})


def test_git_is_not_advised_for_what_was_never_committed(repository):
    for name in ("new.yaml", "new.csv"):
        (repository / name).write_text("")
    with pytest.raises(ValueError, match=r"new.yaml is empty; correct it$"):
        yaml.read(repository / "new.yaml")
    with pytest.raises(ValueError, match=r"it is empty; make it again with dvc repro"):
        read_csv(repository / "new.csv", "pis", {})


def test_git_is_not_advised_where_it_has_the_same_content_or_there_is_none(repository, tmp_path):
    assert not way_back.is_there(repository / "own.yaml")
    outside = tmp_path.parent / "outside"
    outside.mkdir()
    (outside / "own.yaml").write_text("")
    assert not way_back.is_there(outside / "own.yaml")
    assert not way_back.is_there(tmp_path / "nowhere" / "own.yaml")
