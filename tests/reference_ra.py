"""Release-acquire memory as a machine of a few lines, for the programs of tests.programs: every end of one.

A word is a list of messages, the oldest first. A CPU has a view, the message of each word before which it reads nothing any
more, and a vector clock: how many accesses of each CPU happen before what it does next. A message carries a view and a clock.
Nothing is forgotten, and clocks are numbers that grow: that is all the difference to what it is compared with, and it shares
no line with it but the numbers of operations.

Source    O. Lahav, N. Giannarakis and V. Vafeiadis, "Taming release-acquire consistency", POPL 2016, section 6;
          J. Kang, C.-K. Hur, O. Lahav, V. Vafeiadis and D. Dreyer, "A promising semantics for relaxed-memory concurrency",
          POPL 2017, sections 3 and 4, without promises; [atomics.order], [intro.races] of C++20
"""

from itertools import combinations
from typing import NamedTuple

from .programs import NR_WORDS, X
from .reference import LOW, PLAIN, WAITS, Ends, answered, changed, jumped, races

NOWHERE = (0,) * NR_WORDS


class Known(NamedTuple):
    """A view, and a clock."""

    view: tuple
    clock: tuple


class Message(NamedTuple):
    """carries: what who reads it with acquire knows."""

    value: int
    carries: Known


class Cpu(NamedTuple):
    """As of tests.reference. known: what it knows; given: what relaxed loads gave; fenced: what it knew at its last fence."""

    known: Known
    given: Known
    fenced: Known
    at: int = 0
    seen: int = 0
    answers: tuple = ()
    queue: tuple = ()
    asleep: bool = False


class State(NamedTuple):
    """memory: the messages of each word. fences: the view of all. events: (word, CPU, writes, plain) -> the number of its last
    access, in order.
    """

    memory: tuple
    cpus: tuple
    fences: tuple = NOWHERE
    sleepers: tuple = ()
    events: tuple = ()
    raced: bool = False

    @property
    def words(self):
        return tuple(messages[-1].value for messages in self.memory)


def most(one, other):
    return tuple(map(max, one, other))


def both(one, other):
    return Known(most(one.view, other.view), most(one.clock, other.clock))


def put(values, i, value):
    return (*values[:i], value, *values[i + 1 :])


def access(state, i, word, *, writes, plain):
    """CPU i uses a word: raced, if another did that this does not come after, one of them writing and one plainly."""
    known = state.cpus[i].known
    events = dict(state.events)
    for (at, j, wrote, was_plain), number in events.items():
        if at == word and j != i and (writes or wrote) and (plain or was_plain) and number > known.clock[j]:
            state = state._replace(raced=True)
    clock = put(known.clock, i, known.clock[i] + 1)
    events[word, i, writes, plain] = clock[i]
    state = state._replace(events=tuple(sorted(events.items())))
    return changed(state, i, known=known._replace(clock=clock))


def read(state, i, word, n, order):
    """CPU i reads message n of a word. order: acquire, relaxed, or none."""
    cpu, message = state.cpus[i], state.memory[word][n]
    known = cpu.known._replace(view=put(cpu.known.view, word, n))
    if order == "acquire":
        known = both(known, message.carries)
    given = both(cpu.given, message.carries) if order == "relaxed" else cpu.given
    return changed(state, i, known=known, given=given)


def write(state, i, word, value, order, *, continues=False):
    """CPU i adds a message. continues: what it has read, which is the newest, is still carried."""
    cpu, messages = state.cpus[i], state.memory[word]
    nothing = Known(NOWHERE, (0,) * len(state.cpus))
    view = put(cpu.known.view, word, len(messages))
    carries = {"release": cpu.known._replace(view=view), "relaxed": cpu.fenced, "plain": nothing}[order]
    if continues:
        carries = both(carries, messages[-1].carries)
    state = state._replace(memory=put(state.memory, word, (*messages, Message(value, carries))))
    return changed(state, i, known=cpu.known._replace(view=view))


def fence(state, i):
    cpu = state.cpus[i]
    known = both(cpu.known, cpu.given)
    view = most(known.view, state.fences)
    known = known._replace(view=view)
    return changed(state._replace(fences=view), i, known=known, fenced=known)


def readable(state, i, word):
    """The messages that a CPU may read, the newest first: numbers, and values."""
    first = state.cpus[i].known.view[word]
    return [(n, message.value) for n, message in reversed([*enumerate(state.memory[word])]) if n >= first]


def given_up(state, i, word, *, is_newest):
    """CPU i has looked at a word in vain, and then a message of X says that it need not look again."""
    for n, told in readable(state, i, X):
        if told != 0:
            then = access(access(state, i, word, writes=False, plain=False), i, X, writes=False, plain=False)
            yield is_newest and n == len(state.memory[X]) - 1, answered(read(then, i, X, n, "acquire"), i, seen=0)


STORES = {"store": "release", "tell": "release", "store relaxed": "relaxed", "reset": "relaxed", "write": "plain"}


def steps(program, state, i):
    """What a CPU may do next: whether it has read the newest message, and the state after it."""
    cpu = state.cpus[i]
    name, *values = program[i][cpu.at]
    word, value, other = (*values, 0, 0, 0)[:3]
    newest = len(state.memory[word]) - 1
    here = state.memory[word][newest].value

    def does(*, writes, plain=False):
        return access(state, i, word, writes=writes, plain=plain)

    def changes(to, seen, *, gives=True, takes=True):
        """The newest message is read, and another put behind it."""
        then = read(does(writes=True), i, word, newest, "acquire" if takes else "none")
        return True, answered(write(then, i, word, to, "release" if gives else "relaxed", continues=True), i, seen=seen)

    def sees(n, order, seen):
        return n == newest, answered(read(does(writes=False), i, word, n, order), i, seen=seen)

    if name == "read":
        yield True, answered(read(does(writes=False, plain=True), i, word, newest, "none"), i, seen=here)
    elif name in STORES:
        value = cpu.seen if name == "tell" else value
        then = does(writes=True, plain=name in PLAIN)
        yield True, answered(write(then, i, word, value, STORES[name]), i)
    elif name in ("load", "load relaxed"):
        for n, there in readable(state, i, word):
            yield sees(n, "acquire" if name == "load" else "relaxed", there)
    elif name in WAITS:
        for n, there in readable(state, i, word):
            if (there == value) == (name in ("wait", "wait unless")):
                is_newest, then = sees(n, "acquire", 1 if "unless" in name else None)
                yield is_newest, access(then, i, X, writes=False, plain=False) if "unless" in name else then
            elif "unless" in name:
                yield from given_up(state, i, word, is_newest=n == newest)
    elif name == "forget":
        yield True, changed(state, i, at=cpu.at + 1, seen=0, answers=(0,) * (len(cpu.answers) + 1))
    elif name == "fence":
        yield True, answered(fence(state, i), i)
    elif name == "exchange":
        yield changes(value, here)
    elif name == "add":
        yield changes(here + value, here)
    elif name == "cmpxchg":
        if here == value:
            yield changes(other, here)
        yield from (sees(n, "acquire", there) for n, there in readable(state, i, word) if there != value)
    elif name == "up":
        yield changes(here + 1, None, takes=False)
    elif name in ("down", "try down", "down unless"):
        if here & LOW:
            is_newest, then = changes(here - 1, None if name == "down" else 1, gives=False)
            yield is_newest, access(then, i, X, writes=False, plain=False) if "unless" in name else then
        for n, there in readable(state, i, word):
            if there & LOW == 0 and name == "try down":
                yield sees(n, "none", 0)
            if there & LOW == 0 and name == "down unless":
                yield from given_up(state, i, word, is_newest=n == newest)
    elif name in ("lock", "try lock"):
        if here & LOW == 0:
            yield changes(here + 1 + i, 1, gives=False)
        if name == "try lock":
            yield from (sees(n, "none", 0) for n, there in readable(state, i, word) if there & LOW)
    elif name == "unlock":
        yield changes(here - (here & LOW), None, takes=False)
    elif name == "sleep":
        state = fence(state, i)
        for n, there in readable(state, i, word):
            if there & LOW != value & LOW:
                yield sees(n, "relaxed", None)
            else:
                then = read(does(writes=False), i, word, n, "relaxed")
                yield n == newest, changed(then._replace(sleepers=(*then.sleepers, (word, i))), i, asleep=True)
    else:
        assert name == "wake", name
        asleep = [one for one in state.sleepers if one[0] == word]
        for woken in combinations(asleep, min(max(value, 1), len(asleep))):
            then = fence(state, i)
            then = then._replace(sleepers=tuple(one for one in state.sleepers if one not in woken))
            for _, sleeper in woken:
                then = answered(then, sleeper, asleep=False)
            yield True, answered(then, i)


def ends_of(program, first=()):
    """Every end of a program. A deadlock: nobody can do anything, when every message has become visible. It is not gone on
    from, though somebody who still reads an old message might.
    """
    nothing = Known(NOWHERE, (0,) * len(program))
    words = (*first, *[0] * (NR_WORDS - len(first)))
    start = State(tuple((Message(value, nothing),) for value in words), tuple(Cpu(nothing, nothing, nothing) for _ in program))
    for i in range(len(program)):
        start = jumped(program, start, i)
    known, left = {start}, [start]
    found = Ends(set(), False, False)
    while left:
        state = left.pop()
        after, stuck = [], True
        for i, cpu in enumerate(state.cpus):
            if cpu.at < len(program[i]) and not cpu.asleep:
                for is_newest, done in steps(program, state, i):
                    stuck = stuck and not is_newest
                    for j in range(len(program)):
                        done = jumped(program, done, j)
                    after.append(done)
        if state.raced or races(program, state):
            found = found._replace(race=True)
        if all(cpu.at >= len(own) for cpu, own in zip(state.cpus, program, strict=True)):
            found.ends.add((tuple(cpu.answers for cpu in state.cpus), state.words))
        elif stuck:
            found, after = found._replace(deadlock=True), []
        fresh = [one for one in after if one not in known]
        known.update(fresh)
        left.extend(fresh)
    return found
