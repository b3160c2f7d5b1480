"""A recording, done again: what its tasks' words are, and that each call, wait, fork and end of it happens."""

import numpy as np
import pytest

from shmkret.kernel import sched
from shmkret.machines import native, plain
from shmkret.machines.plain import PlainMachine
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.measure.replay import program as words
from shmkret.measure.replay import text
from shmkret.measure.replay.program import END, ENTER, EXIT, FORK, RETURN, SLEEP, WAIT, WAKE, WORK, program_of
from shmkret.measure.replay.run import build_for, run
from shmkret.text import atomics
from shmkret.text.atomics import NIL
from shmkret.trace import recording as events
from shmkret.trace.recording import NOBODY
from tests.conftest import needs_two_cores
from tests.test_trace import EVENTS, of
from tests.worlds import build_of

CALL = words.CALL
COMPILED_S = 30


def ops(program):
    """Of each task: its ops, with the work before each and what they are of."""
    ends = [*program.first[1:].tolist(), len(program.words)]
    return [
        [(int(w) & 15, int(w) >> words.BEFORE_AT & words.MOST_BEFORE, int(w) >> words.X_AT) for w in program.words[first:end]]
        for first, end in zip(program.first.tolist(), ends, strict=True)
    ]


def test_a_recording_is_what_each_of_its_tasks_does():
    """Being preempted is nothing; a wait for a disk takes its time; one for a child takes until it ends."""
    program = program_of(of(EVENTS))

    assert ops(program) == [
        [(ENTER, 0, 56), (FORK, 10, 1), (RETURN, 5, 56), (ENTER, 25, 61), (WAIT, 10, 0), (RETURN, 5, 61), (END, 0, 0)],
        [
            (WORK, 0, 0),
            (ENTER, 30, 0),
            (SLEEP, 5, 100),
            (RETURN, 5, 0),
            (ENTER, 15, 231),
            (EXIT, 5, 0),
            (WAKE, 5, 0),
            (END, 0, 0),
        ],
    ]
    assert (program.user_us, program.inside_us) == (75, 45)
    assert (program.calls, program.edges, program.times) == (4, 1, 1)


def test_a_call_in_which_nothing_happens_is_one_word_and_long_work_is_several():
    long = words.MOST_BEFORE + 7
    program = program_of(
        of(
            [
                (events.ENTER, 0, 0, 1, long),
                (events.RETURN, 0, 0, 1, 9),
                (events.ENTER, 0, 0, 0, long),
                (events.RETURN, 0, 0, 0, 3),
            ]
        )
    )
    assert ops(program) == [
        [(CALL, 0, 1 | 9 << words.INSIDE_AT), (WORK, words.MOST_BEFORE, 0), (CALL, 7, 3 << words.INSIDE_AT), (END, 0, 0)]
    ]


def test_being_switched_out_is_no_work():
    program = program_of(
        of(
            [
                (events.ENTER, 0, 0, 1, 0),
                (events.YIELD, 0, 0, NOBODY, 10),
                (events.YIELD, 1, NOBODY, 0, 5000),
                (events.RETURN, 1, 0, 1, 20),
            ]
        )
    )
    assert ops(program) == [[(CALL, 0, 1 | 30 << words.INSIDE_AT), (END, 0, 0)]]


def forks(nr, us):
    """A task makes some, waits for each in turn, and works after each wait; each of them works, makes a call, and ends."""
    found = []
    for child in range(1, nr + 1):
        found += [
            (events.ENTER, 0, 0, 56, 1),
            (events.FORK, 0, 0, child, 1),
            (events.RETURN, 0, 0, 56, 1),
            (events.ENTER, 0, 0, 61, 1),
            (events.BLOCK, 0, 0, NOBODY, 1),
            (events.YIELD, 0, NOBODY, child, 1),
            (events.RETURN, 0, child, 56, 1),
            (events.ENTER, 0, child, 0, us),
            (events.RETURN, 0, child, 0, 1),
            (events.ENTER, 0, child, 231, 1),
            (events.EXIT, 0, child, NOBODY, 1),
            (events.WAKE, 0, child, 0, 1),
            (events.BLOCK, 0, child, 0, 1),
            (events.RETURN, 0, 0, 61, 1),
        ]
    found += [(events.ENTER, 0, 0, 0, us), (events.RETURN, 0, 0, 0, 1)]
    return of(found)


@needs_two_cores
@pytest.mark.parametrize(
    "scheme", ["hashed", *(pytest.param(name, marks=pytest.mark.full) for name in ("global", "objpool", "rfc"))]
)
def test_all_that_was_recorded_is_done_again_and_who_waits_waits_for_the_event(scheme):
    """Each child is made when the one before it has ended, though there are two CPUs: their parent waits for each."""
    program = program_of(forks(4, 20_000))
    ran = run(build_for(scheme, "ttas", 2), program, 1000, COMPILED_S)

    assert ran.wrong == ()
    assert (ran.counts["calls"], ran.returns, ran.counts["flushed"]) == (17, 13, 4)
    assert (ran.counts["hits"], ran.counts["nmissed"], ran.counts["kp_nmissed"]) == (17, 0, 0)
    assert ran.user_s == pytest.approx(program.user_us / 1e6)
    made, ended = ran.lives[1:].T
    assert (ended > made).all()
    assert (made[1:] > ended[:-1]).all()


def test_the_times_of_a_recording_may_be_divided():
    program = program_of(forks(1, 100_000))
    ran = run(build_for("hashed", "ttas", 1), program, 10, COMPILED_S)

    assert (ran.wrong, ran.returns) == ((), 4)
    assert ran.user_s == pytest.approx(program.user_us / 1e8)
    assert np.isfinite(ran.real_s)


def test_more_tasks_sleep_on_a_cpu_than_it_has_places_for():
    """Each takes its time, and ends."""
    nr = text.MOST_SLEEPERS + 6
    found = []
    for child in range(1, nr + 1):
        found += [(events.ENTER, 0, 0, 56, 1), (events.FORK, 0, 0, child, 1), (events.RETURN, 0, 0, 56, 1)]
    found += [(events.YIELD, 0, 0, 1, 1)]
    for child in range(1, nr + 1):
        following = child + 1 if child < nr else NOBODY
        found += [(events.RETURN, 0, child, 56, 1), (events.ENTER, 0, child, 0, 1), (events.BLOCK, 0, child, following, 1)]
    for child in range(1, nr + 1):
        found += [
            (events.IRQ, 0, NOBODY, child, 50_000 if child == 1 else 1),
            (events.YIELD, 0, NOBODY, child, 1),
            (events.RETURN, 0, child, 0, 1),
        ]
        found += [(events.BLOCK, 0, child, NOBODY, 1)]
    program = program_of(of(found))
    assert program.times == nr
    ran = run(build_for("hashed", "ttas", 1), program, 1000, COMPILED_S)

    assert (ran.wrong, ran.counts["calls"], ran.returns) == ((), 2 * nr, 2 * nr)


def test_a_cpu_takes_the_first_task_of_anothers_queue_and_leaves_that_whole():
    world = World.of(build_of("hot", "hashed", "ttas"), Sizes(tasks=3))
    with world.create_arena() as arena:
        machine = PlainMachine(world.build.common_cache())
        native.free_locks(world, arena, machine)
        with atomics.use(machine):
            k = plain.kernel(world, arena)
            sched.pull(k, 0, 1)  # task 1, its only one
            assert not sched.has_next(k, 1)
            sched.pull(k, 0, 1)
            assert sched.dequeue(k, 0) == 0
            sched.migrate(k, 0, 0, 1)
            assert [sched.schedule(k, 0, task) for task in (0, 2)] == [2, 1]
            assert [sched.dequeue(k, 1), sched.dequeue(k, 1)] == [0, NIL]
