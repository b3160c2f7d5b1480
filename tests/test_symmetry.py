"""CPUs that are alike are explored once: the ends are those of the whole search, up to the numbers of the CPUs."""

from itertools import permutations
from random import Random

import pytest

import shmkret
from shmkret.cli.main import main
from shmkret.errors import UsageError
from shmkret.explore.scene import RA, SC, TSO
from tests.programs import NR_CPUS, Programs

X, Y = 0, 1
OPERATIONS = [
    *(("load", i) for i in (X, Y)),
    *(("store", i, v) for i in (X, Y) for v in (1, 2)),
    *(("exchange", i, 1) for i in (X, Y)),
    *(("add", i, 1) for i in (X, Y)),
    *(("cmpxchg", i, v, v + 1) for i in (X, Y) for v in (0, 1)),
    ("own", 0, 7),
    ("fence",),
]


def ends_of(searches, program, **how):
    found = searches.find([program] * NR_CPUS, **how)
    assert not found.wrong
    return found.ends


def renamed(ends):
    """These ends, with every change of the numbers of the CPUs."""
    return {(tuple(seen[i] for i in order), words) for seen, words in ends for order in permutations(range(NR_CPUS))}


@pytest.mark.parametrize("model", [SC, TSO, RA])
@pytest.mark.parametrize("reduced", [0, 1])
def test_a_search_of_like_cpus_comes_to_the_ends_of_the_whole_but_for_their_numbers(model, reduced):
    rng = Random(f"{model} {reduced}")
    searches = Programs(model=model, reduced=bool(reduced))
    fewer = 0
    for _ in range(60):
        program = rng.choices(OPERATIONS, k=rng.randint(1, 3 if model == SC else 2))
        whole, once = (ends_of(searches, program, symmetric=n) for n in (0, 1))
        assert renamed(once) == whole, program
        fewer += len(once) < len(whole)
    assert fewer > 10


def test_a_cpu_may_begin_after_a_step_of_the_one_before_that_changed_nothing():
    """It looks for a lock that is held: the state is the same but for that it has begun."""
    searches = Programs()
    program = [("cmpxchg", X, 0, 1), ("cmpxchg", X, 0, 1), ("add", Y, 1)]

    assert renamed(ends_of(searches, program, symmetric=1)) == ends_of(searches, program)


@pytest.mark.parametrize(("scenario", "cpus", "least"), [("one-bucket", 3, 2.5), ("calls", 3, 2.5)])
def test_the_probe_path_on_like_cpus(scenario, cpus, least):
    """A factor of 6 on three CPUs, less the states before all have begun."""
    whole, once = (
        shmkret.explore(scenario, lock="ttas", cpus=cpus, maxactive=cpus, symmetric=symmetric) for symmetric in (False, True)
    )
    assert whole.complete
    assert once.complete
    assert least * once.states < whole.states <= 6 * once.states


def test_it_is_said_that_like_cpus_are_searched_in_one_order(capsys):
    """The counts are others than those of the whole search."""
    assert main(["explore", "calls", "--lock", "ttas", "--symmetric"]) == 0
    assert "every interleaving of like CPUs, which begin in the order of their numbers" in capsys.readouterr().out


def test_a_violation_is_found_among_like_cpus():
    found = shmkret.explore("one-bucket", lock="busted", symmetric=True)

    assert found.violations
    assert found.violations[0].preemptions == shmkret.explore("one-bucket", lock="busted").violations[0].preemptions


SAYS = {
    "prefers.py": "",
    "says.py": "SYMMETRIC = True\n",
}
LOCK = '''"""A lock that is told who calls."""
from typing import NamedTuple
from shmkret.text import EQ, Words, exchange, store_release, wait_until
{says}
class Told(NamedTuple):
    locked: Words
def acquire(lock: Told, i: int, cpu: int) -> None:
    while exchange(lock.locked, i, cpu + 1) != 0:
        wait_until(lock.locked, i, EQ, 0)
def release(lock: Told, i: int) -> None:
    store_release(lock.locked, i, 0)
'''


def test_who_is_told_which_cpu_calls_must_say_that_all_are_alike(tmp_path):
    for name, says in SAYS.items():
        (tmp_path / name).write_text(LOCK.format(says=says))
    with pytest.raises(UsageError, match="the lock prefers does not say SYMMETRIC"):
        shmkret.explore("calls", lock=tmp_path / "prefers.py", symmetric=True)
    found = shmkret.explore("calls", lock=tmp_path / "says.py", symmetric=True)
    assert found.complete


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"scenario": "death"}, "the scenario death does not say SYMMETRIC"),
        ({"scenario": "calls", "scheme": "objpool"}, "the scheme objpool does not say SYMMETRIC"),
        ({"scenario": "calls", "lock": "mcs"}, "the lock mcs does not say SYMMETRIC"),
        ({"scenario": "calls", "engine": "traces"}, "is of a search by states"),
    ],
)
def test_what_may_not_be_taken_for_alike_is_refused(how, words):
    with pytest.raises(UsageError, match=words):
        shmkret.explore(**{"lock": "ttas", **how}, symmetric=True)


def test_a_scenario_in_which_cpus_die_may_not_say_that_they_are_alike(tmp_path):
    (tmp_path / "dies.py").write_text("DEATHS, SYMMETRIC = 1, True\n\n\ndef scene(asked):\n    raise AssertionError\n")
    with pytest.raises(UsageError, match="where CPUs may die they are not alike"):
        shmkret.explore(tmp_path / "dies.py", lock="ttas", symmetric=True)
