"""Break it: faults, the processes that suffer them, and what must hold afterwards."""
