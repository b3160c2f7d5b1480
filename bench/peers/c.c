/*
 * The C peer: the same work as workers/hot.py, on an arena that shmkret made.
 *
 * layout.h is written from the record classes of shmkret.layout, so that both see the same words at the same places. The
 * scheme and the lock are chosen at compile time, as they are in shmkret's compiled loop:
 *
 *     cc -O2 -fno-plt -I DIR -DSCHEME_hashed -DLOCK_ttas c.c -o peer && peer FD CPU
 *
 * Flags: -O2 -fno-plt
 *
 * (Not -march=native: tuning for Zen 4 made it slower with gcc 12 and with clang 14. Not -O3: it gained nothing.)
 *
 * FD is the arena, inherited. CPU is this process's record in it. Who starts the program pins it.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "layout.h"

#define NIL (-1)
#define BATCH 64
#define ALWAYS static inline __attribute__((always_inline))

enum { GATE, WARM_UP, MEASURE, COOL_DOWN, STOP };
enum { NO_BUG, KRETPROBE_BUG, WRONG_ADDRESS, WRONG_STACK };

struct kernel {
	struct run *run;
	struct cpus *cpus;
	struct tasks *tasks;
	struct stack *stack;
	struct functions *functions;
	struct probes *probes;
	struct instances *instances;
	struct buckets *buckets;
	struct locks *locks;
	int64_t nr_cpus, nr_tasks, nr_instances;
	uint64_t hash_multiplier;
};

ALWAYS void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("yield");
#endif
}

#if defined(LOCK_sem)
ALWAYS void acquire(struct locks *lock)
{
	while (sem_wait((sem_t *)lock) != 0)
		;
}
ALWAYS void release(struct locks *lock)
{
	sem_post((sem_t *)lock);
}
#elif defined(LOCK_pthread)
ALWAYS void acquire(struct locks *lock)
{
	pthread_mutex_lock((pthread_mutex_t *)lock);
}
ALWAYS void release(struct locks *lock)
{
	pthread_mutex_unlock((pthread_mutex_t *)lock);
}
#elif defined(LOCK_ttas)
ALWAYS void acquire(struct locks *lock)
{
	while (__atomic_exchange_n(&lock->locked, 1, __ATOMIC_SEQ_CST) != 0)
		while (__atomic_load_n(&lock->locked, __ATOMIC_ACQUIRE) != 0)
			cpu_relax();
}
ALWAYS void release(struct locks *lock)
{
	__atomic_store_n(&lock->locked, 0, __ATOMIC_RELEASE);
}
#elif defined(LOCK_ticket)
ALWAYS void acquire(struct locks *lock)
{
	int64_t ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_SEQ_CST);

	while (__atomic_load_n(&lock->owner, __ATOMIC_ACQUIRE) != ticket)
		cpu_relax();
}
ALWAYS void release(struct locks *lock)
{
	__atomic_store_n(&lock->owner, lock->owner + 1, __ATOMIC_RELEASE);
}
#elif defined(LOCK_empty)
ALWAYS void acquire(struct locks *lock)
{
}
ALWAYS void release(struct locks *lock)
{
}
#else
#error "this peer does not have that lock"
#endif

ALWAYS int64_t hash_ptr(const struct kernel *k, int64_t task)
{
	return ((uint64_t)k->tasks[task].address * k->hash_multiplier) >> (64 - KPROBE_HASH_BITS);
}

ALWAYS void push_free(const struct kernel *k, int64_t ri, int64_t rp)
{
	k->instances[ri].next = k->probes[rp].free;
	k->probes[rp].free = ri;
}

ALWAYS void push_bucket(const struct kernel *k, int64_t ri, int64_t bucket)
{
	k->instances[ri].next = k->buckets[bucket].first;
	k->buckets[bucket].first = ri;
}

ALWAYS void unlink_bucket(const struct kernel *k, int64_t ri, int64_t prev, int64_t bucket)
{
	if (prev == NIL)
		k->buckets[bucket].first = k->instances[ri].next;
	else
		k->instances[prev].next = k->instances[ri].next;
}

#if defined(SCHEME_global)
ALWAYS int64_t obtain(const struct kernel *k, int64_t rp)
{
	acquire(&k->locks[0]);
	int64_t ri = k->probes[rp].free;
	if (ri == NIL) {
		k->probes[rp].nmissed++;
		release(&k->locks[0]);
	}
	return ri;
}

ALWAYS void hang(const struct kernel *k, int64_t ri, int64_t task)
{
	struct instances *in = k->instances;
	int64_t rp = in[ri].rp;

	k->probes[rp].free = in[ri].next;
	int64_t first = k->probes[rp].used;
	in[ri].used_next = first;
	in[ri].used_prev = NIL;
	if (first != NIL)
		in[first].used_prev = ri;
	k->probes[rp].used = ri;
	push_bucket(k, ri, hash_ptr(k, task));
	release(&k->locks[0]);
}

ALWAYS int64_t lock_bucket(const struct kernel *k, int64_t task)
{
	acquire(&k->locks[0]);
	return hash_ptr(k, task);
}

ALWAYS void unlock_bucket(const struct kernel *k, int64_t bucket)
{
	release(&k->locks[0]);
}

ALWAYS void recycle(const struct kernel *k, int64_t bucket, int64_t prev, int64_t ri)
{
	struct instances *in = k->instances;
	int64_t rp = in[ri].rp;

	unlink_bucket(k, ri, prev, bucket);
	int64_t after = in[ri].used_next, before = in[ri].used_prev;
	if (before == NIL)
		k->probes[rp].used = after;
	else
		in[before].used_next = after;
	if (after != NIL)
		in[after].used_prev = before;
	push_free(k, ri, rp);
}
#elif defined(SCHEME_hashed)
ALWAYS int64_t obtain(const struct kernel *k, int64_t rp)
{
	acquire(&k->locks[NR_BUCKETS + rp]);
	int64_t ri = k->probes[rp].free;
	if (ri == NIL)
		k->probes[rp].nmissed++;
	else
		k->probes[rp].free = k->instances[ri].next;
	release(&k->locks[NR_BUCKETS + rp]);
	return ri;
}

ALWAYS int64_t lock_bucket(const struct kernel *k, int64_t task)
{
	int64_t bucket = hash_ptr(k, task);

	acquire(&k->locks[bucket]);
	return bucket;
}

ALWAYS void unlock_bucket(const struct kernel *k, int64_t bucket)
{
	release(&k->locks[bucket]);
}

ALWAYS void hang(const struct kernel *k, int64_t ri, int64_t task)
{
	int64_t bucket = lock_bucket(k, task);

	push_bucket(k, ri, bucket);
	unlock_bucket(k, bucket);
}

ALWAYS void recycle(const struct kernel *k, int64_t bucket, int64_t prev, int64_t ri)
{
	int64_t rp = k->instances[ri].rp;

	unlink_bucket(k, ri, prev, bucket);
	acquire(&k->locks[NR_BUCKETS + rp]);
	push_free(k, ri, rp);
	release(&k->locks[NR_BUCKETS + rp]);
}
#else
#error "this peer does not have that scheme"
#endif

ALWAYS void report_bug(struct cpus *me, int64_t bug, int64_t task, int64_t seen, int64_t expected)
{
	if (__atomic_load_n(&me->bug, __ATOMIC_ACQUIRE) == NO_BUG) {
		me->bug_task = task;
		me->bug_seen = seen;
		me->bug_expected = expected;
		__atomic_store_n(&me->bug, bug, __ATOMIC_RELEASE);
	}
}

ALWAYS void pre_handler_kretprobe(const struct kernel *k, struct cpus *me, int64_t task, int64_t rp)
{
	int64_t ri = obtain(k, rp);

	if (ri == NIL)
		return;
	k->instances[ri].rp = rp;
	k->instances[ri].task = task;
	int64_t sp = k->tasks[task].sp;
	k->instances[ri].ret_addr = k->stack[sp].word;
	k->stack[sp].word = TRAMPOLINE;
	hang(k, ri, task);
	me->hits++;
}

ALWAYS int64_t trampoline_handler(const struct kernel *k, struct cpus *me, int64_t task)
{
	int64_t bucket = lock_bucket(k, task);
	int64_t orig_ret_address = TRAMPOLINE, prev = NIL, walked = 0;
	int64_t ri = k->buckets[bucket].first;

	while (ri != NIL && orig_ret_address == TRAMPOLINE && walked < k->nr_instances) {
		walked++;
		int64_t following = k->instances[ri].next;
		if (k->instances[ri].task == task) {
			orig_ret_address = k->instances[ri].ret_addr;
			recycle(k, bucket, prev, ri);
			me->returns++;
		} else {
			prev = ri;
		}
		ri = following;
	}
	unlock_bucket(k, bucket);
	me->walked += walked;
	if (orig_ret_address == TRAMPOLINE)
		report_bug(me, KRETPROBE_BUG, task, orig_ret_address, 0);
	return orig_ret_address;
}

ALWAYS void call_and_return(const struct kernel *k, struct cpus *me, int64_t task, int64_t function, int64_t n)
{
	struct tasks *t = &k->tasks[task];
	int64_t ret_addr = TEXT_BASE + (((task + 1) << TASK_TEXT_BITS) | (n & ((1 << TASK_TEXT_BITS) - 1)));
	int64_t sp = t->sp;

	k->stack[t->sp - 1].word = ret_addr;
	t->sp--;
	int64_t rp = k->functions[function].rp;
	if (rp != NIL)
		pre_handler_kretprobe(k, me, task, rp);

	int64_t top = t->sp;
	t->sp = top + 1;
	int64_t pc = k->stack[top].word;
	if (pc == TRAMPOLINE)
		pc = trampoline_handler(k, me, task);
	t->pc = pc;

	if (t->pc != ret_addr)
		report_bug(me, WRONG_ADDRESS, task, t->pc, ret_addr);
	else if (t->sp != sp)
		report_bug(me, WRONG_STACK, task, t->sp, sp);
}

static int64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void run_cpu(const struct kernel *k, int64_t cpu)
{
	struct cpus *me = &k->cpus[cpu];
	int64_t phase = GATE, task = cpu, calls = 0;

	__atomic_store_n(&me->ready, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&k->run->phase, __ATOMIC_ACQUIRE) == GATE)
		cpu_relax();
	while (phase != STOP && __atomic_load_n(&me->bug, __ATOMIC_ACQUIRE) == NO_BUG) {
		for (int i = 0; i < BATCH; i++) {
			call_and_return(k, me, task, 0, calls);
			calls++;
		}
		__atomic_store_n(&me->calls, calls, __ATOMIC_RELEASE);
		task += k->nr_cpus;
		if (task >= k->nr_tasks)
			task = cpu;
		int64_t now = __atomic_load_n(&k->run->phase, __ATOMIC_ACQUIRE);
		if (now == phase)
			continue;
		phase = now;
		if (phase == MEASURE) {
			me->began_calls = calls;
			__atomic_store_n(&me->began_ns, monotonic_ns(), __ATOMIC_RELEASE);
		}
		if (phase == COOL_DOWN) {
			me->ended_calls = calls;
			__atomic_store_n(&me->ended_ns, monotonic_ns(), __ATOMIC_RELEASE);
		}
	}
	__atomic_store_n(&me->ready, 2, __ATOMIC_RELEASE);
}

int main(int argc, char **argv)
{
	struct stat status;

	if (argc != 3 || fstat(atoi(argv[1]), &status) != 0) {
		fprintf(stderr, "usage: %s FD CPU\n", argv[0]);
		return 2;
	}
	char *arena = mmap(NULL, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, atoi(argv[1]), 0);
	if (arena == MAP_FAILED) {
		perror("mmap");
		return 2;
	}
	const int64_t(*section)[3] = (const void *)(arena + SECTIONS_AT);
	const struct kernel k = {
		.run = (void *)(arena + section[SECTION_run][0]),
		.cpus = (void *)(arena + section[SECTION_cpus][0]),
		.tasks = (void *)(arena + section[SECTION_tasks][0]),
		.stack = (void *)(arena + section[SECTION_stack][0]),
		.functions = (void *)(arena + section[SECTION_functions][0]),
		.probes = (void *)(arena + section[SECTION_probes][0]),
		.instances = (void *)(arena + section[SECTION_instances][0]),
		.buckets = (void *)(arena + section[SECTION_buckets][0]),
		.locks = (void *)(arena + section[SECTION_locks][0]),
		.nr_cpus = section[SECTION_cpus][1],
		.nr_tasks = section[SECTION_tasks][1],
		.nr_instances = section[SECTION_instances][1],
		.hash_multiplier = *(const uint64_t *)(arena + HASH_MULTIPLIER_AT),
	};
	run_cpu(&k, atoi(argv[2]));
	return 0;
}
