"""Two orders of two locks, as the command tells of them."""

import math
import re
from dataclasses import replace

import pytest

from shmkret import locks
from shmkret.cli.main import main
from shmkret.explore.engines import states
from shmkret.explore.rehearsal import trial_scenes
from shmkret.explore.stacks.executor import Stacks
from shmkret.machines.compiled.orders import MOST_LOCKS
from shmkret.text import inline

from .test_locks import lock_of

APART = """
from dataclasses import replace

from shmkret import locks
from shmkret.explore.mutants.litmus import X, program
from shmkret.text import EQ, inline, store_release, wait_until


def scene(asked):
    @inline
    def body(k, cpu):
        if cpu == 0:
            locks.acquire(k.other_locks, 0, cpu)
            locks.acquire(k.system_locks, 0, cpu)
            locks.release(k.system_locks, 0, cpu)
            locks.release(k.other_locks, 0, cpu)
            store_release(k.script.word, X, 1)
        else:
            wait_until(k.script.word, X, EQ, 1)
            locks.acquire(k.system_locks, 0, cpu)
            locks.acquire(k.other_locks, 0, cpu)
            locks.release(k.other_locks, 0, cpu)
            locks.release(k.system_locks, 0, cpu)

    return program(asked, "apart", body, 2)
"""


@pytest.mark.full
def test_two_orders_that_never_meet_are_shown_with_both_places_and_again(tmp_path, capsys):
    path = tmp_path / "apart.py"
    path.write_text(APART)
    words = ["explore", str(path), "--lock", "ttas", "--require-complete"]
    assert main([*words, "--monitors", "usual"]) == 0
    capsys.readouterr()
    assert main([*words, "--monitors", "order"]) == 1
    said = capsys.readouterr().out

    sentence = (
        r"cpu 1: it has taken locks\[0\]\.locked while it holds system_locks\[0\]\.locked, and locks\[0\]\.locked is taken "
        r"before system_locks\[0\]\.locked elsewhere: a deadlock may be"
    )
    assert re.search(sentence, said)
    assert re.search(r"step \d+: cpu 0 takes system_locks\[0\], and holds locks\[0\]  \S*ttas\.py:\d+", said)
    assert re.search(r"step \d+: cpu 1 takes locks\[0\], and holds system_locks\[0\]  \S*ttas\.py:\d+", said)
    assert re.search(r"cpu 1 holds system_locks\[0\]\n", said)
    (again,) = re.findall(r"shmkret replay (\S+) --monitors order", said)
    assert main(["replay", again, "--monitors", "order"]) == 1
    assert re.search(sentence, capsys.readouterr().out)


@inline
def takes_all(k, cpu):
    for i in range(k.nr_locks):
        locks.acquire(k.other_locks, i, cpu)
        locks.release(k.other_locks, i, cpu)


@pytest.mark.full
def test_more_locks_than_are_followed_bound_a_search():
    for nr, bound in ((MOST_LOCKS, ""), (MOST_LOCKS + 1, f"the order of no more than {MOST_LOCKS} locks is followed")):
        scene = trial_scenes.scene_of(lock_of("ttas"), "acquire", 1, 1, nr)
        with Stacks(
            replace(scene, name="takes-all", body=takes_all, check=lambda *_: []), 1 << 14, monitors=["order"]
        ) as stacks:
            outcome = states.search(stacks, 1 << 40, math.inf)
        assert (outcome.violations, outcome.gave_up, outcome.complete) == ([], bound, not bound)
