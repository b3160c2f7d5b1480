"""Knobs are said once: options, keys of suites, keywords of run() and checks are all of one table."""

import ast
import dataclasses
import inspect
import re
import typing
from pathlib import Path

import pytest

import shmkret
from shmkret.cli import main as cli
from shmkret.cli.options import COMMANDS, TURNED, in_commands, in_options
from shmkret.errors import UsageError
from shmkret.machines.sizes import Sizes
from shmkret.measure import doctor, suite, validity
from shmkret.measure.cell import Cell
from shmkret.measure.knobs import AXES, DEFAULTS, KNOBS, OPTIONS, PARAMS, RUN, Params

PACKAGE = Path(shmkret.__file__).parent


def test_the_keywords_of_the_library_are_the_table():
    keywords = typing.get_type_hints(shmkret.Knobs)

    assert list(keywords) == list(PARAMS)
    assert keywords == {name: knob.type | None for name, knob in PARAMS.items()}


def test_what_the_library_takes_by_name_is_a_knob_with_its_default():
    taken = inspect.signature(shmkret.run).parameters.values()
    defaults = {one.name: one.default for one in taken if one.kind != inspect.Parameter.VAR_KEYWORD}

    assert defaults.keys() == AXES.keys() | {"seconds", "repeat", "seed"}
    # A script wants one cell, soon, and the same one again.
    own = {"cpus": 1, "repeat": 6, "seed": 0}
    assert defaults == {name: KNOBS[name].default for name in defaults} | own


def test_a_cell_is_of_the_axes_and_the_params():
    assert [one.name for one in dataclasses.fields(Cell)] == [*AXES, "peer", "params"]
    assert list(PARAMS)[: len(dataclasses.fields(Sizes))] == [one.name for one in dataclasses.fields(Sizes)]
    assert dataclasses.asdict(Params()) == {name: knob.default for name, knob in PARAMS.items()}


def test_every_knob_but_the_title_is_an_option_of_bench_that_says_nothing_when_it_is_not_given():
    options = vars(cli.parser().parse_args(["bench"]))

    assert {name: options[name] for name in OPTIONS} == dict.fromkeys(OPTIONS)
    assert set(KNOBS) - set(OPTIONS) == {"title"}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_read_as_its_knob_says(name):
    knob = KNOBS[name]
    option = f"--{name.replace('_', '-')}"
    given = [option] if knob.type is bool else [option, "7"]
    read = vars(cli.parser().parse_args(["bench", *given]))[name]

    assert suite.checked("", name, read) == ([knob.type("7")] if knob.several else knob.type("7"))


@pytest.mark.parametrize("name", KNOBS)
def test_a_key_of_a_suite_is_checked_as_its_knob_says(name, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(f"{name} = {{}}\n")
    with pytest.raises(UsageError, match=f"{name} = {{}} is not of type {KNOBS[name].type.__name__}"):
        suite.load(str(path))
    path.write_text(f"{name} = [[]]\n")
    with pytest.raises(UsageError, match="is not of type"):
        suite.load(str(path))


@pytest.mark.parametrize("name", [name for name, knob in KNOBS.items() if knob.least is not None])
def test_a_value_out_of_bounds_is_refused_in_the_words_of_who_asked(name, capsys):
    knob = KNOBS[name]
    option = f"--{name.replace('_', '-')}"
    for value in (knob.least - 1, *(() if knob.most is None else (knob.most + 1,))):
        typed = knob.type(value)
        with pytest.raises(UsageError) as refused:
            suite.plan("scaling", {name: typed})
        assert str(refused.value) == f"`{name}` is {typed}: give {knob.bounds}"
        assert cli.main(["bench", option, str(value)]) == 2
        assert capsys.readouterr().err == f"shmkret: {option} is {typed}: give {knob.bounds}\n"


def test_the_defaults_of_a_suite_are_within_their_own_bounds():
    for name, knob in KNOBS.items():
        assert knob.allows(knob.default), name
        assert DEFAULTS[name] == ([knob.default] if name not in RUN else knob.default)


# Whose words are whose.


def raised(path):
    """The sentences in the raise statements of a module, with {} for what they fill in."""
    for statement in ast.walk(ast.parse(path.read_text())):
        if isinstance(statement, ast.Raise):
            for node in ast.walk(statement):
                if isinstance(node, ast.JoinedStr):
                    yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def below():
    return [path for path in PACKAGE.rglob("*.py") if path.parent.name != "cli"]


def said(path):
    """Every string of a module that is no docstring."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_no_error_below_the_command_line_speaks_of_options():
    wrong = [f"{path.name}: {words}" for path in below() for words in raised(path) if re.search(r"(?<![\w-])--[a-z{]", words)]

    assert wrong == []


def test_nothing_below_the_command_line_says_an_option_or_a_command():
    options = "|".join(name.replace("_", "-") for name in TURNED)
    commands = "|".join(command.__name__.rpartition(".")[2] for command in cli.COMMANDS)
    typed = re.compile(rf"(?<![\w-])--({options})\b|\bshmkret ({commands})\b")

    assert [f"{path.name}: {words}" for path in below() for words in said(path) if typed.search(words)] == []


def test_every_quantity_that_an_error_names_has_an_option():
    named = {name for path in below() for words in raised(path) for name in re.findall(r"`(?:nr_)?([a-z_]+)`", words)}

    assert named <= TURNED
    assert {"probes", "maxactive", "lock", "out"} <= named


@pytest.mark.parametrize("module", [validity, doctor], ids=lambda module: module.__name__)
def test_every_quantity_that_a_doubt_names_has_an_option(module):
    named = {name for words in said(Path(module.__file__)) for name in re.findall(r"`([a-z_]+)`", words)}

    assert "cpus" in named
    assert named <= TURNED


def test_every_part_of_the_library_that_a_sentence_names_has_its_command():
    named = {name for path in below() for words in said(path) for name in re.findall(r"`(shmkret\.[\w.]+(?:\(\))?)`", words)}

    assert named == COMMANDS.keys()
    for command in COMMANDS.values():
        assert cli.parser().parse_args(command.split()[1:]).run


def test_what_quotes_the_user_keeps_his_quantities():
    words = "`lock` is 3; see `shmkret.arena.named.listing()`"

    assert in_commands(words) == "`lock` is 3; see `shmkret list arenas`"
    assert in_options(words) == "--lock is 3; see `shmkret list arenas`"


def test_only_quantities_become_options():
    words = "lower `nr_probes` or `data_size`, see `shmkret list arenas`, `nonsense`"

    assert in_options(words) == "lower --probes or --data-size, see `shmkret list arenas`, `nonsense`"
