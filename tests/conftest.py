"""What every test gets: a compile cache and a folder for arenas of the session's own, and a look at what it left behind."""

import ctypes
import gc
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
from shmkret.machines import compiled

from .apart import compile_apart

REPOSITORY = Path(__file__).parent.parent
OWN_SHM = Path(os.environ["SHMKRET_SHM_DIR"])

# No upper time bounds: the first call of a compiled function compiles it.
settings.register_profile("shmkret", deadline=None, print_blob=True)
settings.load_profile("shmkret")

# A script's background jobs inherit SIGINT ignored, nohup's SIGHUP; and what is ignored stays so in our children.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

FEW = {
    # Stressed: many deaths, or processes that must be compiled for one by one.
    "test_twenty_thousand_real_deaths_lose_nothing": 0,
    "test_whatever_happens_the_others_go_on": 0,
    "test_nth_is_every_store_in_turn_or_one": 0,
    "test_a_cpu_whose_handler_raises_is_recovered_like_a_dead_one": 0,
    "test_a_bucket_lock_stays_with_who_waits_inside_it_for_a_dead_cpu": 0,
    "test_all_cpus_at_once_while_they_register_and_take_away": 0,
    "test_one_may_not_be_stopped_for_ever_while_another_is_fenced": 0,
    "test_guests_come_die_and_are_recovered": 0,
    "test_who_watches_sees_kills_recoveries_times_and_calls": 0,
    "test_a_trial_whose_cpus_do_not_come_to_their_start_is_no_outcome": 0,
    "test_nothing_is_lost_when_a_cpu_dies_at_this_step_beside_another": 0,
    # A loop of its own is compiled for each case, or a search.
    "test_a_slip_is_seen_and_its_schedule_goes_wrong_again_and_no_other_process_has_it": 0,
    "test_a_worker_and_a_lock_of_the_users_run_by_path": 0,
    "test_a_lock_wait_is_timed_in_a_run_apart": 0,
    "test_named_semaphores_work_without_posix_ipc": 0,
    "test_a_pool_too_small_for_its_callers_is_missed_and_counted": 1,
    "test_a_queue_is_made_anew_whoever_of_it_has_died": 1,
    "test_a_cache_that_cannot_be_written_is_done_without": 0,
    "test_the_fixture_shows_the_lanes_of_a_users_lock_and_how_to_run_them_again": 0,
    "test_every_plot_is_there_as_svg_and_png": 0,
    "test_compiled_every_worker_loses_nothing": 0,
    "test_compiled_every_lock_loses_nothing": 0,
    "test_the_kernels_scenarios_compiled": 0,
    "test_ia64_addresses_put_all_tasks_into_one_bucket_and_lengthen_the_walk": 0,
    "test_a_plugin_that_a_page_shows_runs": 0,
    "test_a_program_that_a_page_shows_runs": 0,
    "test_a_file_that_the_documents_show_runs": 1,
    "test_the_example_prints_what_readme_shows": 0,
    "test_the_suite_that_a_page_shows_is_one": 0,
    "test_a_lock_of_then_runs": 0,
    "test_a_worker_of_then_compiles": 0,
    "test_a_worker_of_then_runs": 1,
    "test_an_edit_of_a_callee_takes_effect_at_the_next_run_and_no_edit_compiles_nothing": 0,
    "test_busted_is_withheld_and_a_sound_lock_beside_it_is_not": 0,
    "test_a_damaged_cache_heals": 0,
    "test_without_grace_periods_churn_is_caught": 0,
    "test_a_grace_period_ends_beside_a_cpu_that_only_calls": 0,
    "test_a_handler_that_raises_is_reported_with_its_line": 1,
    "test_the_seed_runs_out_of_instances_when_its_handler_refuses": 0,
    "test_sleepers_lengthen_the_walk_where_their_tasks_share_a_bucket": 0,
    "test_compiled_packed_loses_nothing": 0,
    "test_compiled_without_locks_nothing_is_lost": 0,
    "test_tasks_that_migrate_come_back_on_the_other_cpu": 0,
    "test_calls_without_an_instance_are_doubted": 0,
    "test_the_speed_of_a_timed_run_stands_beside_its_times": 0,
    "test_every_store_is_a_place_to_die": 1,
    "test_interrupts_come_and_are_counted": 0,
    "test_a_scenario_ends_by_traces_as_by_states": 0,
    "test_chains_of_hit_and_missed_calls_come_back_right": 0,
    "test_a_lock_of_an_installed_package_is_found_by_name": 0,
    "test_churn_waits_for_grace_periods_and_counts_what_they_cost": 0,
    "test_the_interrupted_path_compiled_misses_what_hits_it_inside_a_probe": 0,
    "test_a_function_that_is_not_there_is_not_called": 0,
    "test_the_model_catches_the_seeds_forgotten_orphans": 0,
    "test_both_halves_of_a_call_are_timed_in_a_run_apart": 0,
    "test_a_flipped_bit_of_a_list_is_repaired_and_tasks_find_their_newest_first": 0,
    "test_any_of_the_calls_may_be_refused": 0,
    "test_a_path_with_locks_makes_others_wait_for_who_has_stopped_and_is_shown_again": 0,
    "test_each_tier_finds_a_bug_and_the_same_one_each_time": 2,
    "test_what_was_shown_of_a_lock_stands_with_the_result": 0,
    "test_churn_goes_on_with_one_instance_a_probe": 0,
    "test_a_broken_lock_that_the_oracle_did_not_notice_is_doubted": 0,
    # The same for each of many.
    "test_what_was_used_stands_beside_what_was_asked_for": 0,
    "test_on_the_kernels_path_both_ways_come_to_the_same_ends": 0,
    "test_an_interrupt_at_every_place_of_a_call_comes_back_right": 10,
    "test_every_architecture_is_right_under_every_interleaving": 3,
    "test_two_tasks_in_one_bucket_are_right_under_every_interleaving": 1,
    "test_a_flush_beside_a_return_in_the_same_bucket_is_right_under_every_interleaving": 2,
    "test_a_lock_by_itself_keeps_processes_apart": 4,
    "test_what_would_wait_for_the_dead_or_forget_the_living_is_found": 3,
    "test_a_step_left_out_of_a_compiled_lock_is_caught": 2,
    "test_a_compiled_lock_does_what_it_says_under_every_interleaving": 3,
    "test_a_lock_that_is_right_is_rehearsed_to_the_end": 2,
    "test_it_does_by_itself_what_it_can": 4,
    "test_a_lock_that_is_wrong_is_refused": 8,
    "test_a_timed_run_records_one_in_as_many_as_its_rate_allows": 0,
    "test_a_lock_has_as_many_runs_as_another_model_checker_counts": 2,
    "test_a_stopped_cpu_that_others_wait_for_is_named": 0,
    "test_an_interrupted_run_ends_with_a_clear_word": 1,
    "test_the_report_is_readable_in_a_browser": 0,
    "test_a_lock_does_what_it_says_under_every_interleaving": 40,
    "test_a_program_has_the_ends_of_the_reference": 40,
    "test_the_probe_path_on_like_cpus": 0,
    "test_a_violation_is_found_among_like_cpus": 0,
    "test_who_is_told_which_cpu_calls_must_say_that_all_are_alike": 0,
    "test_a_search_of_like_cpus_comes_to_the_ends_of_the_whole_but_for_their_numbers": 1,
    "test_plain_every_worker_on_every_scheme": 6,
    "test_plain_every_lock_loses_nothing": 5,
    "test_the_kernels_scenarios_plain": 8,
    "test_one_call_each_is_right_under_every_interleaving": 3,
    "test_chained_calls_are_right_under_every_interleaving_even_when_some_are_missed": 1,
    "test_every_bit_of_every_checked_word_is_found_and_named": 0,
    "test_a_holder_and_a_waiter_may_die_one_after_the_other": 2,
    "test_a_recoverer_in_the_queue_is_not_held_up_by_the_next_death": 1,
    "test_nobody_waits_for_a_cpu_that_died_holding_the_lock_or_in_its_queue": 1,
    "test_both_executors_visit_the_same_states_of_the_kernels_path": 1,
    "test_the_report_is_one_small_file_that_loads_nothing": 1,
    "test_any_sequence_of_calls_and_registrations_does_what_the_naive_model_says": 1,
    "test_a_damaged_arena_is_refused_or_audited_and_never_a_signal_or_a_hang": 1,
}
"""Tests of which the short selection keeps that many cases only; the others have the marker `full`. Their kinds stay: what is
left out altogether has a neighbour that does the same with less."""

LARGE = 250 << 20
kept = 150 << 20
"""What a process has that is not given back: the loops that it has read. It is not looked for after every test."""
TWO_CORES = len(os.sched_getaffinity(0)) >= 2
needs_two_cores = pytest.mark.skipif(not TWO_CORES, reason="two CPUs need two cores; this process may use one")


@pytest.fixture(scope="session", autouse=True)
def compile_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for the session and all its processes: loops are compiled once. The user's own is not touched."""
    several = "PYTEST_XDIST_WORKER" in os.environ
    session = tmp_path_factory.getbasetemp().parent if several else tmp_path_factory.getbasetemp()
    (session / "cache").mkdir(exist_ok=True)
    os.environ["SHMKRET_CACHE_DIR"] = str(session / "cache")
    compiled.compile_cpu = compile_apart
    yield
    del os.environ["SHMKRET_CACHE_DIR"]


def pytest_unconfigure() -> None:
    """Our folder goes, and with it those of sessions that were killed."""
    for folder in OWN_SHM.parent.glob("shmkret-tests-*-*"):
        pid = int(folder.name.split("-")[2])
        if folder == OWN_SHM or not psutil.pid_exists(pid):
            shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """What nobody has asked for otherwise, where pytest-xdist and pytest-timeout are there.

    Two processes: half of the time one core compiles, and half of the rest is spent waiting. `-n 0` for one, with `-s`.
    A lock that hangs must not hang the suite; on two busy cores a long test takes twice its time.
    """
    asked = config.option
    if getattr(asked, "numprocesses", 0) is None and not hasattr(config, "workerinput") and not asked.usepdb:
        asked.numprocesses = 2
        asked.dist = "worksteal" if asked.dist == "no" else asked.dist
    if getattr(asked, "timeout", 0) is None:
        asked.timeout = 300


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what the short selection leaves out; leave out what is for a record, unless it is asked for."""
    if "record" not in config.option.markexpr:
        kept_back = [item for item in items if item.get_closest_marker("record")]
        items[:] = [item for item in items if item not in kept_back]
        config.hook.pytest_deselected(items=kept_back)
    kept: dict[str, int] = {}
    for item in items:
        name = getattr(item, "originalname", item.name)
        if name in FEW and item.get_closest_marker("full") is None:
            kept[name] = kept.get(name, 0) + 1
            if kept[name] > FEW[name]:
                item.add_marker(pytest.mark.full)


FORKING = ("test_crash_points", "test_stress", "test_guests")
"""Files whose tests fork thousands of processes. A fork copies the page tables of all that searches have left in memory, so
that these come first; the two halves of the list are those of the two workers. Neighbours run the same loop: they stay
together, so that it is compiled once."""


class Order:
    """A hook of its own: this one comes after tests have been left out."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Those that fork first, in both halves."""
        forking = [item for name in FORKING for item in items if item.path.stem == name]
        others = [item for item in items if item.path.stem not in FORKING]
        half = len(forking) // 2
        first, second = forking[:half], forking[half:]
        at = max(0, (len(items) + 1) // 2 - len(first))
        items[:] = [*first, *others[:at], *second, *others[at:]]


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Order())


@pytest.fixture(autouse=True)
def memory_is_given_back() -> Iterator[None]:
    """A search keeps a gigabyte of states until it is collected, and a fork copies the page tables of all that is there."""
    global kept
    yield
    if psutil.Process().memory_info().rss > kept + LARGE:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        kept = psutil.Process().memory_info().rss


def left_behind() -> set[str]:
    """Whatever lies in our folder of /dev/shm, whoever made it; our semaphores and child processes."""
    return {str(path) for path in OWN_SHM.iterdir()} | pytest_plugin.left_behind()


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    before = left_behind()
    yield
    assert left_behind() <= before
