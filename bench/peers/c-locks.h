/*
 * The locks of the C peer: those of shmkret/locks/, of the same name, move for move and order for order.
 *
 * acquire(lock, tables, cpu) and release(lock, tables, cpu). lock: its words, in whichever array it stands. tables: the tables of
 * that array, which TABLES(at, array) finds; at(section) says where a section is.
 */
#pragma once

#if defined(LOCK_mcs)
struct tables {
	struct locks_node *node;
};
#define TABLES(at, array) {.node = at(array##_node)}
#elif defined(LOCK_clh)
struct tables {
	struct locks_node *node;
	struct locks_cpu *cpu;
};
#define TABLES(at, array) {.node = at(array##_node), .cpu = at(array##_cpu)}
#else
struct tables {
};
#define TABLES(at, array) {}
#endif

#if defined(LOCK_sem)
ALWAYS void acquire(void *lock, const struct tables *tables, int64_t cpu)
{
	while (sem_wait((sem_t *)lock) != 0)
		;
}
ALWAYS void release(void *lock, const struct tables *tables, int64_t cpu)
{
	sem_post((sem_t *)lock);
}
#elif defined(LOCK_pthread)
ALWAYS void acquire(void *lock, const struct tables *tables, int64_t cpu)
{
	pthread_mutex_lock((pthread_mutex_t *)lock);
}
ALWAYS void release(void *lock, const struct tables *tables, int64_t cpu)
{
	pthread_mutex_unlock((pthread_mutex_t *)lock);
}
#elif defined(LOCK_pthread_robust)
ALWAYS void acquire(void *lock, const struct tables *tables, int64_t cpu)
{
	if (pthread_mutex_lock((pthread_mutex_t *)lock) != 0)
		pthread_mutex_consistent((pthread_mutex_t *)lock);
}
ALWAYS void release(void *lock, const struct tables *tables, int64_t cpu)
{
	pthread_mutex_unlock((pthread_mutex_t *)lock);
}
#elif defined(LOCK_ttas)
ALWAYS void acquire(void *lock, const struct tables *tables, int64_t cpu)
{
	int64_t *locked = &((struct locks *)lock)->locked;

	while (exchange(locked, 1) != 0)
		while (load_acquire(locked) != 0)
			cpu_relax();
}
ALWAYS void release(void *lock, const struct tables *tables, int64_t cpu)
{
	store_release(&((struct locks *)lock)->locked, 0);
}
#elif defined(LOCK_ticket)
ALWAYS void acquire(void *lock, const struct tables *tables, int64_t cpu)
{
	struct locks *words = lock;
	int64_t ticket = fetch_add(&words->next, 1);

	while (load_acquire(&words->owner) != ticket)
		cpu_relax();
}
ALWAYS void release(void *lock, const struct tables *tables, int64_t cpu)
{
	struct locks *words = lock;

	store_release(&words->owner, words->owner + 1);
}
#elif defined(LOCK_owner)
#define SLEEPERS (1LL << 31)
NOINLINE void wait_for_owner(int64_t *owner, int64_t cpu)
{
	const struct timespec look_again = {.tv_nsec = 20000000};

	while (cmpxchg(owner, 0, (cpu + 1) | SLEEPERS) != 0) {
		int64_t seen = load_acquire(owner);
		if (seen != 0 && (seen & SLEEPERS || cmpxchg(owner, seen, seen | SLEEPERS) == seen))
			syscall(SYS_futex, owner, FUTEX_WAIT, seen | SLEEPERS, &look_again, 0, 0);
	}
}
NOINLINE void wake_one(int64_t *owner)
{
	syscall(SYS_futex, owner, FUTEX_WAKE, 1, 0, 0, 0);
}
ALWAYS void acquire(void *lock, const struct tables *tables, int64_t cpu)
{
	int64_t *owner = &((struct locks *)lock)->owner;

	if (cmpxchg(owner, 0, cpu + 1) != 0)
		wait_for_owner(owner, cpu);
}
ALWAYS void release(void *lock, const struct tables *tables, int64_t cpu)
{
	int64_t *owner = &((struct locks *)lock)->owner;

	if (exchange(owner, 0) & SLEEPERS)
		wake_one(owner);
}
#elif defined(LOCK_mcs)
#define GONE (-1)
ALWAYS void acquire(void *lock, const struct tables *tables, int64_t cpu)
{
	struct locks_node *node = tables->node;

	while (load_acquire(&node[cpu].next) == GONE)
		cpu_relax();
	store_release(&node[cpu].next, 0);
	store_release(&node[cpu].locked, 1);
	int64_t before = exchange(&((struct locks *)lock)->tail, 1 + cpu);
	if (before != 0 && exchange(&node[before - 1].next, 1 + cpu) != GONE)
		while (load_acquire(&node[cpu].locked) != 0)
			cpu_relax();
}
ALWAYS void release(void *lock, const struct tables *tables, int64_t cpu)
{
	struct locks_node *node = tables->node;
	int64_t following = load_acquire(&node[cpu].next);

	if (following == 0) {
		if (cmpxchg(&((struct locks *)lock)->tail, 1 + cpu, 0) == 1 + cpu)
			return;
		following = cmpxchg(&node[cpu].next, 0, GONE);
	}
	if (following != 0)
		store_release(&node[following - 1].locked, 0);
}
#elif defined(LOCK_clh)
ALWAYS void acquire(void *lock, const struct tables *tables, int64_t cpu)
{
	int64_t own = tables->cpu[cpu].own;

	store_release(&tables->node[own].locked, 1);
	int64_t before = exchange(&((struct locks *)lock)->tail, own);
	tables->cpu[cpu].before = before;
	while (load_acquire(&tables->node[before].locked) != 0)
		cpu_relax();
}
ALWAYS void release(void *lock, const struct tables *tables, int64_t cpu)
{
	int64_t own = tables->cpu[cpu].own;

	tables->cpu[cpu].own = tables->cpu[cpu].before;
	store_release(&tables->node[own].locked, 0);
}
#elif defined(LOCK_empty)
ALWAYS void acquire(void *lock, const struct tables *tables, int64_t cpu)
{
}
ALWAYS void release(void *lock, const struct tables *tables, int64_t cpu)
{
}
#else
#error "this peer does not have that lock"
#endif
