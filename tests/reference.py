"""x86-TSO and sequential consistency as machines of a few lines, for the programs of tests.programs: every end of one.

Each CPU has a queue of stores. A store goes to its end; at any moment the oldest of a CPU's may go to memory; a load sees the
CPU's own newest store of that word, else memory. What is locked or fenced, and a call of libc that gets what it asks for, is
done when the CPU's queue is empty. Under sequential consistency a store goes to memory at once, and there is nothing else.

Written from the paper, and of nothing that it is compared with, but for the numbers of operations.
Source    P. Sewell, S. Sarkar, S. Owens, F. Zappa Nardelli and M. Myreen, "x86-TSO", CACM 53(7), 2010, section 3
"""

from typing import NamedTuple

from .programs import NR_WORDS, X

LOW = (1 << 32) - 1
LOADS, STORES = ("load", "load relaxed", "read"), ("store", "store relaxed", "write", "tell", "reset")
PLAIN, WRITES = ("read", "write"), (*STORES, "exchange", "add", "cmpxchg", "down", "up", "try down", "down unless")
WAITS = ("wait", "wait not", "wait unless", "wait not unless")


class Cpu(NamedTuple):
    """at: its next operation; seen: what it saw last; answers: what it has seen; queue: (word, value), the oldest first."""

    at: int = 0
    seen: int = 0
    answers: tuple = ()
    queue: tuple = ()
    asleep: bool = False


class State(NamedTuple):
    """words, CPUs, and who sleeps on which word, in order."""

    words: tuple
    cpus: tuple
    sleepers: tuple = ()


class Ends(NamedTuple):
    """ends: what each CPU has seen, and the words. deadlock, race: whether there is one."""

    ends: set
    deadlock: bool
    race: bool


def view(state, i, word):
    return next((value for at, value in reversed(state.cpus[i].queue) if at == word), state.words[word])


def written(state, word, value):
    return state._replace(words=(*state.words[:word], value, *state.words[word + 1 :]))


def changed(state, i, **values):
    return state._replace(cpus=(*state.cpus[:i], state.cpus[i]._replace(**values), *state.cpus[i + 1 :]))


def answered(state, i, at=None, seen=None, **values):
    """The operation of CPU i is done, and has shown it that; the first that a label leads to comes next."""
    cpu = state.cpus[i]
    seen = cpu.seen if seen is None else seen
    return changed(state, i, at=cpu.at + 1 if at is None else at, seen=seen, answers=(*cpu.answers, seen), **values)


def jumped(program, state, i):
    """Past operations that are no accesses."""
    cpu, own = state.cpus[i], program[i]
    at = cpu.at
    while at < len(own) and own[at][0] == "unless seen":
        at = at + 1 if cpu.seen == own[at][2] else own[at][1]
    return changed(state, i, at=at)


def step(program, state, i, *, tso):
    """The state after the next operation of a CPU; None where it is not possible."""
    cpu = state.cpus[i]
    if cpu.asleep:
        return None
    name, *values = program[i][cpu.at]
    word, value, other = (*values, 0, 0, 0)[:3]
    here = view(state, i, word)
    told = view(state, i, X) != 0
    if name in LOADS:
        return answered(state, i, seen=here)
    if name in STORES:
        value = cpu.seen if name == "tell" else value
        if not tso:
            return answered(written(state, word, value), i)
        return answered(state, i, queue=(*cpu.queue, (word, value)))
    if name in WAITS:
        come = (here == value) == (name in ("wait", "wait unless"))
        if "unless" not in name:
            return answered(state, i) if come else None
        return answered(state, i, seen=int(come)) if come or told else None
    if name in ("try down", "down unless") and here & LOW == 0:
        return answered(state, i, seen=0) if told or name == "try down" else None
    if cpu.queue:
        return None
    if name == "fence":
        return answered(state, i)
    if name == "exchange":
        return answered(written(state, word, value), i, seen=here)
    if name == "add":
        return answered(written(state, word, here + value), i, seen=here)
    if name == "cmpxchg":
        return answered(written(state, word, other) if here == value else state, i, seen=here)
    if name == "up":
        return answered(written(state, word, here + 1), i)
    if name in ("down", "try down", "down unless"):
        if here & LOW == 0:
            return None
        return answered(written(state, word, here - 1), i, seen=None if name == "down" else 1)
    if name in ("lock", "try lock"):
        if here & LOW:
            return answered(state, i, seen=0) if name == "try lock" else None
        return answered(written(state, word, here + 1 + i), i, seen=1)
    if name == "unlock":
        return answered(written(state, word, here - (here & LOW)), i)
    if name == "sleep":
        if here & LOW != value & LOW:
            return answered(state, i)
        return changed(state._replace(sleepers=(*state.sleepers, (word, i))), i, asleep=True)
    assert name == "wake", name
    woken = [one for one in state.sleepers if one[0] == word][:value]
    state = state._replace(sleepers=tuple(one for one in state.sleepers if one not in woken))
    for _, sleeper in woken:
        state = answered(state, sleeper, asleep=False)
    return answered(state, i)


def accesses(program, state, i, *, late):
    """The words that a CPU is about to use, or (late) holds back: the word, whether it writes it, and plainly."""
    cpu = state.cpus[i]
    found = [(word, True, False) for word, _ in cpu.queue] if late else []
    if cpu.at < len(program[i]) and not cpu.asleep:
        name, *values = program[i][cpu.at]
        if values and name != "fence":
            found.append((values[0], name in WRITES, name in PLAIN))
        if "unless" in name:
            found.append((X, False, False))
    return found


def races(program, state, *, late=False):
    """late: a store that is held back is still about to be done. It is told there without saying whether it was plain."""
    for i in range(len(program)):
        for j in range(i):
            for one, writes, plain in accesses(program, state, i, late=late):
                for other, writes_too, plain_too in accesses(program, state, j, late=late):
                    if one == other and (writes or writes_too) and (plain or plain_too):
                        return True
    return False


def ends_of(program, first=(), *, tso, race=races):
    """Every end of a program: shmkret.explore.stacks' answer is compared with it."""
    words = (*first, *[0] * (NR_WORDS - len(first)))
    start = State(words, tuple(Cpu() for _ in program))
    for i in range(len(program)):
        start = jumped(program, start, i)
    known, left = {start}, [start]
    found = Ends(set(), False, False)
    while left:
        state = left.pop()
        after = []
        for i, cpu in enumerate(state.cpus):
            if cpu.queue:
                (word, value), *rest = cpu.queue
                after.append(changed(written(state, word, value), i, queue=tuple(rest)))
            if cpu.at < len(program[i]):
                done = step(program, state, i, tso=tso)
                if done is not None:
                    for j in range(len(program)):
                        done = jumped(program, done, j)
                    after.append(done)
        if race(program, state):
            found = found._replace(race=True)
        if not after:
            if all(cpu.at >= len(own) for cpu, own in zip(state.cpus, program, strict=True)):
                found.ends.add((tuple(cpu.answers for cpu in state.cpus), state.words))
            else:
                found = found._replace(deadlock=True)
        fresh = [one for one in after if one not in known]
        known.update(fresh)
        left.extend(fresh)
    return found
