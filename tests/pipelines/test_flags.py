"""All flags of all programs, each with values that people give by mistake.

Programs are enumerated by their files and flags by their definitions, so that a new one is tested,
too. `main` is not run here, but in `test_flags_of_programs.py`.
"""

import os
import pathlib
import re

import pytest

from tests.programs import ROOT, in_fork, own_flags, parsed

MODULES = [
    f"{folder}.{path.stem}"
    for folder in ("pipelines", "benchmarks")
    for path in sorted((ROOT / folder).glob("*.py"))
    if "program.run(main)" in path.read_text(encoding="utf-8")
]
NUMBERS = {"zero": "0", "negative": "-1", "2^31": str(2**31)}
SENSELESS = {
    "2^63": str(2**63),
    "nan": "nan",
    "infinite": "inf",
    "negative infinite": "-inf",
    "overflow": "1e999",
    "empty": "",
    "blank": "  ",
}
ACCEPTED = {  # flags of numbers that accept each of NUMBERS
    "zero": r"(\w+_)?(momentum|weight_decay|label_smoothing|clip_norm|warmup_epochs)|seed|jitter|"
    r"tolerance|confidence|crop_padding|prune_blocks|proxy_threshold|teacher_weight|complexity_weight|"
    r"max_accuracy_drop|checkpoint_seconds",
    "negative": "tolerance",
    "2^31": r"max_(madds|params|task_params|latency_ms)",
}
TEXTS = {"unknown": "unknown", "not UTF-8": os.fsdecode(b"caf\xe9"), "two lines": "a\n--seed=7"}
FOLDERS = {"workdir", "workdirs", "exports", "bundle", "data_dir", "folders", "flagfiles"}
FOLDERS |= {"annotations", "test_labels"}
FILES = {"labels", "task_pack", "task_packs", "overview", "tables", "picture"}
ANY_PATH = {"artifact", "universal"}
REQUIRED = {
    "workdir": "missing",
    "workdirs": "missing",
    "bundle": "missing",
    "task_packs": "missing",
    "packs": "pack=digits",
    "tables": "missing",
    "picture": "missing.svg",
}


def _examined(module, folder):
    """Answers to each flag with each value: by flag and name of the value."""
    names = own_flags(module)
    values = {**NUMBERS, **SENSELESS, **TEXTS, "a file": f"{folder}/file", "a folder": f"{folder}"}
    values |= {"at home": "~/some/where", "a pipe": f"{folder}/pipe"}
    cases = {(name, what): value for name in names for what, value in values.items()}
    given = {name: value for name, value in REQUIRED.items() if name in names}
    commands = [
        [f"--{flag}={text}" for flag, text in (given | {name: value}).items()]
        for (name, _), value in cases.items()
    ]
    return dict(zip(cases, parsed(module, commands), strict=True))


@pytest.fixture(scope="module", params=MODULES)
def answers(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    (folder / "file").write_text("text")
    os.mkfifo(folder / "pipe")
    return in_fork(_examined, request.param, str(folder))


def _refused(answers, name, what):
    return answers[name, what][1] != 0


def _names(answers):
    return sorted({name for name, _ in answers})


def test_there_are_programs():
    assert len(MODULES) == 15


def test_a_refusal_is_one_line_that_names_the_flag(answers):
    for (name, what), (said, status, _) in answers.items():
        if status:
            assert status == 2, (name, what)
            assert said.startswith("Error: ") and said.count("\n") == 1, said
            assert f"--{name}" in said, said
        else:
            assert said == "", (name, what)


def test_numbers_are_finite_and_of_a_sensible_size(answers):
    """A flag that refuses any word is one of numbers, of names, or neither of both."""
    for name in _names(answers):
        if _refused(answers, name, "unknown"):
            accepted = [what for what in SENSELESS if not _refused(answers, name, what)]
            assert not accepted, f"--{name} accepts {accepted}"


def test_only_some_numbers_may_be_zero_negative_or_large(answers):
    for name in _names(answers):
        if _refused(answers, name, "unknown") and not _is_switch(answers, name):
            accepted = {what for what in NUMBERS if not _refused(answers, name, what)}
            expected = {what for what, names in ACCEPTED.items() if re.fullmatch(names, name)}
            assert accepted == expected, name


def _is_switch(answers, name):
    return answers[name, "zero"][2].get(name) is False


def test_texts_and_paths_are_not_empty(answers):
    for name in _names(answers):
        assert _refused(answers, name, "empty"), name
        assert _refused(answers, name, "blank"), name


def test_a_value_of_two_lines_is_refused(answers):
    """A flag file would have the second line as another flag."""
    assert all(_refused(answers, name, "two lines") for name in _names(answers))


@pytest.mark.parametrize(
    ("names", "what"), [(FOLDERS, "a file"), (FILES, "a folder"), (FOLDERS | FILES, "a pipe")]
)
def test_paths_of_another_kind_are_refused(answers, names, what):
    for name in names & set(_names(answers)):
        assert _refused(answers, name, what), name


def test_home_is_found_in_every_path(answers):
    home = str(pathlib.Path.home() / "some/where")
    for name in (FOLDERS | FILES | ANY_PATH) & set(_names(answers)):
        said, status, values = answers[name, "at home"]
        assert not status, said
        assert values[name] in (home, [home])


def test_names_of_files_may_be_any_bytes(answers):
    for name in (FOLDERS | FILES | ANY_PATH) & set(_names(answers)):
        values = answers[name, "not UTF-8"][2]
        assert os.fsencode("".join(values[name])) == b"caf\xe9"


def test_every_flag_of_a_path_is_in_the_lists(answers):
    """A path that does not exist is accepted, and a pipe is not: no other flag is like that."""
    like_paths = {
        name
        for name in _names(answers)
        if _refused(answers, name, "a pipe") and not _refused(answers, name, "unknown")
    }
    assert like_paths <= FOLDERS | FILES | ANY_PATH
