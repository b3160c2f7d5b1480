"""Answers that others have given: what our own code says is compared with no code of ours."""

import numpy as np
import pytest

from shmkret.arena.hashing import hash_ptr, multiplier, task_addresses
from shmkret.measure import statistics

HASHED = [
    (0x1, 39, 39, 24),
    (0x2, 15, 15, 48),
    (0x12C, 26, 26, 37),
    (0x1000, 31, 28, 34),
    (0xFFFF88003D000000, 55, 15, 45),
    (0xFFFF88003D000A40, 39, 60, 63),
    (0xFFFF88003D001480, 22, 41, 17),
    (0xE000000100000000, 55, 0, 8),
    (0xE000000100008000, 55, 32, 24),
    (0xFFFFFFFFFFFFFFFF, 24, 24, 39),
]
"""An address, and its bucket: the hash of 64 bits of Linux 2.6.26, by shifts and additions; that of 32 bits, of the lower half;
that of 64 bits of Linux 5.4. Of a program in C that has these three functions as include/linux/hash.h has them, with 6 bits.
"""


@pytest.mark.parametrize(("address", "of_2008", "of_32_bits", "of_2016"), HASHED)
def test_a_bucket_is_the_kernels(address, of_2008, of_32_bits, of_2016):
    signed = (address + (1 << 63)) % (1 << 64) - (1 << 63)
    names = ("mult-2008-64", "mult-2008-32", "mult-2016")

    assert [hash_ptr(signed, multiplier(name)) for name in names] == [of_2008, of_32_bits, of_2016]


@pytest.mark.parametrize(
    ("model", "first", "third"),
    [
        ("slab", 0xFFFF88003D000000, 0xFFFF88003D001480),
        ("page", 0xFFFF88003D000000, 0xFFFF88003D002000),
        ("ia64-stack", 0xE000000100000000, 0xE000000100010000),
        ("pid", 300, 302),
    ],
)
def test_tasks_lie_one_after_the_other(model, first, third):
    addresses = task_addresses(model, 3).view(np.uint64).tolist()

    assert (addresses[0], addresses[2]) == (first, third)


@pytest.mark.parametrize(
    ("n", "d", "wide"),
    [(6, 1, 0.96875), (8, 1, 0.9921875), (9, 2, 0.9609375), (12, 3, 0.9614), (15, 4, 0.9648), (20, 6, 0.9586), (25, 8, 0.9567)],
)
def test_the_rank_of_an_interval_of_the_median_is_that_of_the_sign_tests_tables(n, d, wide):
    assert statistics._last_rank(n)[0] == d
    assert statistics._last_rank(n)[1] == pytest.approx(wide, abs=5e-5)


@pytest.mark.parametrize(
    ("n", "d", "outside", "outside_next", "by_hand"), [(6, 1, 2 / 64, 14 / 64, 0.3571), (10, 2, 22 / 1024, 112 / 1024, 0.6577)]
)
def test_an_interval_is_interpolated_as_hettmansperger_and_sheather_do(n, d, outside, outside_next, by_hand):
    """What lies outside the d-th samples, and the next, is counted by hand; the formula is that of their section 2."""
    part = (0.05 - outside) / (outside_next - outside)
    inwards = (n - d) * part / (d + (n - 2 * d) * part)
    found = statistics.median(np.arange(1.0, n + 1))

    assert inwards == pytest.approx(by_hand, abs=5e-5)
    assert found.ci95 == pytest.approx((d + inwards, n + 1 - d - inwards))


@pytest.mark.parametrize(
    ("n", "m", "least"),
    [
        (4, 4, 0),
        (5, 5, 2),
        (6, 6, 5),
        (7, 7, 8),
        (8, 8, 13),
        (9, 9, 17),
        (10, 10, 23),
        (4, 9, 4),
        (5, 10, 8),
        (6, 9, 10),
        (20, 20, 127),
    ],
)
def test_pairs_outside_an_interval_are_as_many_as_mann_and_whitneys_critical_value(n, m, least):
    """Two-sided, 5 %. None, where even 0 comes by chance more often than that."""
    assert statistics._rank_outside(n, m) == statistics._rank_outside(m, n) == least
    assert statistics._rank_outside(3, 4) is None
    assert statistics._rank_outside(3, 5) == 0


def test_a_ratios_interval_leaves_out_as_many_pairs_at_either_end():
    """Four rounds each way: 16 pairs, none left out; five: 25 pairs, two left out at each end."""
    for n, outside in ((4, 0), (5, 2)):
        rounds = np.array([1.0, 2.0, 4.0, 8.0, 16.0][:n])
        pairs = sorted((a * b) ** 0.5 for a in rounds for b in rounds)
        found = statistics.paired_ratio(rounds, rounds)

        assert found.ci95 == pytest.approx((pairs[outside], pairs[-1 - outside]))
        assert found.median == pytest.approx(float(np.median(pairs)))
