/*
 * The ordering rule, without any I/O: ids come in as a reader sees them, events come out in id
 * order and none is passed over while its transaction may still commit.
 *
 * AUTO_INCREMENT order is not commit order, so a missing id below a visible one is a *gap*: in
 * flight, or dead (rolled back, or a hole). `tail` is the last id that is settled. The lowest gap
 * lies between the tail and the first pending event, always: everything below it has been let go.
 * The tail's owner looks into that gap, and tells what it saw: order_fill() for rows that have
 * come, order_gap_dead() when no row and no lock is left in it and it was old.
 *
 * A gap is old when it lies below the largest id as it was one grace time ago: an id is given out
 * microseconds before its row is inserted and can be found by its lock. The samples age all gaps at
 * once.
 *
 * One thread owns a struct order.
 */
#ifndef CMDB_ORDER_H
#define CMDB_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* A range of ids, both ends in it. */
struct span {
	uint64_t first, last;
};

struct order_item {
	uint64_t id;
	TAILQ_ENTRY(order_item) entry;
};
TAILQ_HEAD(order_list, order_item);

struct order_sample {
	int64_t at_ms;
	uint64_t largest;
};

/* An id that the binlog showed committed. */
struct order_promise {
	uint64_t id;
	int64_t since_ms;
};

#define ORDER_SAMPLES_N 64
#define ORDER_PROMISES_N 1024
#define ORDER_PROMISE_MS 3000 /* how long one is waited for; then the probe decides */
#define ORDER_DEAD_N 4096

struct order {
	uint64_t tail;    /* last settled id */
	uint64_t seen;    /* largest id added so far, at least tail */
	uint64_t largest; /* largest id known to exist: seen or announced */
	int64_t grace_ms, hold_limit_ms;
	struct order_list pending; /* ascending, all above tail */
	size_t pending_n;
	struct order_sample samples[ORDER_SAMPLES_N]; /* a ring, oldest at samples_at */
	size_t samples_at, samples_n;
	struct order_promise promises[ORDER_PROMISES_N]; /* not yet visible; oldest first */
	size_t promises_n;
	struct span dead[ORDER_DEAD_N]; /* the latest dead ranges, a ring */
	size_t dead_at;
	uint64_t gap_first; /* the gap that gap_since_ms belongs to */
	int64_t gap_since_ms;
	uint64_t dead_ids; /* counted */
};

enum order_age {
	ORDER_YOUNG,  /* nothing can be concluded yet: read it again */
	ORDER_OLD,    /* probe: nothing there and no lock means dead */
	ORDER_EXPIRED /* in flight for longer than the hold limit */
};

void order_init(struct order *o, uint64_t tail, int64_t grace_ms, int64_t hold_limit_ms);
/* Gives back what is pending, to be freed by the caller, and starts again at tail. */
struct order_item *order_drain(struct order *o);

/* A visible row above o->seen, ascending. The item is the order's until order_next() gives it back.
 */
void order_add(struct order *o, struct order_item *item);
/* A visible row within the lowest gap. Ascending within one look at the gap. false (and the item
 * stays the caller's) if the id is not in the gap or already there. */
bool order_fill(struct order *o, struct order_item *item);
/* Notes how far ids have got, at most every grace/8 or so; call once a cycle. */
void order_sample(struct order *o, int64_t now_ms);
/* An id that was announced as committed: not declared dead before it was seen, or
 * ORDER_PROMISE_MS are over. Returns true if it lies in a range that was passed as dead or given
 * up: it is late, and so may be those behind it in that range; *late is where to look. */
bool order_announce(struct order *o, uint64_t id, int64_t now_ms, struct span *late);
/* Rows were deleted: what was announced may never show. The probe decides about all of it. */
void order_unpromise(struct order *o);
/* A late one has been delivered: it is not late a second time. */
void order_late_seen(struct order *o, uint64_t id);
/* Is something announced, not long ago, that no read has shown yet? */
bool order_is_awaited(struct order *o, int64_t now_ms);

/* The lowest gap, and what may be concluded about it now. false: there is none. */
bool order_gap(struct order *o, int64_t now_ms, struct span *gap, enum order_age *age);
/* Nothing is in the gap and nothing is locked there: it is passed. Only for an old gap. */
void order_gap_dead(struct order *o, struct span gap);
/* The gap is passed though a transaction holds ids in it: late ones may come. */
void order_gap_give_up(struct order *o, struct span gap);

/* The next event in order, which is the caller's again, or NULL. */
struct order_item *order_next(struct order *o);

#endif
