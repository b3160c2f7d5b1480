"""The machines: what executes the text, and what it is executed on.

build      one choice of plug-ins and switches, and what they make of a Kernel
sizes      what a run asks for, and the geometry that follows
world      a build, its sizes and its script: from it come arenas
plain      the text uncompiled, on real memory
compiled/  the text compiled by Numba
native     what each CPU's process runs
control    the words by which a live run is led
peers      C programs in place of the text
"""
