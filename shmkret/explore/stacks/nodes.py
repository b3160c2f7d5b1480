"""Where a search by traces keeps what it knows: a node for each step of the path, and counts in the control block."""

from __future__ import annotations

NODES, BLOCKED, PRUNED, RETRIED, RACE_AT, RACE_OF = (8 * (64 + j) for j in range(6))
"""Where in the control block: the nodes; how many runs were blocked, pruned, and had a step that was done again; of a data race
the node of its first access, or -1 when both are about to be done, and the CPU of the second."""

COUNTS = (BLOCKED, PRUNED, RETRIED)

WIDTH = 16
"""The most CPUs, and who announces deaths."""
NODE = 8 * (14 + 3 * WIDTH)
(
    N_TRY, N_SLEEP, N_CAN, N_QUEUE, N_CHOICE, N_CPU, N_KIND, N_WRITES, N_PLACE, N_STOP, N_ARG, N_VALUE,
) = (8 * j for j in range(12))  # fmt: skip
"""Where in a node: bits of the choices that are to be tried there, of those that need not be (they sleep, or have been tried),
and of those that are possible; of the CPUs that sleep on a futex. Then the step that was chosen: its choice, CPU and kind,
whether it writes, the word, the word that ends a wait, its argument, what is in the word before."""
N_CLOCK, N_LAST, N_FIRST = (8 * (14 + j * WIDTH) for j in range(3))
"""For each CPU: its last step that happens before the one chosen here, that one included; its last step before this node; room
to work in. A step is named by the number of its node, -1 is none."""

NOWHERE, SCRATCH = -1, -2
"""Numbers of nodes that are not on the path: of what was before the first step, and one to work in."""
