/*
 * The C peer: the same work as shmkret's compiled loop, on an arena that shmkret made.
 *
 * layout.h is written from the record classes of shmkret.arena, so that both see the same words at the same places. The scheme,
 * the lock and the worker are chosen at compile time, as they are in shmkret's compiled loop:
 *
 *     cc -O2 -fno-plt -fno-tree-slp-vectorize -I DIR -DSCHEME_hashed -DLOCK_ttas -DWORKER_hot c.c -o peer && peer FD CPU
 *
 * SLP is off: gcc would write two words of an instance as one of 16 bytes, and under `global` a call takes a fifth longer.
 *
 * The locks are in c-locks.h, the schemes in c-schemes.h. Handlers are functions of this file and inlined, as shmkret's are.
 *
 * Flags: -O2 -fno-plt -fno-tree-slp-vectorize
 * Workers: hot spread handlers interrupts
 * Schemes: global hashed rfc objpool
 * Locks: sem pthread ttas ticket mcs clh pthread-robust owner empty
 *
 * FD is the arena, inherited. CPU is this process's record in it. Who starts the program pins it.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "layout.h"

#define NIL (-1)
#define BUSY (-2)
#define NOINLINE __attribute__((noinline))
#define BATCH 64
#define ALWAYS static inline __attribute__((always_inline))

enum { GATE, WARM_UP, MEASURE, COOL_DOWN, STOP };
enum { NO_BUG, KRETPROBE_BUG, WRONG_ADDRESS, WRONG_STACK, WRONG_VALUE, WRONG_REGISTER, PREEMPTED, NOT_BUSY, WORKER_BUG };
enum { RUNNING, WOKEN, QUEUED, BLOCKED, QUEUING };

/* The words of shmkret.text. */
ALWAYS int64_t load_relaxed(const int64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}
ALWAYS void store_relaxed(int64_t *word, int64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}
ALWAYS int64_t load_acquire(const int64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}
ALWAYS void store_release(int64_t *word, int64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}
ALWAYS int64_t exchange(int64_t *word, int64_t value)
{
	return __atomic_exchange_n(word, value, __ATOMIC_SEQ_CST);
}
ALWAYS int64_t fetch_add(int64_t *word, int64_t value)
{
	return __atomic_fetch_add(word, value, __ATOMIC_SEQ_CST);
}
ALWAYS int64_t cmpxchg(int64_t *word, int64_t old, int64_t new)
{
	__atomic_compare_exchange_n(word, &old, new, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return old;
}

ALWAYS void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("yield");
#endif
}

#include "c-locks.h"

struct kernel {
	struct run *run;
	struct cpus *cpus;
	struct runqueues *runqueues;
	struct tasks *tasks;
	struct entities *entities;
	struct stack *stack;
	struct functions *functions;
	struct probes *probes;
	struct instances *instances;
	struct buckets *buckets;
	struct data *data;
	struct system_locks *system_locks;
	struct tables tables_of_system_locks;
	/* An array of locks that the scheme has not is somewhere else: nobody looks. */
	struct table_locks *table_locks;
	struct tables tables_of_table_locks;
	struct locks *locks;
	struct tables tables_of_locks;
#if defined(SCHEME_global)
	struct scheme_used *used;
	struct scheme_link *link;
#elif defined(SCHEME_objpool)
	struct scheme_list *list;
	struct scheme_ring *ring;
	struct scheme_slot *slot;
	struct scheme_pool *pool;
	struct scheme_of *of;
	int64_t ring_words;
#endif
	int64_t nr_cpus, nr_tasks, nr_instances, data_words;
	uint64_t hash_multiplier;
};

/* For the functions that are called, not inlined. */
static struct kernel kernel;

/* Interrupts: polled, as in shmkret.kernel.irq; compiled in for the worker that has a source of them. */
#if defined(WORKER_interrupts)
NOINLINE void do_irq(int64_t cpu);
ALWAYS void poll(const struct kernel *k, int64_t cpu, int in_task)
{
	int64_t *irq = &k->runqueues[cpu].irq;

	if (!in_task)
		return;
	int64_t left = load_acquire(irq);
	if (left != 0 && k->cpus[cpu].irqs_off == 0 && cmpxchg(irq, left, left - 1) == left && left == 1)
		do_irq(cpu);
}
ALWAYS int64_t irqsave(const struct kernel *k, int64_t cpu, int in_task)
{
	if (!in_task)
		return 0;
	poll(k, cpu, 1);
	int64_t flags = k->cpus[cpu].irqs_off;
	k->cpus[cpu].irqs_off = 1;
	return flags;
}
ALWAYS void irqrestore(const struct kernel *k, int64_t cpu, int in_task, int64_t flags)
{
	if (!in_task)
		return;
	k->cpus[cpu].irqs_off = flags;
	poll(k, cpu, 1);
}
#else
ALWAYS void poll(const struct kernel *k, int64_t cpu, int in_task)
{
}
ALWAYS int64_t irqsave(const struct kernel *k, int64_t cpu, int in_task)
{
	return 0;
}
ALWAYS void irqrestore(const struct kernel *k, int64_t cpu, int in_task, int64_t flags)
{
}
#endif

#include "c-schemes.h"

ALWAYS void report_bug(struct cpus *me, int64_t bug, int64_t task, int64_t seen, int64_t expected)
{
	if (load_acquire(&me->bug) == NO_BUG) {
		me->bug_task = task;
		me->bug_seen = seen;
		me->bug_expected = expected;
		store_release(&me->bug, bug);
	}
}

/* What shmkret's workers of these names call, and their handlers. */
#if defined(WORKER_spread)
#define FUNCTION(cpu) (cpu)
#else
#define FUNCTION(cpu) 0
#endif
#if defined(WORKER_hot) || defined(WORKER_spread)
#define ENTRY_HANDLER(k, cpu, task, ri) 0
#define HANDLER(k, cpu, task, ri)
#define HAS_HANDLERS 0
#elif defined(WORKER_handlers)
#define HAS_HANDLERS 1
ALWAYS int64_t ENTRY_HANDLER(const struct kernel *k, int64_t cpu, int64_t task, int64_t ri)
{
	k->data[ri * k->data_words].word = k->tasks[task].saved;
	return 0;
}
ALWAYS void HANDLER(const struct kernel *k, int64_t cpu, int64_t task, int64_t ri)
{
	int64_t word = k->data[ri * k->data_words].word;

	if (word != k->tasks[task].saved)
		report_bug(&k->cpus[cpu], WORKER_BUG, task, word, k->tasks[task].saved);
}
#elif defined(WORKER_interrupts)
#define HAS_HANDLERS 1
ALWAYS int64_t ENTRY_HANDLER(const struct kernel *k, int64_t cpu, int64_t task, int64_t ri)
{
	k->data[ri * k->data_words].word = k->cpus[cpu].irqs;
	return 0;
}
ALWAYS void HANDLER(const struct kernel *k, int64_t cpu, int64_t task, int64_t ri)
{
	int64_t word = k->data[ri * k->data_words].word;

	if (word > k->cpus[cpu].irqs)
		report_bug(&k->cpus[cpu], WORKER_BUG, task, word, k->cpus[cpu].irqs);
}
#else
#error "this peer does not have that worker"
#endif

ALWAYS int64_t run_entry_handler(const struct kernel *k, int64_t cpu, int64_t task, int64_t rp, int64_t ri)
{
	if (!HAS_HANDLERS || k->probes[rp].entry_handler == 0)
		return 0;
	struct tasks *t = &k->tasks[task];
	int64_t pc = t->pc, lr = t->lr, npc = t->npc, retval = t->retval, saved = t->saved;
	int64_t refused = ENTRY_HANDLER(k, cpu, task, ri);

	t->pc = pc, t->lr = lr, t->npc = npc, t->retval = retval, t->saved = saved;
	return refused;
}

ALWAYS void run_return_handler(const struct kernel *k, int64_t cpu, int64_t task, int64_t ri)
{
	if (!HAS_HANDLERS)
		return;
	int64_t rp = rp_of(k, ri);
	if (rp == NIL)
		return;
	struct cpus *me = &k->cpus[cpu];
	int64_t before = me->current_kprobe;

	me->current_kprobe = rp;
	if (k->probes[rp].handler != 0) {
		struct tasks *t = &k->tasks[task];
		int64_t pc = t->pc, lr = t->lr, npc = t->npc, saved = t->saved;

		t->regs_retval = t->retval;
		HANDLER(k, cpu, task, ri);
		t->pc = pc, t->lr = lr, t->npc = npc, t->retval = t->regs_retval, t->saved = saved;
	}
	me->current_kprobe = before;
}

ALWAYS void pre_handler_kretprobe(const struct kernel *k, int64_t cpu, int in_task, int64_t task, int64_t rp)
{
	k->cpus[cpu].calls++;
	int64_t ri = obtain(k, cpu, in_task, rp);
	if (ri == NIL)
		return;
	k->instances[ri].rp = rp;
	k->instances[ri].task = task;
	if (run_entry_handler(k, cpu, task, rp, ri)) {
		refuse(k, cpu, in_task, rp, ri);
		k->cpus[cpu].refused++;
		return;
	}
	int64_t sp = k->tasks[task].sp;
	k->instances[ri].ret_addr = k->stack[sp].word;
	k->stack[sp].word = TRAMPOLINE;
	push(k, cpu, in_task, ri, task);
	k->cpus[cpu].hits++;
}

ALWAYS void kprobe_handler(const struct kernel *k, int64_t cpu, int in_task, int64_t task, int64_t p)
{
	struct cpus *me = &k->cpus[cpu];

	me->preempt_count++;
	if (me->current_kprobe != NIL) {
		for (int64_t q = p; q != NIL; q = load_acquire(&k->probes[q].next)) {
			fetch_add(&k->probes[q].kp_nmissed, 1);
			me->calls++;
		}
	} else {
		for (int64_t q = p; q != NIL; q = load_acquire(&k->probes[q].next)) {
			me->current_kprobe = q;
			pre_handler_kretprobe(k, cpu, in_task, task, q);
		}
		me->current_kprobe = NIL;
	}
	me->preempt_count--;
}

ALWAYS void busy_begin(struct cpus *me)
{
#if !defined(UNMARKED_WALK)
	me->preempt_count++;
	me->current_kprobe = BUSY;
#endif
}

ALWAYS void busy_end(struct cpus *me)
{
#if !defined(UNMARKED_WALK)
	me->current_kprobe = NIL;
	me->preempt_count--;
#endif
}

ALWAYS int64_t trampoline_handler(const struct kernel *k, int64_t cpu, int in_task, int64_t task)
{
	struct cpus *me = &k->cpus[cpu];

	busy_begin(me);
	int64_t where = begin_walk(k, cpu, in_task, task);
	int64_t orig_ret_address = TRAMPOLINE, prev = NIL, walked = 0;
	int64_t ri = first(k, where);

	while (ri != NIL && orig_ret_address == TRAMPOLINE && walked < k->nr_instances) {
		walked++;
		int64_t following = k->instances[ri].next;
		if (k->instances[ri].task == task) {
			run_return_handler(k, cpu, task, ri);
			orig_ret_address = k->instances[ri].ret_addr;
			if (take(k, cpu, in_task, where, prev, ri))
				abort(); /* nothing is ever unregistered here */
			me->returns++;
		} else {
			prev = ri;
		}
		ri = following;
	}
	if (orig_ret_address == TRAMPOLINE || orig_ret_address == 0)
		report_bug(me, KRETPROBE_BUG, task, orig_ret_address, 0);
	end_walk(k, cpu, in_task, where, task);
	busy_end(me);
	me->walked += walked;
	return orig_ret_address;
}

ALWAYS void call_and_return(const struct kernel *k, int64_t cpu, int in_task, int64_t task, int64_t function, int64_t n)
{
	struct tasks *t = &k->tasks[task];
	int64_t ret_addr = TEXT_BASE + (((task + 1) << TASK_TEXT_BITS) | (n & ((1 << TASK_TEXT_BITS) - 1)));
	int64_t sp = t->sp;

	t->saved = ret_addr;
	k->stack[t->sp - 1].word = ret_addr;
	t->sp--;
	poll(k, cpu, in_task);
	int64_t p = load_acquire(&k->functions[function].kprobe);
	if (p != NIL)
		kprobe_handler(k, cpu, in_task, task, p);

	t->retval = t->saved + 1;
	poll(k, cpu, in_task);
	int64_t top = t->sp;
	t->sp = top + 1;
	int64_t pc = k->stack[top].word;
	if (pc == TRAMPOLINE)
		pc = trampoline_handler(k, cpu, in_task, task);
	t->pc = pc;

	struct cpus *me = &k->cpus[cpu];
	if (t->pc != ret_addr)
		report_bug(me, WRONG_ADDRESS, task, t->pc, ret_addr);
	else if (t->sp != sp)
		report_bug(me, WRONG_STACK, task, t->sp, sp);
	else if (t->retval != ret_addr + 1)
		report_bug(me, WRONG_VALUE, task, t->retval, ret_addr + 1);
	else if (t->saved != ret_addr)
		report_bug(me, WRONG_REGISTER, task, t->saved, ret_addr);
}

#if defined(WORKER_interrupts)
NOINLINE void do_irq(int64_t cpu)
{
	const struct kernel *k = &kernel;
	struct cpus *me = &k->cpus[cpu];
	int64_t task = me->task;
	struct tasks *t = &k->tasks[task];
	int64_t pc = t->pc, lr = t->lr, npc = t->npc, retval = t->retval, saved = t->saved, regs_retval = t->regs_retval;

	me->irqs_off = 1;
	me->irqs++;
	call_and_return(k, cpu, 0, task, 1, me->irqs);
	me->irqs_off = 0;
	t->pc = pc, t->lr = lr, t->npc = npc, t->retval = retval, t->saved = saved, t->regs_retval = regs_retval;
}
#endif

ALWAYS void step(const struct kernel *k, int64_t cpu, int64_t task, int64_t n)
{
	call_and_return(k, cpu, 1, task, FUNCTION(cpu), n);
#if defined(WORKER_interrupts)
	if ((n & 15) == 0) {
		int64_t to = n & 255 ? cpu : (cpu + 1) % k->nr_cpus;

		store_release(&k->runqueues[to].irq, n & 255 ? 1 + (n >> 4) % 31 : 1);
	}
#endif
}

/* Run queues, as in shmkret.kernel.sched: this peer's tasks only take turns. */
NOINLINE int64_t schedule(int64_t cpu, int64_t task)
{
	const struct kernel *k = &kernel;
	struct runqueues *queue = &k->runqueues[cpu];
	void *lock = &k->system_locks[RUNQUEUE_LOCKS + cpu];

	k->cpus[cpu].need_resched = 0;
	if (task != NIL) {
		store_release(&k->entities[task].state, QUEUING + cpu);
		acquire(lock, &k->tables_of_system_locks, cpu);
		int64_t last = queue->last;
		k->entities[task].next = NIL;
		if (last == NIL)
			store_release(&queue->first, task);
		else
			k->entities[last].next = task;
		queue->last = task;
		store_release(&k->entities[task].state, QUEUED);
		release(lock, &k->tables_of_system_locks, cpu);
	}
	acquire(lock, &k->tables_of_system_locks, cpu);
	int64_t following = load_acquire(&queue->first);
	if (following != NIL) {
		store_release(&queue->first, k->entities[following].next);
		if (queue->first == NIL)
			queue->last = NIL;
		k->entities[following].on = cpu;
		store_release(&k->entities[following].state, RUNNING);
	}
	k->cpus[cpu].task = following;
	release(lock, &k->tables_of_system_locks, cpu);
	if (following != task)
		k->cpus[cpu].switches++;
	return following;
}

static int64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void run_cpu(int64_t cpu)
{
	/* A copy whose address no other function has: its fields stay in registers. */
	const struct kernel own = kernel, *k = &own;
	struct cpus *me = &k->cpus[cpu];
	int64_t phase = GATE, n = 0;

	store_release(&me->ready, 1);
	while (load_acquire(&k->run->phase) == GATE)
		cpu_relax();
	fetch_add(&k->runqueues[cpu].quiescent, 1);
	int64_t task = schedule(cpu, NIL);
	while (phase != STOP && load_acquire(&me->bug) == NO_BUG) {
		for (int i = 0; i < BATCH; i++) {
			step(k, cpu, task, n++);
			if (me->need_resched)
				task = schedule(cpu, task);
		}
		if (me->preempt_count || me->irqs_off || me->current_kprobe != NIL)
			report_bug(me, PREEMPTED, task, me->preempt_count, 0);
		if (load_acquire(&k->runqueues[cpu].first) != NIL)
			task = schedule(cpu, task);
		fetch_add(&k->runqueues[cpu].quiescent, 2);
		int64_t now = load_acquire(&k->run->phase);
		if (now == phase)
			continue;
		phase = now;
		if (phase == MEASURE) {
			me->began_calls = me->calls;
			store_release(&me->began_ns, monotonic_ns());
		}
		if (phase == COOL_DOWN) {
			me->ended_calls = me->calls;
			store_release(&me->ended_ns, monotonic_ns());
		}
	}
	fetch_add(&k->runqueues[cpu].quiescent, 1);
	store_release(&me->ready, 2);
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
#define AT(name) (void *)(arena + section[SECTION_##name][0])
#define NR(name) section[SECTION_##name][1]
	kernel = (struct kernel){
		.run = AT(run),
		.cpus = AT(cpus),
		.runqueues = AT(runqueues),
		.tasks = AT(tasks),
		.entities = AT(entities),
		.stack = AT(stack),
		.functions = AT(functions),
		.probes = AT(probes),
		.instances = AT(instances),
		.buckets = AT(buckets),
		.data = AT(data),
		.system_locks = AT(system_locks),
		.tables_of_system_locks = TABLES(AT, system_locks),
		.table_locks = AT(table_locks),
		.tables_of_table_locks = TABLES(AT, table_locks),
		.locks = AT(locks),
		.tables_of_locks = TABLES(AT, locks),
#if defined(SCHEME_global)
		.used = AT(scheme_used),
		.link = AT(scheme_link),
#elif defined(SCHEME_objpool)
		.list = AT(scheme_list),
		.ring = AT(scheme_ring),
		.slot = AT(scheme_slot),
		.pool = AT(scheme_pool),
		.of = AT(scheme_of),
		.ring_words = NR(scheme_slot) / NR(scheme_ring),
#endif
		.nr_cpus = NR(cpus),
		.nr_tasks = NR(tasks),
		.nr_instances = NR(instances),
		.data_words = (*(const int64_t *)(arena + DATA_SIZE_AT) + 7) / 8,
		.hash_multiplier = *(const uint64_t *)(arena + HASH_MULTIPLIER_AT),
	};
	run_cpu(atoi(argv[2]));
	return 0;
}
