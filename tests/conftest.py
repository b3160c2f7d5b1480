"""What every test gets: a compile cache and a folder for arenas of the session's own, and a look at what it left behind."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Before anything of shmkret is imported, and for our children too: other sessions' arenas are not ours to see, nor ours theirs.
os.environ["SHMKRET_SHM_DIR"] = tempfile.mkdtemp(prefix=f"shmkret-tests-{os.getpid()}-", dir="/dev/shm")

import psutil
import pytest
from hypothesis import settings

from shmkret import pytest_plugin

REPOSITORY = Path(__file__).parent.parent
OWN_SHM = Path(os.environ["SHMKRET_SHM_DIR"])

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


def pytest_unconfigure() -> None:
    """Our folder goes, and with it those of sessions that were killed."""
    for folder in OWN_SHM.parent.glob("shmkret-tests-*-*"):
        pid = int(folder.name.split("-")[2])
        if folder == OWN_SHM or not psutil.pid_exists(pid):
            shutil.rmtree(folder, ignore_errors=True)


def left_behind() -> set[str]:
    """Whatever lies in our folder of /dev/shm, whoever made it; our semaphores and child processes."""
    return {str(path) for path in OWN_SHM.iterdir()} | pytest_plugin.left_behind()


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    before = left_behind()
    yield
    assert left_behind() <= before
