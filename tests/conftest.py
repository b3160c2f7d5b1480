"""What every test gets: a compile cache of the session's own, and a look at what it left behind."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import psutil
import pytest
from hypothesis import settings

# No upper time bounds: the first call of a compiled function compiles it.
settings.register_profile("shmkret", deadline=None, print_blob=True)
settings.load_profile("shmkret")

# A script's background jobs inherit SIGINT ignored, and what is ignored stays so in our children.
signal.signal(signal.SIGINT, signal.default_int_handler)

TWO_CORES = len(os.sched_getaffinity(0)) >= 2
needs_two_cores = pytest.mark.skipif(not TWO_CORES, reason="two CPUs need two cores; this process may use one")


@pytest.fixture(scope="session", autouse=True)
def compile_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for the session: loops are compiled once, and the user's own cache is not touched."""
    os.environ["SHMKRET_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield
    del os.environ["SHMKRET_CACHE_DIR"]


def left_behind() -> set[str]:
    """Our segments and semaphores in /dev/shm, and our child processes."""
    names = {path.name for path in Path("/dev/shm").iterdir() if "shmkret" in path.name}
    return names | {f"process {child.pid} {child.name()}" for child in psutil.Process().children(recursive=True)}


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    before = left_behind()
    yield
    assert left_behind() <= before
