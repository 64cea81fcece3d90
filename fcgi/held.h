/*
 * Bytes that requests which wait have this process keep: bodies of POSTs whose events are not done,
 * rows on their way to the poller. Past fcgi.memory_bytes who asks for more is told to come later.
 * Any thread.
 */
#ifndef CMDB_HELD_H
#define CMDB_HELD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct held {
	atomic_size_t bytes;
};

static inline void held_drop(struct held *h, size_t n)
{
	atomic_fetch_sub(&h->bytes, n);
}

/* false: that would be too much, and nothing is added. */
static inline bool held_add(struct held *h, size_t n, size_t max)
{
	if (atomic_fetch_add(&h->bytes, n) + n <= max)
		return true;
	held_drop(h, n);
	return false;
}

#endif
