"""Damage to an arena that nobody uses: the audit finds and names it, repair() mends what says where it belongs, and a damaged
arena is never a signal or a hang.
"""

import itertools
import os
import random
import re
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from shmkret.arch import prologue
from shmkret.arena import header, segment
from shmkret.arena.chains import FREE_LISTS, HUNG, OF_TASK, Chain, hung
from shmkret.arena.layout import HEADER_BYTES
from shmkret.arena.records import REGISTERED, UNREGISTERED
from shmkret.arena.segment import Arena
from shmkret.audit import arenas
from shmkret.audit.checks import audit, checked_words, left_open, not_given_back
from shmkret.audit.findings import sentences
from shmkret.audit.repair import _order, repair
from shmkret.cli.main import main
from shmkret.errors import ArenaError, PluginError
from shmkret.kernel.kprobes import call
from shmkret.kernel.task import call_site
from shmkret.locks import acquire, acquire_unless, mcs, release
from shmkret.machines import native, plain
from shmkret.machines.plain import PlainMachine
from shmkret.machines.world import World
from shmkret.moves.intents import REM, RETURNED, intent_of
from shmkret.stress.damage import damage as make_damage
from shmkret.stress.damage import mended
from shmkret.text import atomics
from shmkret.text.atomics import NIL
from tests.in_use import SIZES, arena_in_use
from tests.worlds import build_of

LINKS = {("instances", "next"), ("buckets", "first"), ("probes", "free"), ("registry", "slab"), ("scheme.used", "first")}
COUNTS = {"calls", "hits", "returns", "flushed", "refused", "nmissed", "kp_nmissed", "gone_nmissed", "gone_kp_nmissed"}


def bits_of(arena, build):
    for section, field, i in checked_words(arena, build.scheme):
        for bit in range(64):
            yield section, field, i, bit


def flip(arena, section, field, i, bit):
    arena.records(section)[field].view(np.uint64)[i] ^= np.uint64(1 << bit)


@pytest.mark.parametrize("scheme", ["global", "hashed"])
def test_every_bit_of_every_checked_word_is_found_and_named(scheme):
    with arena_in_use(scheme) as (arena, build):
        assert max(map(len, hung(arena))) >= 2
        assert arena.records("registry")["slab"][0] != NIL
        whole = bytes(arena._bytes)
        flipped = found = 0
        unnamed = []
        for section, field, i, bit in bits_of(arena, build):
            flip(arena, section, field, i, bit)
            wrong = sentences(audit(arena, build.scheme))
            flipped += 1
            found += bool(wrong)
            if not any(name in " ".join(wrong) for name in names_of(section, field, i)):
                unnamed.append((section, field, i, bit, wrong))
            flip(arena, section, field, i, bit)
        assert unnamed == []
        assert flipped == found == 64 * len(checked_words(arena, build.scheme))
        assert bytes(arena._bytes) == whole


@pytest.mark.parametrize("scheme", ["global", "hashed", "objpool"])
def test_whose_an_instance_in_flight_is_and_how_many_a_probe_has_is_checked(scheme):
    """Each bit of these words: nothing else says what they were, so that they are not damaged where repair is tried."""
    with arena_in_use(scheme) as (arena, build):
        of_lists = None if build.recoverable else build.scheme  # which counts them itself
        flying = [ri for order in hung(arena) for ri in order]
        of = {ri: int(arena.records("instances")["rp"][ri]) for ri in flying}
        registered = np.flatnonzero(arena.records("probes")["registered"] == REGISTERED).tolist()
        assert set(of.values()) - {NIL}
        words = [("instances", "rp", ri) for ri in flying] + [("probes", "maxactive", p) for p in registered]
        for section, field, i in words:
            for bit in range(64):
                flip(arena, section, field, i, bit)
                wrong = " ".join(sentences(audit(arena, of_lists)))
                flip(arena, section, field, i, bit)
                own = f"instance {i} is in flight, of probe" if field == "rp" else f"probe {i} has"
                assert own in wrong or f"probe {of.get(i)} has" in wrong, (section, field, i, bit, wrong)
        assert audit(arena, build.scheme) == []

        for field in ("registered", "kind"):
            for p in registered:
                for bit in range(64):
                    flip(arena, "probes", field, p, bit)
                    wrong = " ".join(sentences(audit(arena, of_lists)))
                    flip(arena, "probes", field, p, bit)
                    named = ["says that it is of kind", f"probe {p} has", "free list of probe", "is in flight, of probe"]
                    assert any(words in wrong for words in named), (field, p, bit, wrong)

        first, gone = flying[0], of[flying[0]]
        arena.records("probes")["registered"][gone] = UNREGISTERED
        wrong = " ".join(sentences(audit(arena, of_lists)))
        told = rf"instance {first} is in flight, of probe {gone}, which is not registered|probe {gone} has .* in flight, not 0"
        assert re.search(told, wrong)


def names_of(section, field, i):
    """The words by which a finding may name it: the count, the list, or the instance; a link breaks what it leads to."""
    if field in COUNTS:
        return ["calls, but", "hits, but"]
    if section == "instances":
        return ["instance", "list", "bucket", "slab"]
    if section == "cpus":
        return [f"cpu {i}"]
    if section == "recovery":
        return [f"recovery.{field} of slot {i}"]
    if section.startswith("scheme."):
        return ["used list"]
    return {
        "free": [f"probe {i}", "instance"],
        "first": [f"bucket {i}", "instance"],
        "slab": ["slab", "instance"],
    }[field]


@pytest.mark.parametrize("scheme", ["global", "hashed"])
@pytest.mark.parametrize("field", ["hits", "refused", "nmissed", "kp_nmissed"])
def test_what_one_cpu_counts_too_much_and_another_too_little_is_told_of_both(scheme, field):
    with arena_in_use(scheme) as (arena, build):
        counts = arena.records("books")[field].reshape(arena.geometry.nr_slots, -1)
        counts[0, 0] += 1
        counts[1, 0] -= 1
        calls = arena.records("books")["calls"].reshape(counts.shape)[:2, 0].tolist()
        said = sentences(audit(arena, build.scheme))

    assert [one.partition(" calls, but ")[0] for one in said] == [
        f"cpu 0, probe 0: {calls[0]}",
        f"cpu 1, probe 0: {calls[1]}",
    ]


@pytest.mark.parametrize("scheme", ["global", "hashed"])
@pytest.mark.parametrize("field", ["calls", "hits", "refused", "nmissed"])
def test_what_a_cpu_counts_for_another_probe_is_told(scheme, field):
    """No sum over probes sees it."""
    with arena_in_use(scheme) as (arena, build):
        counts = arena.records("books")[field].reshape(arena.geometry.nr_slots, -1)
        counts[1, 0] -= 1
        counts[1, 1] += 1
        said = sentences(audit(arena, build.scheme))

    assert [one.partition(": ")[0] for one in said] == ["cpu 1, probe 0", "cpu 1, probe 1"]


@pytest.mark.parametrize("field", ["hits", "refused"])
def test_where_misses_are_counted_together_a_cpu_has_no_more_hits_than_calls(field):
    with arena_in_use("objpool") as (arena, build):
        arena.records("cpus")[field][0] += 1
        arena.records("cpus")[field][1] -= 1
        (wrong,) = sentences(audit(arena, build.scheme))

        calls, hits, refused = (arena.records("cpus")[name][0] for name in ("calls", "hits", "refused"))
        assert wrong == f"cpu 0: {calls} calls, and more than these have been hits ({hits}) or refused ({refused})"


@pytest.mark.parametrize(("field", "what"), [("open_calls", "to no end"), ("open_misses", "to an end and had not begun")])
@pytest.mark.parametrize(("opened", "told"), [(0, False), (2, False), (-1, True), (3, True)])
def test_who_died_twice_may_have_left_two_calls_open_and_no_more(field, what, opened, told):
    with arena_in_use("hashed") as (arena, _):
        arena.records("recovery")[field][1] = opened
        said = sentences(left_open(arena, [0, 2]))

    assert said == [f"cpu 1: {opened} calls have come {what}, and it has died 2 times"] * told


@pytest.mark.parametrize(
    ("section", "field", "words"),
    [
        ("books", "calls", "cpu 0 died in a call, which does not count"),
        ("books", "kp_nmissed", "cpu 0 died in a call that it had counted as missed, and which counts"),
    ],
)
def test_whichever_of_two_counts_a_dead_cpu_had_not_come_to_is_put_right(section, field, words):
    with arena_in_use("hashed") as (arena, build):
        arena.records(section)[field][0] += 1
        assert audit(arena, build.scheme) != []

        assert words in repair(arena, build.scheme, build.lock)
        assert sentences(audit(arena, build.scheme)) == []


@pytest.mark.parametrize("scheme", ["global", "hashed"])
def test_a_flipped_bit_of_a_list_is_repaired_and_tasks_find_their_newest_first(scheme):
    with arena_in_use(scheme) as (arena, build):
        chains, whole = hung(arena), bytes(arena._bytes)
        for section, field, i, bit in bits_of(arena, build):
            if ((section, field) not in LINKS and field not in ("state", "rp")) or (bit % 5 and bit < 60):
                continue  # in all words, every fifth bit and the highest
            flip(arena, section, field, i, bit)
            done = repair(arena, build.scheme, build.lock)
            assert done, (section, field, i, bit)
            assert audit(arena, build.scheme) == [], (section, field, i, bit, done)
            assert hung(arena) == chains
            arena._bytes[:] = np.frombuffer(whole, np.uint8)


@pytest.mark.parametrize("scheme", ["global", "hashed"])
@pytest.mark.parametrize("wrong_at", [0, 1])
def test_a_task_whose_older_call_would_return_first_is_found_and_named(scheme, wrong_at):
    with arena_in_use(scheme, worker="recursion") as (arena, build):
        k = plain.kernel(World.of(build, SIZES), arena)
        with atomics.use(PlainMachine(build.common_cache())):
            for level in range(3):
                call(k, 0, 0, 0, call_site(0, level))
                prologue(k.arch, k, 0)
        (order,) = [order for order in hung(arena) if order]
        assert audit(arena, build.scheme, at_rest=False) == []
        following = arena.records("instances")["next"]
        first = arena.records("buckets")["first"]
        bucket = first.tolist().index(order[0])
        newer, older = order[wrong_at : wrong_at + 2]
        order[wrong_at : wrong_at + 2] = older, newer
        first[bucket] = order[0]
        for ri, after in zip(order, [*order[1:], NIL], strict=True):
            following[ri] = after
        wrong = sentences(audit(arena, build.scheme, at_rest=False))
        assert wrong == [f"bucket {bucket}: task 0 would return from instance {older} before the newer {newer}"]


WRONG = [*range(6), NIL, 1 << 40]


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (2, 0, 4, 1, 3)])
def test_whichever_link_of_a_list_is_wrong_its_order_is_found_again(order):
    """5 is an instance of another list."""
    for broken, wrong in itertools.product([None, *order], WRONG):
        following = dict(zip(order, [*order[1:], NIL], strict=True)) | {5: NIL, broken: wrong}
        first = wrong if broken is None else order[0]
        links = [following[ri] for ri in range(6)]
        assert _order(first, set(order), links) == (list(order), False), (broken, wrong)


def test_what_a_dead_cpu_had_only_begun_to_take_stays_where_its_task_looks():
    """Beside damage elsewhere, so that lists are not the truth."""
    with arena_in_use("hashed") as (arena, build):
        chains = hung(arena)
        newest = max(chains, key=len)[0]
        returns = int(arena.records("cpus")["returns"][0])
        arena.records("recovery")["intent"][0] = intent_of(REM, RETURNED, returns + 1, newest, NIL)
        arena.records("registry")["slab"][0] = NIL
        done = repair(arena, build.scheme, build.lock)

        assert any(what.startswith("the slab: rebuilt") for what in done), done
        assert hung(arena) == chains
        assert sentences(audit(arena, build.scheme)) == []


def test_members_that_lie_in_a_circle_are_not_forgotten():
    """0 leads nowhere, and 4 to 1: two links are wrong."""
    order, is_guess = _order(0, set(range(5)), [NIL, 2, 3, 4, 1])

    assert (order[0], sorted(order), is_guess) == (0, [0, 1, 2, 3, 4], True)


def test_an_order_that_nothing_tells_is_called_a_guess():
    assert _order(0, {0, 1, 2}, [NIL, NIL, NIL]) == ([0, 1, 2], True)
    assert _order(0, {0, 1, 2}, [NIL, 2, 1]) == ([0, 1, 2], True)


def test_a_lock_that_cannot_say_whether_it_is_free_is_made_free(tmp_path):
    path = tmp_path / "silent.py"
    source = build_of(lock="ttas").lock.path.read_text()
    path.write_text(source.replace("def is_free", "def nobody_asks"))
    with arena_in_use("hashed", lock=str(path)) as (arena, build):
        arena.records("table_locks")["locked"][3] = 1
        assert repair(arena, build.scheme, build.lock) == ["freed 1 locks, such as table_locks[3]"]
        assert arena.records("table_locks")["locked"].tolist() == [0] * 64


@pytest.mark.parametrize("lock", ["mcs", "clh"])
def test_the_queue_of_the_dead_is_emptied(lock):
    """One held it, another waited behind."""
    with arena_in_use("hashed", lock=lock) as (arena, build):
        machine, world = PlainMachine(build.common_cache()), World.of(build, SIZES)
        locks = plain.kernel(world, arena).table_locks
        closed = plain.PlainWords(np.ones(1, np.int64))
        with atomics.use(machine):
            acquire(locks, 3, 0)
            assert not acquire_unless(locks, 3, closed, 1)
        held = native.still_held(world, arena, machine)
        assert sentences(not_given_back(held)) == ["1 locks are not free, such as table_locks[3], and no CPU is inside"]
        assert repair(arena, build.scheme, build.lock) == ["freed 1 locks, such as table_locks[3]"]
        assert not_given_back(native.still_held(world, arena, machine)) == []
        with atomics.use(machine):
            for cpu in (1, 0, 2, 1):
                acquire(locks, 3, cpu)
                release(locks, 3, cpu)
        assert repair(arena, build.scheme, build.lock) == []


def test_a_node_that_waits_for_a_dead_follower_is_ready_again():
    with arena_in_use("hashed", lock="mcs") as (arena, build):
        arena.records("table_locks.node")["next"][1] = mcs.GONE
        assert repair(arena, build.scheme, build.lock) == ["no CPU is in a queue of table_locks any more"]
        assert repair(arena, build.scheme, build.lock) == []


@pytest.mark.parametrize("lock", ["ttas", "mcs", "clh"])
def test_what_is_whole_is_left_alone(lock):
    with arena_in_use("hashed", lock=lock) as (arena, build):
        whole = bytes(arena._bytes)
        assert repair(arena, build.scheme, build.lock) == []
        assert bytes(arena._bytes) == whole


def test_a_cpu_that_was_in_calls_of_two_probes_has_not_died_in_both():
    with arena_in_use("hashed") as (arena, build):
        counts = arena.records("books")["calls"].reshape(arena.geometry.nr_slots, -1)
        counts[1] += 1
        assert repair(arena, build.scheme, build.lock) == []
        counts[1, 0] -= 2
        assert len(repair(arena, build.scheme, build.lock)) == 2
        assert sentences(audit(arena, build.scheme)) == []


@pytest.mark.parametrize(
    ("field", "by", "words"), [("returns", 5, "hits, but"), ("calls", 2, "calls, but"), ("calls", -2, "calls, but")]
)
def test_a_count_that_is_wrong_is_reported_and_not_made_up(field, by, words):
    """A CPU dies in one call at a time: two are no death."""
    with arena_in_use("hashed") as (arena, build):
        arena.records("books" if field == "calls" else "cpus")[field][0] += by
        assert repair(arena, build.scheme, build.lock) == []
        assert any(words in what for what in sentences(audit(arena, build.scheme)))


def test_the_command_repairs_what_is_left_over_and_says_so(capsys):
    with arena_in_use("hashed", lock="ttas", is_named=True) as (arena, _):
        name = arena.name
        with pytest.raises(ArenaError, match="is live"):
            arenas.repaired(name)
        arena.records("buckets")["first"][:] = NIL
        arena.records("locks")["locked"][0] = 1
        with left_over(arena):
            assert main(["repair", name]) == 0
            output = capsys.readouterr().out
            assert "rebuilt" in output
            assert "freed 1 locks, such as locks[0]" in output
            assert main(["inspect", name, "--audit", "--json", "-"]) == 0
            assert main(["repair", name]) == 0
            assert "nothing had to be repaired" in capsys.readouterr().out


@contextmanager
def left_over(arena):
    """The name of a named arena, whose processes are all gone."""
    name, kept = arena.name, os.dup(arena.fd)
    (segment.SHM / name).rename(segment.SHM / "kept")
    arena.close()
    (segment.SHM / "kept").rename(segment.SHM / name)
    try:
        yield name
    finally:
        os.close(kept)
        (segment.SHM / name).unlink(missing_ok=True)


def own_scheme(folder, like):
    """A scheme of the user's: a built-in one, in a file of another place."""
    path = folder / "mine.py"
    path.write_text(build_of(scheme=like).scheme.path.read_text())
    return str(path)


@pytest.mark.parametrize("like", ["hashed", "objpool"])
def test_where_a_scheme_that_is_not_run_has_its_instances_is_not_guessed(like, tmp_path, capsys):
    path = own_scheme(tmp_path, like)
    world = World.of(build_of("hot", path, "ttas"))
    with world.create_arena(named=True) as arena:
        reason = f"where its instances are cannot be told: {path} is not run because an arena says so"
        assert arenas.audited(arena.name) == arenas.Audit([], reason)
        arena.records("cpus")["calls"][0] += 1
        with left_over(arena) as name:
            assert main(["inspect", name, "--audit"]) == 1
            assert re.search(rf"audit: 1 calls, .*\naudit: {re.escape(reason)}\n", capsys.readouterr().out)
            with arenas.copied(name) as copy:
                assert copy.statistics()["probes"][0]["free"] is None


def test_a_cpu_that_is_left_over_in_a_queue_is_a_finding(capsys):
    with arena_in_use("hashed", lock="mcs", is_named=True) as (arena, _):
        arena.records("table_locks.node")["next"][1] = mcs.GONE
        assert arenas.audited(arena.name) == arenas.Audit([])
        with left_over(arena) as name:
            assert main(["inspect", name, "--audit"]) == 1
            assert "audit: cpu 1 is not idle in table_locks, and nobody is alive\n" in capsys.readouterr().out


def test_of_a_scheme_that_is_not_run_the_locks_alone_are_repaired(tmp_path, capsys):
    path = own_scheme(tmp_path, "global")
    with arena_in_use(path, is_named=True) as (arena, _):
        arena.records("recovery")["intent"][0] = 1
        arena.records("locks")["locked"][0] = 1
        instances, free = arena.records("instances").copy(), arena.records("probes")["free"].copy()
        with left_over(arena) as name:
            assert main(["repair", name]) == 1
            assert capsys.readouterr().out.splitlines() == [
                "freed 1 locks, such as locks[0]",
                "not repaired: recovery.intent of slot 0 is not cleared",
                f"not repaired: the lists and the counts stay as they are: {path} is not run because an arena says so",
            ]
            with arenas.copied(name) as copy:
                assert (copy.records("instances") == instances).all()
                assert (copy.records("probes")["free"] == free).all()


def test_a_users_scheme_has_its_own_words_damaged_and_mended(tmp_path):
    path = tmp_path / "mine.py"
    source = build_of(scheme="global").scheme.path.read_text()
    path.write_text(source.replace("scheme.used", "scheme.busy").replace('("used"', '("busy"').replace("used: A", "busy: A"))
    with arena_in_use(str(path)) as (arena, build):
        words = {word[:2] for word in checked_words(arena, build.scheme)}
        own = {("scheme.busy", "first"), ("scheme.link", "next"), ("scheme.link", "prev")}
        assert {word for word in words if word[0].startswith("scheme.")} == own
        assert own <= mended(arena, build)
        for seed in range(200):
            assert make_damage(arena, build, "flip", random.Random(seed)) == []


@pytest.mark.parametrize("checked", ["(('used', 'last', 'always'),)", "(('used', 'first', 'often'),)", "'used'"])
def test_a_scheme_names_words_that_it_has(checked, tmp_path):
    path = own_scheme(tmp_path, "global")
    source = Path(path).read_text()
    Path(path).write_text(f"{source}\n\nCHECKED = {checked}\n")
    with pytest.raises(PluginError, match="CHECKED"):
        build_of(scheme=path)


@pytest.mark.parametrize(
    "lists",
    [
        "LISTS = (FREE_LISTS, Chain(HUNG, 'tasks', 'place', OF_TASK))",
        "LISTS = (FREE_LISTS, BUCKETS, Chain(HUNG, 'tasks', 'place', OF_TASK))",
    ],
)
def test_a_scheme_that_recovers_has_its_instances_where_recovery_looks(lists, tmp_path):
    path = own_scheme(tmp_path, "hashed")
    source = Path(path).read_text()
    head, name, rest = source.partition("\n\n\nclass ")
    Path(path).write_text(
        f"{head}\n\nfrom shmkret.arena.chains import BUCKETS, FREE_LISTS, HUNG, OF_TASK, Chain\n{lists}{name}{rest}"
    )
    with pytest.raises(PluginError, match="a scheme with the ability recover keeps its instances in free lists and buckets"):
        build_of(scheme=path)


def test_instances_of_tasks_lists_are_rebuilt_where_their_chain_says():
    """No scheme of ours has recoverable lists of tasks; the lists are those of an arena made for it."""
    with arena_in_use("hashed") as (arena, build):
        of = arena.records("instances")["task"].tolist()
        in_flight = {ri for order in hung(arena) for ri in order}
        assert in_flight
        arena.lists = (FREE_LISTS, Chain(HUNG, "tasks", "place", OF_TASK))
        arena.records("tasks")["place"] = NIL
        repair(arena, None, build.lock)
        for task, order in enumerate(hung(arena)):
            assert set(order) == {ri for ri in in_flight if of[ri] == task}
        assert audit(arena, None, at_rest=False) == []


def test_an_arena_with_rings_is_refused_before_anything_is_changed():
    with arena_in_use("hashed") as (arena, build):
        arena.records("recovery")["intent"][0] = 1
        arena.lists = build_of(scheme="objpool").scheme.constants.lists
        whole = bytes(arena._bytes)
        with pytest.raises(ArenaError, match="rings, which cannot be rebuilt"):
            repair(arena, build.scheme, build.lock)
        assert bytes(arena._bytes) == whole


def test_a_run_that_was_not_recoverable_is_not_repaired():
    build = build_of("hot", "hashed", "ttas")
    with World.of(build).create_arena() as arena, pytest.raises(ArenaError, match="was not recoverable"):
        repair(arena, build.scheme, build.lock)


def damage(data, rng):
    """Some words or bytes become anything, or are moved; most of it where it hurts."""
    for _ in range(rng.choice((1, 2, 8, 200))):
        at = rng.randrange(len(data) // 8) * 8
        kind = rng.randrange(4)
        if kind == 0:
            data[at : at + 8] = rng.randbytes(8)
        elif kind == 1:
            data[at + rng.randrange(8)] ^= 1 << rng.randrange(8)
        elif kind == 2:
            data[at : at + 8] = rng.choice((-1, 0, 1, 2, 3, 1 << 31, -(1 << 63))).to_bytes(8, "little", signed=True)
        else:
            other = rng.randrange(len(data) // 8) * 8
            data[at : at + 8] = data[other : other + 8]


def attach_damaged(whole, build, rng, in_header):
    """Damage a copy, attach and audit it, repair it if it will. What was said: refused, found, or nothing."""
    data = bytearray(whole)
    if in_header:
        head = data[: header.HEADER.itemsize]
        damage(head, rng)
        data[: len(head)] = head
    else:
        body = data[HEADER_BYTES:]
        damage(body, rng)
        data[HEADER_BYTES:] = body
    if rng.randrange(8) == 0:
        del data[rng.randrange(len(data)) :]
    fd = os.memfd_create("damaged")
    try:
        os.write(fd, data)
        arena = Arena.attach(fd, lock=build.lock.record, scheme=build.scheme.record)
    except ArenaError:
        os.close(fd)
        return "refused"
    with arena:
        arena.lists = build.scheme.constants.lists
        found = audit(arena, build.scheme)
        arena.statistics()
        repair(arena, build.scheme, build.lock)
        audit(arena, build.scheme)
        return "found" if found else "nothing"


def damaged_arenas(times, seed, lock="ttas"):
    """How often what was said."""
    said = {"refused": 0, "found": 0, "nothing": 0}
    with arena_in_use("global", lock=lock) as (arena, build):
        whole = bytes(arena._bytes)
        for n in range(times):
            rng = random.Random(f"{seed} {n}")
            said[attach_damaged(whole, build, rng, rng.randrange(4) == 0)] += 1
    return said


@pytest.mark.parametrize("lock", ["ttas", "mcs", "clh"])
def test_a_damaged_arena_is_refused_or_audited_and_never_a_signal_or_a_hang(lock):
    said = damaged_arenas(1000, 1, lock)
    assert sum(said.values()) == 1000
    assert said["refused"] > 50
    assert said["found"] > 200


if __name__ == "__main__":
    import sys

    print(damaged_arenas(int(sys.argv[1]), int(sys.argv[2])))
