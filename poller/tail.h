/*
 * Follows ws_events: one thread that sleeps until something may be new, reads the table past what
 * it has seen, applies the ordering rule and posts what is released to the loop. It owns two
 * database connections: one that reads, one that probes gaps (innodb_lock_wait_timeout=0).
 *
 * What may be new is told by three sources. A source only wakes; many wake-ups cost one SELECT.
 */
#ifndef CMDB_TAIL_H
#define CMDB_TAIL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "figure.h"
#include "floors.h"
#include "mailbox.h"
#include "record.h"
#include "str.h"

enum source { SOURCE_BINLOG, SOURCE_DOORBELL, SOURCE_TIMER, SOURCE_N };

/* Written by the tail thread, read by any; what it counts goes into the figures. */
struct tail_stats {
	_Atomic uint64_t seen;
	_Atomic int64_t gap_since_ms; /* 0: no gap is held */
	_Atomic int64_t read_ok_ms;   /* the last read of the table that succeeded */
	_Atomic bool is_db_up;
};

/* The log as it was found, at the start and when it has become another one: all that was told of
 * the one before is void. Nothing is released before. */
struct tail_start {
	struct mail mail;
	char epoch[33];
	char why[160]; /* it is another one; "" at an ordinary start */
	uint64_t tail; /* events above it follow in batches */
	struct floors floors;
};

enum tail_batch_kind {
	BATCH_RELEASED, /* the next events, in order */
	BATCH_LATE,     /* they lie behind the tail: delivered all the same, not kept */
	BATCH_READY,    /* no events: the start has caught up with the table */
	BATCH_CONTROL,  /* "_auth" events ahead of their turn, in which they come again, is_told */
};

/* Events, and how far the log is settled by them. */
struct tail_batch {
	struct mail mail;
	enum tail_batch_kind kind;
	uint64_t tail, table; /* table: when it was made */
	size_t n;
	struct record **records; /* the opener takes them */
};

struct tail;

/* open_start and open_batch run on the loop thread and free what they take. */
struct tail *tail_new(const struct config *cfg, _Atomic uint64_t *figures, struct mailbox *to,
	void (*open_start)(struct mail *, void *), void (*open_batch)(struct mail *, void *));
void tail_run(struct tail *t);  /* starts the thread */
void tail_stop(struct tail *t); /* ends and joins it; at most as long as a query takes */
void tail_free(struct tail *t);
void tail_batch_free(struct tail_batch *b); /* with its records */

/* Any thread. */
void tail_wake(struct tail *t, enum source source);
/* Ids whose transaction has been committed, though it may not be visible yet; wakes as well. */
void tail_announce(struct tail *t, const uint64_t *ids, size_t n);
/* Rows were taken out of the table: what was announced may never show. Wakes as well. */
void tail_unpromise(struct tail *t);
/* Whether the binlog tells of commits now: the timer slows down then. */
void tail_set_pushed(struct tail *t, bool is_pushed);
const struct tail_stats *tail_stats(const struct tail *t);
/* Which server it is connected to; "": none yet. */
void tail_server(struct tail *t, char *server, size_t size);
/* Appends {"server","is_writer","reason"}. */
void tail_add_writer(struct tail *t, struct str *json);

#endif
