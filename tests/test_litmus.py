"""The explorer against litmus programs: each ends as its table says, with the short cuts and without them."""

import importlib
import pkgutil
import re
from functools import partial

import pytest

from shmkret.explore.greenlets.cpu import Memory
from shmkret.explore.greenlets.run import in_a_sentence, one_run
from shmkret.explore.greenlets.steps import DIES
from shmkret.explore.monitors import MONITOR
from shmkret.explore.schedule import explore
from shmkret.plugins.registry import find, names
from tests import litmus
from tests.litmus import DEADLOCK, PRIVATE, RACE, Litmus

from .worlds import of_the_last_attempt

MODELS = {"sc": explore}
"""Those that there is an engine for."""


def programs():
    """Every Litmus of the folder by its module and name; a table of them by its keys, too."""
    for module in pkgutil.iter_modules(litmus.__path__):
        for name, value in vars(importlib.import_module(f"tests.litmus.{module.name}")).items():
            table = value if isinstance(value, dict) else {"": value}
            for key, one in table.items():
                if isinstance(one, Litmus):
                    yield f"{module.name}-{name}{key and '-'}{key}", one


PROGRAMS = dict(programs())


def outcome_of(what: str):
    """The outcome that a violation is."""
    return next((kind for kind in (DEADLOCK, RACE, PRIVATE) if kind in what), what)


@pytest.mark.parametrize(("model", "name"), [(m, name) for name, one in PROGRAMS.items() for m in MODELS if getattr(one, m)])
def test_a_program_ends_as_it_must_and_may_and_never_otherwise(model, name):
    program = PROGRAMS[name]
    must, may, never = getattr(program, model)
    seen = set()
    with of_the_last_attempt(seen):
        outcome = MODELS[model](partial(program.scenario, seen))
    if outcome.violations:
        seen = {outcome_of(violation.what) for violation in outcome.violations}

    assert outcome.complete or outcome.violations
    assert must - seen == set()
    assert seen - must - may == set()
    assert never & (must | may) == set()


def without_short_cuts(program: Litmus):
    """Every schedule, one run each."""
    watches = [find(MONITOR, name).module.watch for name in names(MONITOR)]
    seen, roads, memory = set(), [[]], Memory()
    while roads:
        with one_run(partial(program.scenario, seen), watches, memory) as run:
            try:
                run.begin(road := roads.pop())
                wrong = run.wrong()
            except Exception as error:
                wrong = in_a_sentence(error)
            if wrong:
                return {outcome_of(wrong)}
            if not run.possible:
                run.check()
            else:
                further = [*run.possible, *(DIES - i for i in run.mortal)]
                roads.extend([*road, choice] for choice in further)
    return seen


FEW_STEPS = [
    name for name, one in PROGRAMS.items() if one.sc and name.split("-")[0] in ("one_word", "many_words", "waits", "deaths")
]


@pytest.mark.parametrize("name", FEW_STEPS)
def test_no_end_of_a_program_is_left_out_by_a_short_cut(name):
    program = PROGRAMS[name]
    must, may, _ = program.sc
    seen = without_short_cuts(program)

    assert must <= seen <= must | may


def test_every_model_has_a_program_that_tells_it_from_another():
    """Those of x86 are tried in test_tso.py, those of release-acquire memory in test_ra.py."""
    for one, other in (("sc", "tso"), ("tso", "ra")):
        assert any(getattr(p, one) and getattr(p, other) and getattr(p, one) != getattr(p, other) for p in PROGRAMS.values())


def test_every_program_that_the_folder_names_for_a_rule_is_there():
    named = re.findall(r"\b([a-z_]+-[A-Z][A-Z_]+)\b", litmus.__doc__)

    assert len(named) > 12
    assert [name for name in named if not any(program.startswith(name) for program in PROGRAMS)] == []
