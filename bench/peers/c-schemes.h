/*
 * The schemes of the C peer: those of shmkret/schemes/, of the same name, store for store.
 *
 * obtain, refuse, push, begin_walk, first, rp_of, take and end_walk are what shmkret/schemes/__init__.py says of them. in_task: a
 * constant, 0 inside an interrupt, which has no interrupts to mask.
 */
#pragma once

ALWAYS int64_t hash_ptr(const struct kernel *k, int64_t task)
{
	return ((uint64_t)k->tasks[task].address * k->hash_multiplier) >> (64 - KPROBE_HASH_BITS);
}

#if defined(SCHEME_objpool)
ALWAYS int64_t pop(const struct kernel *k, int64_t place)
{
	struct scheme_ring *ring = &k->ring[place];
	int64_t head = load_acquire(&ring->head), last = load_acquire(&ring->last);

	while (head != last) {
		if (0 < last - head && last - head <= k->ring_words) {
			int64_t ri = load_relaxed(&k->slot[place * k->ring_words + (head & (k->ring_words - 1))].word);
			int64_t seen = cmpxchg(&ring->head, head, head + 1);
			if (seen == head)
				return ri;
			head = seen;
		} else {
			head = load_acquire(&ring->head);
		}
		last = load_acquire(&ring->last);
	}
	return NIL;
}

ALWAYS void push_own(const struct kernel *k, int64_t cpu, int in_task, int64_t rp, int64_t ri)
{
	int64_t flags = irqsave(k, cpu, in_task);
	int64_t place = rp * k->nr_cpus + cpu;
	struct scheme_ring *ring = &k->ring[place];
	int64_t tail = load_relaxed(&ring->tail), seen;

	while ((seen = cmpxchg(&ring->tail, tail, tail + 1)) != tail)
		tail = seen;
	store_relaxed(&k->slot[place * k->ring_words + (tail & (k->ring_words - 1))].word, ri);
	store_release(&ring->last, tail + 1);
	irqrestore(k, cpu, in_task, flags);
}

ALWAYS int64_t obtain(const struct kernel *k, int64_t cpu, int in_task, int64_t rp)
{
	int64_t flags = irqsave(k, cpu, in_task);
	int64_t ri = NIL;

	for (int64_t turn = 0; ri == NIL && turn < k->nr_cpus; turn++) {
		int64_t at = cpu + turn;
		ri = pop(k, rp * k->nr_cpus + (at < k->nr_cpus ? at : at - k->nr_cpus));
	}
	irqrestore(k, cpu, in_task, flags);
	if (ri == NIL)
		fetch_add(&k->probes[rp].nmissed, 1);
	return ri;
}

ALWAYS void refuse(const struct kernel *k, int64_t cpu, int in_task, int64_t rp, int64_t ri)
{
	push_own(k, cpu, in_task, rp, ri);
}

ALWAYS void push(const struct kernel *k, int64_t cpu, int in_task, int64_t ri, int64_t task)
{
	k->instances[ri].next = k->list[task].first;
	k->list[task].first = ri;
}

ALWAYS int64_t begin_walk(const struct kernel *k, int64_t cpu, int in_task, int64_t task)
{
	return task;
}

ALWAYS int64_t first(const struct kernel *k, int64_t where)
{
	return k->list[where].first;
}

ALWAYS int64_t rp_of(const struct kernel *k, int64_t ri)
{
	int64_t rp = k->instances[ri].rp;

	return load_acquire(&k->pool[rp].incarnation) == k->of[ri].incarnation ? rp : NIL;
}

ALWAYS int take(const struct kernel *k, int64_t cpu, int in_task, int64_t where, int64_t prev, int64_t ri)
{
	if (prev == NIL)
		k->list[where].first = k->instances[ri].next;
	else
		k->instances[prev].next = k->instances[ri].next;
	int64_t rp = rp_of(k, ri);
	if (rp != NIL)
		push_own(k, cpu, in_task, rp, ri);
	return rp == NIL;
}

ALWAYS void end_walk(const struct kernel *k, int64_t cpu, int in_task, int64_t where, int64_t task)
{
}
#else /* lists in buckets */
ALWAYS int64_t first(const struct kernel *k, int64_t where)
{
	return k->buckets[where].first;
}

ALWAYS int64_t rp_of(const struct kernel *k, int64_t ri)
{
	return k->instances[ri].rp;
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
#endif

#if defined(SCHEME_global)
ALWAYS void take_kretprobe_lock(const struct kernel *k, int64_t cpu, int in_task)
{
	int64_t flags = irqsave(k, cpu, in_task);

	if (in_task)
		k->cpus[cpu].irq_flags = flags;
	acquire(&k->locks[0], &k->tables_of_locks, cpu);
}

ALWAYS void drop_kretprobe_lock(const struct kernel *k, int64_t cpu, int in_task)
{
	release(&k->locks[0], &k->tables_of_locks, cpu);
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

ALWAYS void push(const struct kernel *k, int64_t cpu, int in_task, int64_t ri, int64_t task)
{
	int64_t rp = k->instances[ri].rp, bucket = hash_ptr(k, task);

	k->probes[rp].free = k->instances[ri].next;
	int64_t first = k->used[rp].first;
	k->link[ri].next = first;
	k->link[ri].prev = NIL;
	if (first != NIL)
		k->link[first].prev = ri;
	k->used[rp].first = ri;
	push_bucket(k, ri, bucket);
	drop_kretprobe_lock(k, cpu, in_task);
}

ALWAYS int64_t begin_walk(const struct kernel *k, int64_t cpu, int in_task, int64_t task)
{
	take_kretprobe_lock(k, cpu, in_task);
	return hash_ptr(k, task);
}

ALWAYS void end_walk(const struct kernel *k, int64_t cpu, int in_task, int64_t where, int64_t task)
{
	drop_kretprobe_lock(k, cpu, in_task);
}

ALWAYS int take(const struct kernel *k, int64_t cpu, int in_task, int64_t where, int64_t prev, int64_t ri)
{
	int64_t rp = k->instances[ri].rp;

	if (rp == NIL)
		return 1;
	unlink_bucket(k, ri, prev, where);
	int64_t after = k->link[ri].next, before = k->link[ri].prev;
	if (before == NIL)
		k->used[rp].first = after;
	else
		k->link[before].next = after;
	if (after != NIL)
		k->link[after].prev = before;
	push_free(k, ri, rp);
	return 0;
}
#elif defined(SCHEME_hashed) || defined(SCHEME_rfc)
ALWAYS int64_t obtain(const struct kernel *k, int64_t cpu, int in_task, int64_t rp)
{
	int64_t flags = irqsave(k, cpu, in_task);

	acquire(&k->locks[rp], &k->tables_of_locks, cpu);
	int64_t ri = k->probes[rp].free;
	if (ri == NIL)
		k->probes[rp].nmissed++;
	else
		k->probes[rp].free = k->instances[ri].next;
	release(&k->locks[rp], &k->tables_of_locks, cpu);
	irqrestore(k, cpu, in_task, flags);
	return ri;
}

ALWAYS void refuse(const struct kernel *k, int64_t cpu, int in_task, int64_t rp, int64_t ri)
{
#if defined(SCHEME_rfc)
	release(&k->locks[rp], &k->tables_of_locks, cpu);
#else
	int64_t flags = irqsave(k, cpu, in_task);

	acquire(&k->locks[rp], &k->tables_of_locks, cpu);
	push_free(k, ri, rp);
	release(&k->locks[rp], &k->tables_of_locks, cpu);
	irqrestore(k, cpu, in_task, flags);
#endif
}

ALWAYS int64_t begin_walk(const struct kernel *k, int64_t cpu, int in_task, int64_t task)
{
	int64_t bucket = hash_ptr(k, task);
	int64_t flags = irqsave(k, cpu, in_task);

	if (in_task)
		k->cpus[cpu].irq_flags = flags;
	acquire(&k->table_locks[bucket], &k->tables_of_table_locks, cpu);
	return bucket;
}

ALWAYS void unlock_bucket(const struct kernel *k, int64_t cpu, int in_task, int64_t bucket)
{
	release(&k->table_locks[bucket], &k->tables_of_table_locks, cpu);
	irqrestore(k, cpu, in_task, k->cpus[cpu].irq_flags);
}

ALWAYS void end_walk(const struct kernel *k, int64_t cpu, int in_task, int64_t where, int64_t task)
{
#if defined(SCHEME_rfc)
	where = hash_ptr(k, task);
#endif
	unlock_bucket(k, cpu, in_task, where);
}

ALWAYS void push(const struct kernel *k, int64_t cpu, int in_task, int64_t ri, int64_t task)
{
	int64_t bucket = begin_walk(k, cpu, in_task, task);

	push_bucket(k, ri, bucket);
	unlock_bucket(k, cpu, in_task, bucket);
}

ALWAYS int take(const struct kernel *k, int64_t cpu, int in_task, int64_t where, int64_t prev, int64_t ri)
{
	int64_t rp = k->instances[ri].rp;

	if (rp == NIL)
		return 1;
	unlink_bucket(k, ri, prev, where);
	acquire(&k->locks[rp], &k->tables_of_locks, cpu);
	push_free(k, ri, rp);
	release(&k->locks[rp], &k->tables_of_locks, cpu);
	return 0;
}
#elif !defined(SCHEME_objpool)
#error "this peer does not have that scheme"
#endif
#if defined(SCHEME_global) || defined(SCHEME_rfc)
#define UNMARKED_WALK /* a bug of their time */
#endif
