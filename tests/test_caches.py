"""What a cache may never do: serve machine code that these sources, settings and values would not give now."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from numba.core.registry import cpu_target

import shmkret
from shmkret.errors import PluginError
from shmkret.kernel import program
from shmkret.machines import compiled as compiling
from shmkret.machines import control, plain
from shmkret.machines.compiled import cache, loop, trust
from shmkret.measure import doctor
from shmkret.measure.cell import Cell
from shmkret.measure.subjects.kretprobes import Prepared
from shmkret.plugins import registry, sources
from shmkret.text import atomics
from shmkret.text import verbs as text

pytestmark = pytest.mark.full

REPOSITORY = Path(__file__).parent.parent
QUICK = ["--scheme", "hashed", "--cpus", "1", "--seconds", "0.05", "--repeat", "3", "--seed", "1"]


def bench(folder, *options, **settings):
    """`shmkret bench` in a process of its own, in `folder`; the completed process, and its cell where it has one."""
    cache = folder / "cache"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "SHMKRET_CACHE_DIR": str(cache)}
    # Python's own cache looks at whole seconds and sizes.
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", **settings}
    out = folder / f"out-{len(list(folder.iterdir()))}"
    command = [sys.executable, "-m", "shmkret", "bench", *QUICK, *options, "--out", str(out)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=110)
    (cell,) = json.loads((out / "results.json").read_text())["cells"] if out.is_dir() else ({},)
    return done, cell


def compiled(folder):
    return set((folder / "cache").rglob("*.nbc"))


# Numba's settings.


def test_code_that_was_compiled_with_other_settings_is_not_served(tmp_path):
    _, slow = bench(tmp_path, "--worker", "hot", "--lock", "ttas", NUMBA_OPT="0")
    first = compiled(tmp_path)
    _, normal = bench(tmp_path, "--worker", "hot", "--lock", "ttas")

    assert compiled(tmp_path) > first != set()
    assert any("NUMBA_OPT=0" in reason for reason in slow["reasons"])
    assert not any("NUMBA" in reason for reason in normal["reasons"])


@pytest.mark.parametrize(
    ("name", "value"), [("OPT", 0), ("BOUNDSCHECK", 1), ("DEBUGINFO_DEFAULT", 1), ("LOOP_VECTORIZE", 0), ("SLP_VECTORIZE", 1)]
)
def test_every_setting_has_a_folder_of_its_own_and_raises_a_doubt(name, value, monkeypatch):
    usual = compiling.cache_folder(())
    monkeypatch.setattr(numba.config, name, value)

    assert compiling.cache_folder(()) != usual
    assert f"NUMBA_{name.removesuffix('_DEFAULT')}={value}" in doctor._settings().words
    assert doctor._settings().state == doctor.DOUBT


def test_another_cpu_has_a_folder_of_its_own(monkeypatch):
    usual = compiling.cache_folder(())
    codegen = type(cpu_target.target_context.codegen())
    monkeypatch.setattr(codegen, "magic_tuple", lambda self: ("x86_64-unknown-linux-gnu", "k8", "+sse2"))

    assert compiling.cache_folder(()) != usual


def test_the_number_of_threads_that_numba_may_use_makes_no_other_code(monkeypatch):
    usual = compiling.cache_folder(())
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 99)

    assert compiling.cache_folder(()) == usual


def test_settings_that_numba_does_not_start_with_are_said_in_a_sentence(tmp_path):
    done, _ = bench(tmp_path, "--worker", "hot", "--lock", "ttas", NUMBA_NUM_THREADS="0")

    assert done.returncode == 3
    assert "Numba cannot be used: Number of threads specified must be > 0" in done.stderr
    assert "Traceback" not in done.stderr


def test_numba_is_left_as_it_was_for_the_users_own_functions(tmp_path, monkeypatch):
    """Its folder would be ours, whoever decorates a function with cache=True afterwards."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", "theirs")
    monkeypatch.setattr(numba.config, "CACHE_LOCATOR_CLASSES", "InTreeCacheLocator")
    compiling.helpers_of(tmp_path).prepare(function.__name__ for function in compiling.CALLED)

    assert numba.config.CACHE_DIR == "theirs"
    assert "get_executable" not in vars(cpu_target.target_context)
    assert len(list(tmp_path.rglob("*.nbc"))) == len(list(tmp_path.iterdir())) == len(compiling.CALLED)


def test_of_the_small_functions_only_what_is_asked_for_is_compiled(tmp_path):
    """All of them together are a second of every first cell."""
    machine = plain.PlainMachine(tmp_path)
    machine.prepare(*control.ACCESSES)

    assert {path.name for path in tmp_path.iterdir()} == set(control.ACCESSES)
    machine.prepare()
    assert {path.name for path in tmp_path.iterdir()} == {function.__name__ for function in compiling.CALLED}


def test_what_forked_workers_call_is_compiled_before_they_are_forked(monkeypatch, tmp_path):
    """Each would compile it again for itself, and two at once would read what the other has half written."""
    plain.PlainMachine(tmp_path).prepare()
    monkeypatch.setattr("shmkret.machines.compiled.helpers.compile_function", lambda text, *_: pytest.fail(text.__name__))
    machine, words = plain.PlainMachine(tmp_path), plain.PlainWords(np.zeros(1, np.int64))

    machine.store_release(words, 0, 3)
    assert machine.load_acquire(words, 0) == machine.load_relaxed(words, 0) == 3
    assert machine.libc("sem_trywait", words.at(0))


def test_two_threads_that_compile_do_not_see_each_others_changes_of_numba(tmp_path):
    """The patch of one that ends would be taken from under the other, whose loop then has no executable of its own."""
    found = []

    def compile_them(number):
        found.append(compiling.helpers_of(tmp_path / str(number))["clock_pair"](0))

    threads = [threading.Thread(target=compile_them, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 3
    assert min(found) >= 0


# Plug-ins: what a file imports, and what its functions refer to.

WORKER = """
{imports}
from shmkret.kernel import call_and_return

def nr_probes(nr_cpus):
    return 1

def step(worker, k, cpu, task, n):
    call_and_return(k, cpu, task, 0, n)
    k.cpus.hits[cpu] += {extra}
"""
LYING = "calls, but"


def written(folder, *files):
    for name, words in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(words)


def digest_of(folder, *files, **settings):
    """Of the worker own.py, in a process of its own: it names the folder of its machine code."""
    written(folder, *files)
    path = f"{REPOSITORY}:{folder}:{folder / 'site-packages'}"
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **settings}
    script = (
        "from shmkret.kernel.program import WORKER; from shmkret.plugins import find; print(find(WORKER, './own.py').digest)"
    )
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=True
    ).stdout


CHAIN = WORKER.format(imports="from mid import extra", extra="extra(n)")
MID = "from shmkret.text import inline\nimport deep\n\n@inline\ndef extra(n):\n    return {}\n"


@pytest.mark.parametrize(
    ("returns", "deep"),
    [
        ("deep.N", "N = {}\n"),
        ("deep.NUMBERS[1]", "import numpy as np\nNUMBERS = np.array([0, {}])\n"),
        ("N", "N = {}\n"),
        ("deep.ONE.n", "class C:\n    n = {}\nONE = C()\n"),
    ],
    ids=["module", "array", "name", "object"],
)
def test_an_edit_two_imports_away_makes_another_digest(returns, deep, tmp_path):
    mid = MID.format(returns)
    mid = mid.replace("import deep", "from deep import N") if returns == "N" else mid
    first = digest_of(tmp_path, ("own.py", CHAIN), ("mid.py", mid), ("deep.py", deep.format(0)))

    assert digest_of(tmp_path) == first != digest_of(tmp_path, ("deep.py", deep.format(3)))


def test_an_edit_two_imports_away_takes_effect_at_the_next_run(tmp_path):
    """From the edit to the verdict: the digest is what the machine code is found by."""
    written(tmp_path, ("own.py", CHAIN), ("mid.py", MID.format("deep.N")), ("deep.py", "N = 0\n"))
    options = {"PYTHONPATH": f"{REPOSITORY}:{tmp_path}"}
    first, _ = bench(tmp_path, "--worker", "./own.py", "--lock", "ttas", **options)
    written(tmp_path, ("deep.py", "N = 3\n"))
    lying, _ = bench(tmp_path, "--worker", "./own.py", "--lock", "ttas", **options)

    assert (first.returncode, lying.returncode) == (0, 1)
    assert LYING in lying.stdout


def test_an_edit_of_an_installed_module_makes_another_digest(tmp_path):
    mid = MID.replace("import deep", "")
    first = digest_of(tmp_path, ("own.py", CHAIN), ("site-packages/mid.py", mid.format("0")))

    assert first != digest_of(tmp_path, ("site-packages/mid.py", mid.format("3")))


def test_what_lies_below_pythons_own_folder_is_pythons_own_unless_it_was_installed_there(beside, monkeypatch):
    monkeypatch.setattr(sources, "_PYTHON", {beside})
    monkeypatch.syspath_prepend(str(beside / "site-packages"))
    written(beside, ("own.py", WORKER.format(imports="import mid, deep, json", extra="0")))
    written(beside, ("site-packages/mid.py", ""), ("deep.py", ""))
    found = registry.find(program.WORKER, str(beside / "own.py"))

    assert [module.__name__ for module in sources.imported(found.module) if module.__name__ in ("mid", "deep")] == ["mid"]


COMPUTED = "import json, numpy as np\nN = np.int64(json.load(open('number.json')))\n"
IMPORTED = "from shmkret.text import inline\n@inline\ndef extra(n):\n    return {}\n"


@pytest.mark.parametrize(
    ("own", "mid"),
    [
        (WORKER.format(imports=COMPUTED, extra="N"), ""),
        (WORKER.format(imports=f"{COMPUTED}TABLE = {{'a': [N]}}", extra="TABLE['a'][0]"), ""),
        (WORKER.format(imports=f"{COMPUTED}class C:\n    M = N\ndel N", extra="C.M"), ""),
        (
            WORKER.format(imports=f"{COMPUTED}def made(M):\n    return lambda n: M\nextra = made(N)\ndel N", extra="extra(n)"),
            "",
        ),
        (WORKER.format(imports=f"{COMPUTED}def extra(n, M=N):\n    return M\ndel N", extra="extra(n)"), ""),
        (CHAIN, COMPUTED + IMPORTED.format("N")),
        (CHAIN, COMPUTED + "NUMBERS = np.array([N])\n" + IMPORTED.format("NUMBERS[0]")),
        (WORKER.format(imports="import mid", extra="mid.N"), COMPUTED),
    ],
    ids=["own", "table", "class", "closure", "default", "callee", "array", "attribute"],
)
def test_a_constant_that_was_computed_makes_another_digest(own, mid, tmp_path):
    first = digest_of(tmp_path, ("own.py", own), ("mid.py", mid), ("number.json", "0"))

    assert digest_of(tmp_path) == first != digest_of(tmp_path, ("number.json", "3"))


HANDLERS = """
from shmkret.kernel import Kretprobe
from shmkret.kernel import call_and_return

def probes(nr_cpus):
    from mid import handler
    return [Kretprobe(0, handler)]

def step(worker, k, cpu, task, n):
    call_and_return(k, cpu, task, 0, n)
"""
HANDLER = "import numpy as np\nN = np.int64(0)\ndef handler(k, cpu, task, ri):\n    k.cpus.irqs[cpu] += N\n"


def test_what_a_handler_refers_to_names_the_code_wherever_probes_took_it_from(beside):
    (beside / "mid.py").write_text(HANDLER)
    own = beside / "own.py"
    own.write_text(HANDLERS)

    def digest():
        return Prepared(Cell(str(own), "hashed", "ttas", "x86-64", "cacheline", 1), seed=1).build.digest

    first = digest()
    sys.modules["mid"].N += 3
    assert first != digest()
    sys.modules["mid"].N -= 3
    assert first == digest()


def test_the_digest_of_a_plugin_is_the_same_in_every_process(tmp_path):
    """Sets have another order, and objects another place, in each."""
    deep = "NAMES = {'a', 'b', 'c', 'd'}\nODD = object()\nTABLE = {('a', frozenset('pqr')): {'x', 'y', 'z'}}\n"
    imports = "import numpy as np\nimport deep\nfrom deep import NAMES, ODD, TABLE\nimport enum\nE = enum.Enum('E', 'A B')"
    extra = "(n in {'v', 'w'}) + len(NAMES) + len(TABLE) + (ODD is E.A)"
    written(tmp_path, ("own.py", WORKER.format(imports=imports, extra=extra)), ("deep.py", deep))

    assert len({digest_of(tmp_path, PYTHONHASHSEED=str(seed)) for seed in range(4)}) == 1


def test_modules_that_import_each_other_and_themselves_are_followed_once(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "ring_a.py").write_text(
        "import ring_b\nimport ring_a\nN = 1\ndef f(n):\n    return ring_b.ring_a.N + ring_b.f(n)\n"
    )
    (tmp_path / "ring_b.py").write_text("import ring_a\ndef f(n):\n    return ring_a.ring_b.f(n)\n")
    (tmp_path / "own.py").write_text(WORKER.format(imports="import ring_a", extra="ring_a.f(n)"))
    found = registry.find(program.WORKER, str(tmp_path / "own.py"))

    assert {module.__name__ for module in sources.imported(found.module)} == {"ring_a", "ring_b"}


# An edit between two runs in one process.


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """Modules beside the plug-in can be imported, and are forgotten again."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in ("mid", "deep"):
        sys.modules.pop(name, None)


def verdict(worker, plain=True):
    result = shmkret.run(worker, lock="ttas", cpus=1, seconds=0.02, repeat=1, plain=plain)
    return "lies" if any(LYING in reason for reason in result.reasons) else "holds"


@pytest.mark.parametrize("plain", [False, True])
def test_an_edit_of_a_plugin_between_two_runs_in_a_process_takes_effect(plain, beside):
    own = beside / "own.py"
    found = []
    for extra in ("0", "3", "0"):
        own.write_text(WORKER.format(imports="", extra=extra))
        found.append(verdict(own, plain=plain))

    assert found == ["holds", "lies", "holds"]


@pytest.mark.parametrize(("imports", "returns"), [("import deep", "deep.N"), ("from deep import N", "N")])
def test_an_edit_of_what_a_plugin_imports_takes_effect_in_every_plugin_that_imports_it(imports, returns, beside):
    for name in ("first.py", "second.py"):
        (beside / name).write_text(CHAIN)
    (beside / "mid.py").write_text(MID.format(returns).replace("import deep", imports))
    found = []
    for n in (0, 3, 0):
        (beside / "deep.py").write_text(f"N = {n}\n")
        found += [verdict(beside / "first.py"), verdict(beside / "second.py")]

    assert found == ["holds", "holds", "lies", "lies", "holds", "holds"]


def test_a_plugin_that_imports_what_was_edited_before_it_was_loaded_gets_the_edit(beside):
    (beside / "mid.py").write_text(MID.format("0").replace("import deep", ""))
    (beside / "first.py").write_text(CHAIN)
    (beside / "second.py").write_text(CHAIN)
    before = verdict(beside / "first.py")
    (beside / "mid.py").write_text(MID.format("3").replace("import deep", ""))

    assert (before, verdict(beside / "second.py")) == ("holds", "lies")


def test_what_was_not_edited_is_not_loaded_again(beside):
    (beside / "mid.py").write_text(MID.format("0").replace("import deep", ""))
    own = beside / "own.py"
    own.write_text(CHAIN)

    assert registry.find(program.WORKER, str(own)) is registry.find(program.WORKER, str(own))


def test_who_holds_the_old_edition_goes_on_with_it(beside):
    own = beside / "own.py"
    own.write_text(WORKER.format(imports="", extra="0"))
    old = registry.find(program.WORKER, str(own))
    own.write_text(WORKER.format(imports="", extra="3"))
    new = registry.find(program.WORKER, str(own))

    assert text.implementation(old.record, program.step) is old.module.step is not new.module.step
    assert old.digest != new.digest


def test_an_edit_that_does_not_compile_is_reported_and_the_next_one_taken(beside):
    own = beside / "own.py"
    own.write_text(CHAIN)
    (beside / "mid.py").write_text(MID.format("0").replace("import deep", ""))
    first = verdict(own)
    (beside / "mid.py").write_text("def extra(:\n")
    with pytest.raises(PluginError, match="SyntaxError"):
        registry.find(program.WORKER, str(own))
    (beside / "mid.py").write_text(MID.format("3").replace("import deep", ""))

    assert (first, verdict(own)) == ("holds", "lies")


# A plug-in while it is imported.


def test_a_plugin_that_loops_while_it_is_imported_is_ended_and_blamed(tmp_path):
    """In a process of its own: pytest's time-out has the timer of this one."""
    (tmp_path / "own.py").write_text("x = 1\nwhile True:\n    x += 1\n")
    face = "from shmkret.cli import main as cli\n"
    script = f"import sys\nfrom shmkret.plugins import registry\n{face}registry.IMPORT_PATIENCE_S = 0.2\nsys.exit(cli.main())"
    command = [sys.executable, "-c", script, "bench", "--worker", "./own.py"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 2
    assert "importing it takes longer than 0.2 s" in done.stderr
    assert "own.py:2" in done.stderr or "own.py:3" in done.stderr


def test_what_a_plugin_prints_while_it_is_imported_are_words(tmp_path, capsys):
    (tmp_path / "own.py").write_text(WORKER.format(imports="print('imported')", extra="0"))
    registry.find(program.WORKER, str(tmp_path / "own.py"))

    assert capsys.readouterr() == ("", "imported\n")


def test_what_a_plugin_prints_is_no_part_of_the_result(tmp_path):
    own = WORKER.format(imports="print('imported')", extra="0").replace("return 1", "print('asked'); return 1")
    (tmp_path / "own.py").write_text(own.replace("    call_and", "    if n == 2000:\n        print('called')\n    call_and"))
    done, _ = bench(tmp_path, "--worker", "./own.py", "--lock", "ttas", "--json", "-")

    assert json.loads(done.stdout)["command"] == "bench"
    assert {"imported", "asked", "called"} <= set(done.stderr.split())


# Threads: what a process has one of.


def test_a_thread_that_wants_another_machine_waits_until_this_one_is_left():
    order = []
    begun = threading.Event()

    def other():
        begun.set()
        with atomics.use("two"):
            order.append(atomics.machine())

    thread = threading.Thread(target=other)
    with atomics.use("one"):
        thread.start()
        begun.wait()
        for _ in range(10_000):
            os.sched_yield()
        with atomics.use("one, again"):
            order.append(atomics.machine())
        order.append(atomics.machine())
    thread.join()

    assert order == ["one, again", "one", "two"]


def in_a_process(script):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


FORK = """
import os, threading
from shmkret.text import atomics

within, leave = threading.Event(), threading.Event()

def other():
    with atomics.use("theirs"):
        within.set()
        leave.wait()

thread = threading.Thread(target=other)
thread.start()
within.wait()
pid = os.fork()
if pid == 0:
    with atomics.use("ours"):
        os._exit(0)
leave.set()
thread.join()
print(os.waitpid(pid, 0)[1])
"""


def test_a_child_does_not_wait_for_a_thread_that_it_does_not_have():
    assert in_a_process(FORK).stdout == "0\n"


RUN = """
import threading
import shmkret
from shmkret.measure import bench

found, inside, most = [], [], []

def watched(*arguments, run=bench._run):
    inside.append(1)
    most.append(len(inside))
    measured = run(*arguments)
    inside.pop()
    return measured

def measure(lock, plain):
    for _ in range(3):
        result = shmkret.run("hot", lock=lock, plain=plain, seconds=0.02, repeat=1)
        found.append((result.median is not None, "oracle" in str(result.reasons), "audit" in str(result.reasons)))

bench._run = watched
choices = (("sem", True), ("sem-named", True), ("pthread", False))
threads = [threading.Thread(target=measure, args=choice) for choice in choices]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(found == 9 * [(True, False, False)], max(most))
"""


def test_threads_that_measure_do_not_disturb_each_other():
    done = in_a_process(RUN)

    assert (done.stdout, done.stderr) == ("True 1\n", "")


# Two that want the same.


def test_two_processes_compile_the_same_once(tmp_path, monkeypatch):
    """The second waits for the first; not for ever, and not where no lock can be had."""
    folder = tmp_path / "loop"
    ready, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with cache.alone(folder):
                os.write(ready[1], b"1")
                os.read(go[0], 1)
                folder.mkdir()
        finally:
            os._exit(0)
    os.read(ready[0], 1)
    monkeypatch.setattr(cache, "PATIENCE_S", 0.1)
    with cache.alone(folder):
        assert not folder.exists()
    monkeypatch.setattr(cache, "PATIENCE_S", 60.0)
    threading.Timer(0.1, os.write, (go[1], b"1")).start()
    with cache.alone(folder):
        assert folder.exists()
    assert os.waitpid(pid, 0)[1] == 0
    assert list(tmp_path.iterdir()) == [folder]

    with cache.alone(tmp_path / "no such folder" / "loop"):
        pass
    for end in (*ready, *go):
        os.close(end)


def test_a_loop_is_compiled_alone(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(loop, "alone", lambda folder: asked.append(folder) or contextlib.nullcontext())

    loop.compile_to(lambda a: a, numba.int64(numba.int64), tmp_path / "loop")
    loop.compile_to(lambda a: a, numba.int64(numba.int64), None)

    assert asked == [tmp_path / "loop"]


# What others may have put there.


def test_a_cache_that_others_may_write_is_not_used_and_that_is_said(tmp_path, monkeypatch, capsys):
    """What lies there is run."""
    above, root = tmp_path / "above", tmp_path / "above" / "cache"
    root.mkdir(parents=True)
    monkeypatch.setenv("SHMKRET_CACHE_DIR", str(root))
    assert cache.cache_folder(()).parent == root
    own = cache.cache_folder(())
    for path, mode, is_used in (
        (root, 0o777, False), (root, 0o1777, True), (above, 0o777, False), (above, 0o1777, True), (own, 0o777, False),
    ):  # fmt: skip
        before = path.stat().st_mode
        path.chmod(mode)
        assert bool(cache.cache_folder(())) == is_used, (path, oct(mode))
        path.chmod(before)
    said = capsys.readouterr().err.splitlines()
    assert f"shmkret: the cache {root} is not used, and all is compiled anew: {above} may be written by others" in said
    assert len(said) == 3

    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    assert cache.cache_folder(()) is None
    assert f"{cache._folder_of(root, b'')}".rpartition("/")[0] in capsys.readouterr().err


@pytest.mark.parametrize(("gid", "members", "is_ours"), [(0, [], True), (77, [], True), (77, ["eve"], False), (78, [], False)])
def test_a_group_of_us_alone_is_nobody_else(gid, members, is_ours, tmp_path, monkeypatch):
    groups = {0: "root", 77: "me", 78: "staff"}
    monkeypatch.setattr(trust.grp, "getgrgid", lambda gid: SimpleNamespace(gr_name=groups[gid], gr_mem=members))
    monkeypatch.setattr(trust.pwd, "getpwuid", lambda uid: SimpleNamespace(pw_name="me"))

    assert trust._is_own_group(gid) == is_ours
