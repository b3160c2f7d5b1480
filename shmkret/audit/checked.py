"""The words whose every bit the audit of a quiet arena checks. A scheme's CHECKED adds those of its own tables."""

from __future__ import annotations

CHECKED: dict[str, dict[str, str]] = {
    "cpus": {
        **dict.fromkeys(("calls", "hits", "returns", "flushed", "refused"), "always"),
        **dict.fromkeys(("preempt_count", "irqs_off", "current_kprobe"), "cpu"),
    },
    "probes": {"free": "always", "nmissed": "always", "kp_nmissed": "kretprobe"},
    "instances": {
        "next": "always",
        "rp": "listed",
        "state": "recoverable",
    },
    "buckets": {"first": "always"},
    "registry": {"slab": "always", "gone_nmissed": "always", "gone_kp_nmissed": "always"},
    "recovery": {"intent": "recoverable", "held": "recoverable"},
    "books": {**dict.fromkeys(("calls", "hits", "refused", "nmissed"), "recoverable"), "kp_nmissed": "missed"},
}
"""When, says shmkret.audit.checks.checked_words(). All other words are free: registers, stacks and data, which belong to tasks
and users, what is read once, and what is only ever shown.
"""
