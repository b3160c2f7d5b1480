/*
 * The C peer, linked statically: its calls into libc are direct ones.
 *
 * Flags: -O2 -static
 */
#include "c.c"
