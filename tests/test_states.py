"""What makes two states one: where each CPU's code stands, or all that it has read. Both come to the same ends."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shmkret.explore.engines import states
from shmkret.explore.scene import Scene
from shmkret.explore.stacks import choices, control
from shmkret.explore.stacks.executor import Stacks, words_at
from shmkret.machines.compiled import watched
from shmkret.machines.compiled.loop import INT, compile_function
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.text.atomics import load_acquire, monotonic_ns, store_release
from shmkret.text.marks import inline

from .programs import X, Y, Z
from .test_stacks import CODE, find, one_call
from .worlds import build_of

PART = st.one_of(CODE, st.just([("forget",)]))
FORGETFUL = st.lists(
    st.lists(PART, min_size=1, max_size=4).map(lambda parts: [one for part in parts for one in part]), min_size=2, max_size=3
).filter(lambda program: sum(map(len, program)) <= 9)


@settings(max_examples=60)
@given(FORGETFUL, st.sampled_from([(), (0,), (1, 0)]))
@example([[("load", X), ("forget",), ("load", Y), ("add", Z, 1)], [("store", X, 1), ("store", Y, 1)]], ())
@example([[("load", Y), ("own", 0, 1), ("forget",), ("load", Z), ("read own", 0)], [("store", Y, 1), ("own", 0, 2)]], ())
@example([[("load", X), ("forget",), ("lock", 4), ("forget",)], [("add", X, 1), ("try lock", 4)]], (0,))
def test_both_ways_to_tell_states_apart_come_to_the_same_ends(program, mortal):
    says = [[("add", Z, 1)]] * 4 if mortal else ()
    by_code, by_past = (find(program, says, (), mortal, by_past=by_past) for by_past in (0, 1))
    assert by_code.ends == by_past.ends
    assert sorted(set(by_code.wrong)) == sorted(set(by_past.wrong))


def test_states_that_differ_in_what_is_forgotten_are_one():
    program = [[("load", X), ("forget",), ("load", Y), ("load", Y)], [("add", X, 1)] * 3]
    nr = {}
    for by_past in (0, 1):
        find(program, by_past=by_past)
        nr[by_past] = find.__globals__["searches"]().stacks.get(control.STATES)
    assert nr[0] < nr[1]


def ends_of(stacks, **values):
    """The whole arena at each end, and how many states there are."""
    stacks.begin(**values)
    ends = set()
    while (status := stacks.descend(1 << 40)) != control.FINISHED:
        assert status == control.AT_END, stacks.describe(status)
        ends.add(bytes(stacks.arena._map))
    return ends, stacks.get(control.STATES)


def test_on_the_kernels_path_both_ways_come_to_the_same_ends():
    world = World.of(build_of("hot", "hashed", "ttas"), Sizes(maxactive=2, task_address="ia64-stack"), seed=1)
    with Stacks(Scene("one-call", world, one_call, 2), 1 << 18) as own:
        by_code, few = ends_of(own)
        by_past, many = ends_of(own, by_past=1)
    assert by_code == by_past
    assert many == 6349
    assert few < many / 2  # how much is kept on stacks that is needed no more is the compiler's affair


CLOCK, SPIN, GIVE_WAY, COUNTED = range(4)


@inline
def loops(k, cpu):
    """One of four programs: word 0 of the script says which."""
    words = k.buckets.first
    which = k.script.word[0]
    if cpu > 1:
        pass
    elif which == CLOCK:
        if cpu == 0:
            if load_acquire(words, X) == 0:
                monotonic_ns()
            load_acquire(words, Y)
            store_release(words, Z, monotonic_ns())
        else:
            store_release(words, X, 1)
    elif which == SPIN:
        if cpu == 0:
            while load_acquire(words, X) == 0:
                pass
        else:
            store_release(words, X, 1)
    elif which == GIVE_WAY:
        while True:
            store_release(words, cpu, 1)
            if load_acquire(words, 1 - cpu) == 0:
                break
            store_release(words, cpu, 0)
        store_release(words, cpu, 0)
    else:
        for _ in range(3):
            load_acquire(words, X)
        if cpu == 0:
            store_release(words, X, 1)
            store_release(words, X, 0)


@pytest.fixture(scope="module")
def looping():
    world = World(build_of(nr_cpus=2), Sizes(maxactive=2), [0])
    with Stacks(Scene("loops", world, loops, 2, check=lambda *_: []), 1 << 14, monitors=()) as stacks:

        def choose(which):
            stacks.arena.records("script")["word"][0] = which
            stacks.arena.records("buckets")["first"] = 0
            stacks._first = bytes(stacks.arena._map)
            return stacks

        yield choose


def test_what_a_cpus_clock_says_is_part_of_a_state(looping):
    stacks = looping(CLOCK)
    word = stacks.arena.records("buckets")["first"]
    stacks.begin()
    times = set()
    while (status := stacks.descend(1 << 40)) != control.FINISHED:
        assert status == control.AT_END
        times.add(int(word[Z]))
    assert times == {1000, 2000}


def test_where_a_cpus_code_stands_is_its_step_its_clock_and_its_stack(looping):
    stacks = looping(COUNTED)
    stacks.begin()
    again = compile_function(choices.stand, [INT, INT], None)
    record = stacks._record(1)
    top = int(words_at(record + watched.SP, 1)[0])
    places = [record + offset for offset in (watched.KIND, watched.PLACE, watched.ARG, watched.STOP, watched.CLOCK)]

    def stands():
        again(stacks._control, record)
        return int(words_at(record + control.STANDS, 1)[0])

    seen = {stands()}
    assert stands() in seen
    for place in (*places, top, top + 8, record - 8):
        words_at(place, 1)[0] += 4
        seen.add(stands())
        words_at(place, 1)[0] -= 4
    assert len(seen) == 9
    assert stands() in seen


def test_who_went_back_from_every_state_has_none_on_its_path(looping):
    stacks = looping(COUNTED)
    stacks.begin()
    while (status := stacks.descend(3)) != control.FINISHED:
        assert status in (control.MORE, control.AT_END)
        on_path = words_at(stacks._on_path, control.PATH_MASK + 1)
        assert 0 <= stacks.get(control.DEPTH) - on_path.sum() <= 1
    assert not on_path.any()


@pytest.mark.parametrize(("which", "steps"), [(SPIN, 1), (GIVE_WAY, 3)])
def test_who_goes_round_for_ever_is_named_and_replayed(which, steps, looping):
    stacks = looping(which)
    (found,) = states.search(stacks, 1 << 40, 60.0).violations
    assert found.what.startswith(f"livelock: after {steps} steps all is as it was, and can go on so for ever: cpu ")
    assert [cpu for cpu, _ in stacks.replay(found.schedule)] == found.schedule
    assert stacks.judge() == [found.what]
    list(stacks.replay([]))
    assert stacks.judge() == []


def test_a_loop_that_ends_is_no_livelock(looping):
    outcome = states.search(looping(COUNTED), 1 << 40, 60.0)
    assert outcome.violations == []
    assert outcome.complete
