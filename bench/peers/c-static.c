/*
 * The C peer, linked statically: its calls into libc are direct ones.
 *
 * Flags: -O2 -static -fno-tree-slp-vectorize
 * Workers: hot spread handlers interrupts
 * Schemes: global hashed rfc objpool
 * Locks: sem pthread ttas ticket mcs clh pthread-robust owner empty
 */
#include "c.c"
