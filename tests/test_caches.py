"""What a cache may never do: serve machine code that these sources, settings and values would not give now."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shmkret import compile as compiling
from shmkret.measure import doctor

REPOSITORY = Path(__file__).parent.parent
QUICK = ["--scheme", "hashed", "--cpus", "1", "--seconds", "0.05", "--repeat", "3", "--seed", "1"]


def bench(folder, *options, **settings):
    """`shmkret bench` in a process of its own, in `folder`; the completed process, and its cell where it has one."""
    cache = folder / "cache"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "SHMKRET_CACHE_DIR": str(cache), **settings}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # Python's own cache looks at whole seconds and sizes
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
    monkeypatch.setattr(compiling.numba.config, name, value)

    assert compiling.cache_folder(()) != usual
    assert f"NUMBA_{name.removesuffix('_DEFAULT')}={value}" in doctor._settings().words
    assert doctor._settings().state == doctor.DOUBT


def test_another_cpu_has_a_folder_of_its_own(monkeypatch):
    usual = compiling.cache_folder(())
    codegen = type(compiling.cpu_target.target_context.codegen())
    monkeypatch.setattr(codegen, "magic_tuple", lambda self: ("x86_64-unknown-linux-gnu", "k8", "+sse2"))

    assert compiling.cache_folder(()) != usual


def test_the_number_of_threads_that_numba_may_use_makes_no_other_code(monkeypatch):
    usual = compiling.cache_folder(())
    monkeypatch.setattr(compiling.numba.config, "NUMBA_NUM_THREADS", 99)

    assert compiling.cache_folder(()) == usual


def test_settings_that_numba_does_not_start_with_are_said_in_a_sentence(tmp_path):
    done, _ = bench(tmp_path, "--worker", "hot", "--lock", "ttas", NUMBA_NUM_THREADS="0")

    assert done.returncode == 3
    assert "Numba cannot be used: Number of threads specified must be > 0" in done.stderr
    assert "Traceback" not in done.stderr


def test_numba_is_left_as_it_was_for_the_users_own_functions(tmp_path, monkeypatch):
    """Its folder would be ours, whoever decorates a function with cache=True afterwards."""
    monkeypatch.setattr(compiling.numba.config, "CACHE_DIR", "theirs")
    monkeypatch.setattr(compiling.numba.config, "CACHE_LOCATOR_CLASSES", "InTreeCacheLocator")
    compiling.compile_helpers(tmp_path)

    assert compiling.numba.config.CACHE_DIR == "theirs"
    assert "get_executable" not in vars(compiling.cpu_target.target_context)
    assert len(list(tmp_path.rglob("*.nbc"))) == len(list(tmp_path.iterdir()))


def test_two_threads_that_compile_do_not_see_each_others_changes_of_numba(tmp_path):
    """The patch of one that ends would be taken from under the other, whose loop then has no executable of its own."""
    found = []

    def compile_them(number):
        found.append(compiling.compile_helpers(tmp_path / str(number))["clock_pair"](0))

    threads = [threading.Thread(target=compile_them, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 3
    assert min(found) >= 0
