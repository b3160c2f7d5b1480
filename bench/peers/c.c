/*
 * The C peer: the same work as the workers hot, handlers and interrupts, on an arena that shmkret made.
 *
 * layout.h is written from the record classes of shmkret.layout, so that both see the same words at the same places. The
 * scheme, the lock and the worker are chosen at compile time, as they are in shmkret's compiled loop:
 *
 *     cc -O2 -fno-plt -I DIR -DSCHEME_hashed -DLOCK_ttas -DWORKER_hot c.c -o peer && peer FD CPU
 *
 * Handlers are functions of this file and inlined, as shmkret's are.
 *
 * Flags: -O2 -fno-plt
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
#define BUSY (-2)
#define NOINLINE __attribute__((noinline))
#define BATCH 64
#define ALWAYS static inline __attribute__((always_inline))

enum { GATE, WARM_UP, MEASURE, COOL_DOWN, STOP };
enum { NO_BUG, KRETPROBE_BUG, WRONG_ADDRESS, WRONG_STACK, WRONG_VALUE, WRONG_REGISTER, PREEMPTED, NOT_BUSY, WORKER_BUG };
enum { RUNNING, WOKEN, QUEUED, BLOCKED };

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
	struct table_locks *table_locks;
	struct locks *locks;
	struct system_locks *system_locks;
	int64_t nr_cpus, nr_tasks, nr_instances, data_words;
	uint64_t hash_multiplier;
};

/* For the functions that are called, not inlined. */
static struct kernel kernel;

ALWAYS void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("yield");
#endif
}

#if defined(LOCK_sem)
ALWAYS void acquire(void *lock)
{
	while (sem_wait((sem_t *)lock) != 0)
		;
}
ALWAYS void release(void *lock)
{
	sem_post((sem_t *)lock);
}
#elif defined(LOCK_pthread)
ALWAYS void acquire(void *lock)
{
	pthread_mutex_lock((pthread_mutex_t *)lock);
}
ALWAYS void release(void *lock)
{
	pthread_mutex_unlock((pthread_mutex_t *)lock);
}
#elif defined(LOCK_ttas)
ALWAYS void acquire(void *lock)
{
	struct locks *word = lock;

	while (__atomic_exchange_n(&word->locked, 1, __ATOMIC_SEQ_CST) != 0)
		while (__atomic_load_n(&word->locked, __ATOMIC_ACQUIRE) != 0)
			cpu_relax();
}
ALWAYS void release(void *lock)
{
	__atomic_store_n(&((struct locks *)lock)->locked, 0, __ATOMIC_RELEASE);
}
#elif defined(LOCK_ticket)
ALWAYS void acquire(void *lock)
{
	struct locks *words = lock;
	int64_t ticket = __atomic_fetch_add(&words->next, 1, __ATOMIC_SEQ_CST);

	while (__atomic_load_n(&words->owner, __ATOMIC_ACQUIRE) != ticket)
		cpu_relax();
}
ALWAYS void release(void *lock)
{
	struct locks *words = lock;

	__atomic_store_n(&words->owner, words->owner + 1, __ATOMIC_RELEASE);
}
#elif defined(LOCK_empty)
ALWAYS void acquire(void *lock)
{
}
ALWAYS void release(void *lock)
{
}
#else
#error "this peer does not have that lock"
#endif

/* Interrupts: polled, as in shmkret.irq; compiled in for the worker that has a source of them. */
#if defined(WORKER_interrupts)
NOINLINE void do_irq(int64_t cpu);
ALWAYS void poll(const struct kernel *k, int64_t cpu, int in_task)
{
	int64_t *irq = &k->runqueues[cpu].irq;

	if (!in_task)
		return;
	int64_t left = __atomic_load_n(irq, __ATOMIC_ACQUIRE), seen = left;
	if (left != 0 && k->cpus[cpu].irqs_off == 0 &&
	    __atomic_compare_exchange_n(irq, &seen, left - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) && left == 1)
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
ALWAYS void take_kretprobe_lock(const struct kernel *k, int64_t cpu, int in_task)
{
	int64_t flags = irqsave(k, cpu, in_task);

	if (in_task)
		k->cpus[cpu].irq_flags = flags;
	acquire(&k->locks[0]);
}

ALWAYS void drop_kretprobe_lock(const struct kernel *k, int64_t cpu, int in_task)
{
	release(&k->locks[0]);
	irqrestore(k, cpu, in_task, k->cpus[cpu].irq_flags);
}

ALWAYS int64_t obtain(const struct kernel *k, int64_t cpu, int in_task, int64_t rp)
{
	take_kretprobe_lock(k, cpu, in_task);
	int64_t ri = k->probes[rp].free;
	if (ri == NIL) {
		k->probes[rp].nmissed++;
		drop_kretprobe_lock(k, cpu, in_task);
	}
	return ri;
}

ALWAYS void refuse(const struct kernel *k, int64_t cpu, int in_task, int64_t rp, int64_t ri)
{
	drop_kretprobe_lock(k, cpu, in_task);
}

ALWAYS void hang(const struct kernel *k, int64_t cpu, int in_task, int64_t ri, int64_t task)
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
	drop_kretprobe_lock(k, cpu, in_task);
}

ALWAYS int64_t lock_bucket(const struct kernel *k, int64_t cpu, int in_task, int64_t task)
{
	take_kretprobe_lock(k, cpu, in_task);
	return hash_ptr(k, task);
}

ALWAYS void unlock_bucket(const struct kernel *k, int64_t cpu, int in_task, int64_t bucket, int64_t task)
{
	drop_kretprobe_lock(k, cpu, in_task);
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
#elif defined(SCHEME_hashed) || defined(SCHEME_rfc)
ALWAYS int64_t obtain(const struct kernel *k, int64_t cpu, int in_task, int64_t rp)
{
	int64_t flags = irqsave(k, cpu, in_task);

	acquire(&k->locks[rp]);
	int64_t ri = k->probes[rp].free;
	if (ri == NIL)
		k->probes[rp].nmissed++;
	else
		k->probes[rp].free = k->instances[ri].next;
	release(&k->locks[rp]);
	irqrestore(k, cpu, in_task, flags);
	return ri;
}

ALWAYS void refuse(const struct kernel *k, int64_t cpu, int in_task, int64_t rp, int64_t ri)
{
#if defined(SCHEME_rfc)
	release(&k->locks[rp]);
#else
	int64_t flags = irqsave(k, cpu, in_task);

	acquire(&k->locks[rp]);
	push_free(k, ri, rp);
	release(&k->locks[rp]);
	irqrestore(k, cpu, in_task, flags);
#endif
}

ALWAYS int64_t lock_bucket(const struct kernel *k, int64_t cpu, int in_task, int64_t task)
{
	int64_t bucket = hash_ptr(k, task);
	int64_t flags = irqsave(k, cpu, in_task);

	if (in_task)
		k->cpus[cpu].irq_flags = flags;
	acquire(&k->table_locks[bucket]);
	return bucket;
}

ALWAYS void unlock_bucket(const struct kernel *k, int64_t cpu, int in_task, int64_t bucket, int64_t task)
{
#if defined(SCHEME_rfc)
	bucket = hash_ptr(k, task);
#endif
	release(&k->table_locks[bucket]);
	irqrestore(k, cpu, in_task, k->cpus[cpu].irq_flags);
}

ALWAYS void hang(const struct kernel *k, int64_t cpu, int in_task, int64_t ri, int64_t task)
{
	int64_t bucket = lock_bucket(k, cpu, in_task, task);

	push_bucket(k, ri, bucket);
	release(&k->table_locks[bucket]);
	irqrestore(k, cpu, in_task, k->cpus[cpu].irq_flags);
}

ALWAYS void recycle(const struct kernel *k, int64_t bucket, int64_t prev, int64_t ri)
{
	int64_t rp = k->instances[ri].rp;

	unlink_bucket(k, ri, prev, bucket);
	acquire(&k->locks[rp]);
	push_free(k, ri, rp);
	release(&k->locks[rp]);
}
#else
#error "this peer does not have that scheme"
#endif
#if !defined(SCHEME_hashed)
#define UNMARKED_WALK /* global and rfc have this bug of their time */
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

/* The handlers of workers/handlers.py and workers/interrupts.py. */
#if defined(WORKER_hot)
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
	int64_t rp = k->instances[ri].rp;

	if (!HAS_HANDLERS || rp == NIL)
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
	struct cpus *me = &k->cpus[cpu];

	me->calls++;
	int64_t ri = obtain(k, cpu, in_task, rp);
	if (ri == NIL)
		return;
	k->instances[ri].rp = rp;
	k->instances[ri].task = task;
	if (run_entry_handler(k, cpu, task, rp, ri)) {
		refuse(k, cpu, in_task, rp, ri);
		me->refused++;
		return;
	}
	int64_t sp = k->tasks[task].sp;
	k->instances[ri].ret_addr = k->stack[sp].word;
	k->stack[sp].word = TRAMPOLINE;
	hang(k, cpu, in_task, ri, task);
	me->hits++;
}

ALWAYS void kprobe_handler(const struct kernel *k, int64_t cpu, int in_task, int64_t task, int64_t p)
{
	struct cpus *me = &k->cpus[cpu];

	me->preempt_count++;
	if (me->current_kprobe != NIL) {
		for (int64_t q = p; q != NIL; q = __atomic_load_n(&k->probes[q].next, __ATOMIC_ACQUIRE)) {
			__atomic_fetch_add(&k->probes[q].kp_nmissed, 1, __ATOMIC_SEQ_CST);
			me->calls++;
		}
	} else {
		for (int64_t q = p; q != NIL; q = __atomic_load_n(&k->probes[q].next, __ATOMIC_ACQUIRE)) {
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
	int64_t bucket = lock_bucket(k, cpu, in_task, task);
	int64_t orig_ret_address = TRAMPOLINE, prev = NIL, walked = 0;
	int64_t ri = k->buckets[bucket].first;

	while (ri != NIL && orig_ret_address == TRAMPOLINE && walked < k->nr_instances) {
		walked++;
		int64_t following = k->instances[ri].next;
		if (k->instances[ri].task == task) {
			run_return_handler(k, cpu, task, ri);
			orig_ret_address = k->instances[ri].ret_addr;
			if (k->instances[ri].rp == NIL)
				abort(); /* nothing is ever unregistered here */
			recycle(k, bucket, prev, ri);
			me->returns++;
		} else {
			prev = ri;
		}
		ri = following;
	}
	if (orig_ret_address == TRAMPOLINE || orig_ret_address == 0)
		report_bug(me, KRETPROBE_BUG, task, orig_ret_address, 0);
	unlock_bucket(k, cpu, in_task, bucket, task);
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
	int64_t p = __atomic_load_n(&k->functions[function].kprobe, __ATOMIC_ACQUIRE);
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
	call_and_return(k, cpu, 1, task, 0, n);
#if defined(WORKER_interrupts)
	if ((n & 15) == 0) {
		int64_t to = n & 255 ? cpu : (cpu + 1) % k->nr_cpus;

		__atomic_store_n(&k->runqueues[to].irq, n & 255 ? 1 + (n >> 4) % 31 : 1, __ATOMIC_RELEASE);
	}
#endif
}

/* Run queues, as in shmkret.sched: this peer's tasks only take turns. */
NOINLINE int64_t schedule(int64_t cpu, int64_t task)
{
	const struct kernel *k = &kernel;
	struct runqueues *queue = &k->runqueues[cpu];
	void *lock = &k->system_locks[RUNQUEUE_LOCKS + cpu];

	k->cpus[cpu].need_resched = 0;
	if (task != NIL) {
		__atomic_store_n(&k->entities[task].state, QUEUED, __ATOMIC_RELEASE);
		acquire(lock);
		k->entities[task].next = NIL;
		if (queue->last == NIL)
			__atomic_store_n(&queue->first, task, __ATOMIC_RELEASE);
		else
			k->entities[queue->last].next = task;
		queue->last = task;
		release(lock);
	}
	acquire(lock);
	int64_t following = queue->first;
	if (following != NIL) {
		__atomic_store_n(&queue->first, k->entities[following].next, __ATOMIC_RELEASE);
		if (queue->first == NIL)
			queue->last = NIL;
		__atomic_store_n(&k->entities[following].state, RUNNING, __ATOMIC_RELEASE);
	}
	release(lock);
	k->cpus[cpu].task = following;
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

	__atomic_store_n(&me->ready, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&k->run->phase, __ATOMIC_ACQUIRE) == GATE)
		cpu_relax();
	__atomic_fetch_add(&k->runqueues[cpu].quiescent, 1, __ATOMIC_SEQ_CST);
	int64_t task = schedule(cpu, NIL);
	while (phase != STOP && __atomic_load_n(&me->bug, __ATOMIC_ACQUIRE) == NO_BUG) {
		for (int i = 0; i < BATCH; i++) {
			step(k, cpu, task, n++);
			if (me->need_resched)
				task = schedule(cpu, task);
		}
		if (me->preempt_count || me->irqs_off || me->current_kprobe != NIL)
			report_bug(me, PREEMPTED, task, me->preempt_count, 0);
		if (__atomic_load_n(&k->runqueues[cpu].first, __ATOMIC_ACQUIRE) != NIL)
			task = schedule(cpu, task);
		__atomic_fetch_add(&k->runqueues[cpu].quiescent, 2, __ATOMIC_SEQ_CST);
		int64_t now = __atomic_load_n(&k->run->phase, __ATOMIC_ACQUIRE);
		if (now == phase)
			continue;
		phase = now;
		if (phase == MEASURE) {
			me->began_calls = me->calls;
			__atomic_store_n(&me->began_ns, monotonic_ns(), __ATOMIC_RELEASE);
		}
		if (phase == COOL_DOWN) {
			me->ended_calls = me->calls;
			__atomic_store_n(&me->ended_ns, monotonic_ns(), __ATOMIC_RELEASE);
		}
	}
	__atomic_fetch_add(&k->runqueues[cpu].quiescent, 1, __ATOMIC_SEQ_CST);
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
	kernel = (struct kernel){
		.run = (void *)(arena + section[SECTION_run][0]),
		.cpus = (void *)(arena + section[SECTION_cpus][0]),
		.runqueues = (void *)(arena + section[SECTION_runqueues][0]),
		.tasks = (void *)(arena + section[SECTION_tasks][0]),
		.entities = (void *)(arena + section[SECTION_entities][0]),
		.stack = (void *)(arena + section[SECTION_stack][0]),
		.functions = (void *)(arena + section[SECTION_functions][0]),
		.probes = (void *)(arena + section[SECTION_probes][0]),
		.instances = (void *)(arena + section[SECTION_instances][0]),
		.buckets = (void *)(arena + section[SECTION_buckets][0]),
		.data = (void *)(arena + section[SECTION_data][0]),
		.table_locks = (void *)(arena + section[SECTION_table_locks][0]),
		.locks = (void *)(arena + section[SECTION_locks][0]),
		.system_locks = (void *)(arena + section[SECTION_system_locks][0]),
		.nr_cpus = section[SECTION_cpus][1],
		.nr_tasks = section[SECTION_tasks][1],
		.nr_instances = section[SECTION_instances][1],
		.data_words = (*(const int64_t *)(arena + DATA_SIZE_AT) + 7) / 8,
		.hash_multiplier = *(const uint64_t *)(arena + HASH_MULTIPLIER_AT),
	};
	run_cpu(atoi(argv[2]));
	return 0;
}
