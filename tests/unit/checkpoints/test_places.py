"""Test the search for published weights: the authors' layouts, replicates of existing files, and errors."""

import copy
import hashlib
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from workflow_scripts.timecat.artifacts.sidecars import write_sidecar
from workflow_scripts.timecat.config.reading import read_config
from workflow_scripts.timecat.errors import UserError
from workflow_scripts.timecat.study import publications
from workflow_scripts.timecat.study.study import Study

STUDY = """
source: cues
targets: [cues]
backbone: small
data_sets:
  cues: {kind: cues, rows: {train: 100, evaluation: 50}}
backbones:
  small: {architecture: small_residual}
pretrain: {seeds: [2, 550, 23, 477, 8529]}
checkpoints: {}
arms:
  - {name: cat1, members: 1, steps: 450000}
  - {name: cat2, members: 2, steps: 200000}
  - {name: cat4, members: 4, steps: 100000}
  - {name: cat5, members: 5, steps: 80000}
"""
RELEASED = {"full": range(5), "200": range(2), "100": range(4), "80": range(5)}
REPLICATES = {
    "cat1": [[2], [550], [23], [477], [8529]],
    "cat2": [[2, 550]],
    "cat4": [[2, 550, 23, 477]],
    "cat5": [[2, 550, 23, 477, 8529]],
}
README_LAYOUT = {
    "path": "checkpoints/supervised_pretrain/resnet50_sfadamw/checkpoints_step{step_name}/checkpoint_run{run}.pth.tar",
    "step_names": {450000: "full", 200000: 200, 100000: 100, 80000: "80"},
}
CODE_LAYOUT = {
    "path": "resnet50_sfadamw_imagenet1k_supervised/checkpoints_{step_name}/checkpoint_run{run}.pth",
    "step_names": {450000: "full", 200000: "200k", 100000: "100k", 80000: "80k"},
}
URL = "https://example.org/weights/seed{seed}-{step}.pth"


def study(checkpoints: dict, **changes) -> Study:
    """Return the Study of STUDY with this block ``checkpoints`` and these changes of the config."""
    values = copy.deepcopy(yaml.safe_load(STUDY))
    values["checkpoints"] = checkpoints
    values.update(changes)
    return Study(read_config(values, []))


def replicates(made: Study) -> dict:
    """Return the replicates of each arm of a study."""
    return {name: made.arms.replicates(made.arms[name]) for name in made.config.all_arms}


def wildcards(seed, step, **others):
    """Return the wildcards of a checkpoint's rule."""
    return SimpleNamespace(seed=str(seed), step=str(step), backbone="small", source="cues", **others)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_release(folder, pattern: str, names: dict):
    for name, runs in RELEASED.items():
        for run in runs:
            path = folder / pattern.format(names.get(name, name), run)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"{name} {run}".encode())


def write_readme_layout(folder):
    write_release(
        folder, "checkpoints/supervised_pretrain/resnet50_sfadamw/checkpoints_step{}/checkpoint_run{}.pth.tar", {}
    )


def write_code_layout(folder):
    names = {"200": "200k", "100": "100k", "80": "80k"}
    write_release(folder, "resnet50_sfadamw_imagenet1k_supervised/checkpoints_{}/checkpoint_run{}.pth", names)


@pytest.mark.parametrize(
    ("write", "layout"),
    [(write_readme_layout, README_LAYOUT), (write_code_layout, CODE_LAYOUT)],
    ids=["readme", "code"],
)
def test_both_layouts_of_the_authors_are_found(folder, write, layout):
    """cat2 has one replicate, because only two runs of 200k steps were released."""
    write(folder)
    made = study(layout)
    assert replicates(made) == REPLICATES
    files = [made.inputs.published_file(wildcards(seed, 450000)) for seed in (2, 8529)]
    assert [open(file).read() for file in files] == ["full 0", "full 4"]
    assert open(made.inputs.published_file(wildcards(477, 100000))).read() == "100 3"


def test_runs_of_an_archive_give_the_replicates():
    runs = {200000: [0, 1], 100000: [0, 1, 2, 3]}
    made = study({**CODE_LAYOUT, "archive": "https://example.org/release.tar.gz", "runs": runs})
    assert replicates(made) == REPLICATES
    file = made.inputs.published_file(wildcards(2, 80000))
    assert file.startswith("results/downloads/") and file.endswith("-release.tar.gz")
    assert {made.inputs.published_file(wildcards(seed, step)) for seed in (550, 23) for step in (450000, 80000)} == {
        file
    }
    publication = json.loads(made.params.publication(wildcards(23, 80000)))
    assert publication["member"] == "resnet50_sfadamw_imagenet1k_supervised/checkpoints_80k/checkpoint_run2.pth"
    assert publication["local_sha256"] is None


def test_an_archive_or_url_is_assumed_to_have_all_seeds(folder):
    (folder / "release.tar").write_bytes(b"")
    for checkpoints in ({**CODE_LAYOUT, "archive": "release.tar"}, {"path": URL}):
        made = study(checkpoints)
        assert len(made.arms.replicates(made.arms["cat2"])) == 2


def test_existing_files_need_not_be_of_the_first_seeds(folder):
    (folder / "w").mkdir()
    for seed in (550, 477, 8529):
        (folder / f"w/{seed}").write_bytes(b"")
    made = study({"path": "w/{seed}"}, arms=[{"name": "cat1", "members": 1, "steps": 8}])
    assert replicates(made) == {"cat1": [[550], [477], [8529]]}


def test_a_replicate_needs_a_listed_run_and_an_existing_file(folder):
    write_code_layout(folder)
    made = study({**CODE_LAYOUT, "runs": {450000: [4, 0]}})
    assert made.arms.replicates(made.arms["cat1"]) == [[2], [8529]]


def test_replicates_in_the_config_override_existing_files(folder):
    write_code_layout(folder)
    arms = yaml.safe_load(STUDY)["arms"]
    arms[0]["replicates"] = [[8529], [2]]
    made = study(CODE_LAYOUT, arms=arms)
    assert made.arms.replicates(made.arms["cat1"]) == [[8529], [2]]


def test_an_arm_without_pretraining_needs_no_checkpoint_file(folder):
    write_code_layout(folder)
    arms = [*yaml.safe_load(STUDY)["arms"], {"name": "direct", "members": 1, "transfer": "direct"}]
    made = study(CODE_LAYOUT, arms=arms)
    assert len(made.arms.replicates(made.arms["direct"])) == 5


@pytest.mark.parametrize("place", ["file:{}/a%20b/{{seed}}-{{step}}", "file://{}/a%20b/{{seed}}-{{step}}"])
def test_file_urls_are_treated_as_local_paths(folder, place):
    (folder / "a b").mkdir()
    for seed in (2, 23):
        (folder / f"a b/{seed}-8").write_bytes(b"")
    made = study({"path": place.format(folder)}, arms=[{"name": "cat1", "members": 1, "steps": 8}])
    assert replicates(made) == {"cat1": [[2], [23]]}
    assert made.inputs.published_file(wildcards(23, 8)) == f"{folder}/a b/23-8"


def test_a_tilde_means_the_home_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    (folder / "2-8").write_bytes(b"")
    made = study({"path": "~/{seed}-{step}"}, arms=[{"name": "cat1", "members": 1, "steps": 8}])
    assert replicates(made) == {"cat1": [[2]]}


def test_each_url_has_one_download_even_if_file_names_are_equal(folder):
    made = study({"path": "https://example.org/{step}/seed{seed}/weights.pth?download=1"})
    assert len(made.publications.downloads) == 20
    name = made.inputs.published_file(wildcards(550, 80000)).removeprefix("results/downloads/")
    assert name.endswith("-weights.pth")
    assert made.params.download_url(SimpleNamespace(download=name)) == (
        "https://example.org/80000/seed550/weights.pth?download=1"
    )
    assert made.inputs.published_sidecar(wildcards(550, 80000)) == [f"results/downloads/{name}.json"]
    assert name in made.patterns["download"].replace("\\", "")


# --- errors for missing files ---


def refusal(checkpoints: dict, **changes) -> str:
    with pytest.raises(UserError) as error:
        study(checkpoints, **changes)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_arm_with_too_few_files_is_refused(folder):
    write_code_layout(folder)
    (folder / "resnet50_sfadamw_imagenet1k_supervised/checkpoints_80k/checkpoint_run2.pth").unlink()
    assert refusal(CODE_LAYOUT) == (
        "`arms`: 'cat5' needs 5 checkpoints at step 80000, but of the 5 seeds' checkpoints, 4 exist: no file "
        "resnet50_sfadamw_imagenet1k_supervised/checkpoints_80k/checkpoint_run2.pth (seed 23); put the files there or correct "
        "`checkpoints.path`, or lower the arm's members"
    )


def test_an_arm_without_any_file_is_refused(folder):
    message = refusal(CODE_LAYOUT)
    assert "'cat1' needs 1 checkpoints at step 450000, but of the 5 seeds' checkpoints, none exist" in message
    assert "checkpoint_run2.pth (seed 23) and 2 more" in message


def test_an_arm_with_too_few_listed_runs_is_refused():
    message = refusal({"path": URL, "runs": {200000: [1]}})
    assert "'cat2' needs 2 checkpoints at step 200000, but of the 5 seeds' checkpoints, 1 exists" in message
    assert "`checkpoints.runs` lists [1] for this step" in message


def test_a_listed_replicate_without_a_file_is_refused(folder):
    write_code_layout(folder)
    arms = yaml.safe_load(STUDY)["arms"]
    arms[1]["replicates"] = [[2, 550], [2, 23]]
    message = refusal(CODE_LAYOUT, arms=arms)
    assert "the replicates of 'cat2' contain seed 23, whose checkpoint at step 200000 does not exist" in message
    assert "checkpoints_200k/checkpoint_run2.pth" in message


MISTAKES = {
    "unknown placeholder": ({"path": "w/{sed}"}, ["`checkpoints.path`", "{sed} is none of {seed}, {run}"]),
    "open brace": ({"path": "w/{seed"}, ["`checkpoints.path`", "cannot be filled in"]),
    "bad format": ({"path": "w/{run:zz}"}, ["`checkpoints.path`", "cannot be filled in"]),
    "no seed": (
        {"path": "w/{step}"},
        ["`checkpoints.path`", "seed 2 at step 80000 and seed 550", "add {seed} or {run}"],
    ),
    "no step": ({"path": "w/{seed}"}, ["`checkpoints.path`", "'w/2'", "{step} or {step_name}"]),
    "no such scheme": ({"path": "s3://bucket/{seed}/{step}"}, ["`checkpoints.path`", "s3:// is not supported"]),
    "a URL in an archive": (
        {"path": URL, "archive": "w.tar"},
        ["`checkpoints.path`", "with `archive` it must be a path inside the archive"],
    ),
    "no such run": ({"path": URL, "runs": {80000: [0, 5]}}, ["`checkpoints.runs.80000`", "no run 5", "(runs 0 to 4)"]),
    "a run twice": ({"path": URL, "runs": {80000: [0, 0]}}, ["`checkpoints.runs.80000`", "0 is listed twice"]),
    "a short SHA-256": ({"path": URL, "sha256": {"x": "abc"}}, ["`checkpoints.sha256.x` is 'abc'"]),
    "SHA-256 of what is not read": (
        {"path": URL, "sha256": {"https://example.org/weights/seed2-8000.pth": "0" * 64}},
        [
            "`checkpoints.sha256`",
            "reads no file 'https://example.org/weights/seed2-8000.pth'",
            "such as 'https://",
            "80000.pth'",
        ],
    ),
    "names and steps the wrong way round": (
        {"path": URL, "step_names": {"full": 450000}},
        ["`checkpoints.step_names` has the key 'full'; its keys are steps"],
    ),
    "step zero": ({"path": URL, "runs": {0: [1]}}, ["`checkpoints.runs` has the key 0; its keys are steps"]),
    "a list for a name": ({"path": URL, "step_names": {80000: [80]}}, ["`checkpoints.step_names.80000`"]),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_the_block_checkpoints_is_refused(case):
    checkpoints, expected = MISTAKES[case]
    message = refusal(checkpoints)
    assert all(text in message for text in expected), message


# --- local files are identified by their content ---


def test_a_local_file_is_identified_by_its_content(folder):
    """A new modification time does not change the params; new content with the same size and time does."""
    write_code_layout(folder)
    made, place = study(CODE_LAYOUT), wildcards(2, 80000)
    path = made.inputs.published_file(place)
    before = made.params.publication(place)
    assert json.loads(before)["local_sha256"] == hashlib.sha256(b"80 0").hexdigest()
    os.utime(path, (1, 1))
    assert study(CODE_LAYOUT).params.publication(place) == before
    with open(path, "wb") as file:
        file.write(b"80 9")  # the same size as before
    os.utime(path, (1, 1))  # the same time too, as after cp -p or rsync
    assert (
        json.loads(study(CODE_LAYOUT).params.publication(place))["local_sha256"] == hashlib.sha256(b"80 9").hexdigest()
    )


def test_an_unchanged_file_is_hashed_only_once(folder, monkeypatch):
    write_code_layout(folder)
    study(CODE_LAYOUT).params.publication(wildcards(2, 80000))
    monkeypatch.setattr(publications, "file_sha256", lambda path: pytest.fail(f"{path} was read again"))
    study(CODE_LAYOUT).params.publication(wildcards(2, 80000))


def test_a_damaged_cache_of_digests_is_rebuilt(folder):
    write_code_layout(folder)
    made, place = study(CODE_LAYOUT), wildcards(2, 80000)
    before = made.params.publication(place)
    Path(made.paths.published_digests).write_text("{")
    assert study(CODE_LAYOUT).params.publication(place) == before


def test_the_params_of_an_import_contain_no_checks(folder):
    """Checks are resources, not params, so adding a SHA-256 to the config later does not re-run the import."""
    write_code_layout(folder)
    path = "resnet50_sfadamw_imagenet1k_supervised/checkpoints_80k/checkpoint_run0.pth"
    sha256 = hashlib.sha256(b"80 0").hexdigest()
    made = study({**CODE_LAYOUT, "sha256": {path: sha256}, "ignored": ["head.*"], "step_tolerance": 5})
    place = wildcards(2, 80000)
    told = {"member": None, "local_sha256": sha256, "ignored": ["head.*"]}
    assert json.loads(made.params.publication(place)) == told
    assert (made.resources.published_sha256(place), made.resources.member_sha256(place)) == (sha256, "")
    assert made.resources.published_sha256(wildcards(550, 80000)) == ""


def test_an_archive_and_its_members_may_have_a_sha256(folder):
    (folder / "release.tar").write_bytes(b"x")
    path = "resnet50_sfadamw_imagenet1k_supervised/checkpoints_80k/checkpoint_run0.pth"
    archive = hashlib.sha256(b"x").hexdigest()
    made = study({**CODE_LAYOUT, "archive": "release.tar", "sha256": {"release.tar": archive, path: "1" * 64}})
    assert json.loads(made.params.publication(wildcards(2, 80000)))["local_sha256"] == archive
    assert (
        made.resources.published_sha256(wildcards(2, 80000)),
        made.resources.member_sha256(wildcards(2, 80000)),
    ) == (archive, "1" * 64)


def test_a_wrong_sha256_is_refused_before_any_job(folder):
    write_code_layout(folder)
    path = "resnet50_sfadamw_imagenet1k_supervised/checkpoints_80k/checkpoint_run0.pth"
    message = refusal({**CODE_LAYOUT, "sha256": {path: "1" * 64}})
    assert message == (
        f"`checkpoints.sha256`: {path} has the SHA-256 {hashlib.sha256(b'80 0').hexdigest()}, but for {path!r} the "
        f"config expects {'1' * 64}; correct the config, or replace the file"
    )
    url = "https://example.org/weights/seed2-80000.pth"
    assert study({"path": URL, "sha256": {url: "1" * 64}})
    write_sidecar(folder / "results/downloads" / publications.download_name(url), "2" * 64, {}, {})
    assert "has the SHA-256 " + "2" * 64 in refusal({"path": URL, "sha256": {url: "1" * 64}})


def test_a_missing_archive_is_refused(folder):
    assert "`checkpoints.archive`: there is no file w.tar" in refusal({**CODE_LAYOUT, "archive": "w.tar"})
