"""Programs for tests.programs, drawn at random: a few steps on two to four CPUs, of a few kinds at a time."""

from .programs import MUTEX, NR_CPUS, ROBUST, W, X, Y, Z

OF_WORDS = ("load", "store", "exchange", "add", "cmpxchg")
KINDS = (
    (0.7, ("wait", "wait not", "wait", "wait not")),
    (0.3, ("down", "up", "try down", "down", "up")),
    (0.3, ("lock", "take", "try lock")),
)
MORE_KINDS = (
    (0.25, ("wait unless", "wait not unless", "down unless", "lock unless")),
    (0.3, ("sleep", "wake", "sleep", "wake")),
    (0.2, ("take robust", "try robust")),
    (0.05, ("read", "write")),
)
MOST = {2: 4, 3: 3, 4: 2}
TAKES = {"take": ("lock", "unlock", MUTEX), "take robust": ("robust", "unlock robust", ROBUST)}


def steps_of(random, pool, words):
    """One of a kind of the pool, or the few that belong together."""
    name, word, value = random.choice(pool), random.choice(words), random.randint(0, 2)
    if name in TAKES:
        take, leave, mutex = TAKES[name]
        inside = [("load", word)] if random.random() < 0.5 else []
        return [(take, mutex), *inside, *([(leave, mutex)] if random.random() < 0.8 else [])]
    if "lock" in name:
        return [(name, MUTEX)]
    if name == "try robust":
        return [(name, ROBUST)]
    if name in ("load", "read", "down", "up", "try down", "down unless"):
        return [(name, word)]
    if name == "cmpxchg":
        return [(name, word, value, random.choice((1, 2)))]
    if name in ("store", "exchange", "add", "write"):
        return [(name, word, random.choice((1, 1, 2, 0)))]
    if name in ("sleep", "wake"):
        return [(name, word, random.choice((0, 0, 1) if name == "sleep" else (1, 1, 2)))]
    return [(name, word, value)]


def drawn(random, kinds):
    """A program, and what its words are at first."""
    nr_cpus = random.choice((2, 2, 3, 3, 4))
    words = random.choice(((X,), (X, Y), (X, Y), (Y, Z), (X, Y, Z)))
    pool = [*OF_WORDS, *(name for chance, names in kinds if random.random() < chance for name in names)]
    program = []
    for _ in range(nr_cpus):
        own, length = [], random.randint(1, MOST[nr_cpus])
        while len(own) < length:
            own += steps_of(random, pool, words)
        program.append(own)
    return program, tuple(random.choice((0, 0, 1)) for _ in range(3))


def drawn_with_deaths(random):
    """The arguments of a search, with deaths and sleeps that end for no reason, or without."""
    program, first = drawn(random, KINDS + MORE_KINDS)
    asked = {"program": program, "first": first}
    if random.random() < 0.5:
        asked |= {"mortal": [cpu for cpu in range(len(program)) if random.random() < 0.6], "deaths": random.choice((1, 1, 2))}
        told = [[("store", X, 1)], [("add", W, 1)], [("exchange", Y, 1)], [("load", X)], [("wake", X, 1)]]
        asked["announcements"] = [random.choice(told) for _ in range(NR_CPUS)] if random.random() < 0.7 else ()
    if random.random() < 0.5:
        asked["reasonless"] = random.choice((1, 1, 2))
    return asked
