/* What the files of the tail share (tail.c, tail_read.c, tail_log.c); nobody else's. */
#ifndef CMDB_TAIL_INTERNAL_H
#define CMDB_TAIL_INTERNAL_H

#include <pthread.h>

#include "db.h"
#include "err.h"
#include "order.h"
#include "tail.h"
#include "told.h"
#include "watch.h"
#include "writer.h"

#define TAIL_PENDING_MAX 200000 /* above these nothing more is read until a gap is settled */
#define TAIL_PENDING_BYTES_MAX (256u * 1024 * 1024)
#define TAIL_ANNOUNCED_MAX 4096
#define TAIL_PAST_N 8

/* The newest event of those released: a log where that id is another event is another log. id 0:
 * none. */
struct tail_mark {
	uint64_t id, stamp, table; /* table: when it was made */
};

struct tail {
	const struct config *cfg;
	struct mailbox *to;
	void (*open_start)(struct mail *, void *);
	void (*open_batch)(struct mail *, void *);
	pthread_t thread;

	pthread_mutex_t lock; /* what wakes: the next five */
	pthread_cond_t cond;
	bool is_woken, is_stopping;
	uint64_t announced[TAIL_ANNOUNCED_MAX];
	size_t announced_n;
	bool is_unpromised;
	_Atomic bool is_pushed;
	struct writer writer; /* under the lock too: the server, and what speaks against it */
	const char *writer_problem;

	/* the thread's own */
	struct db *db, *probe;
	unsigned probe_generation;
	char epoch[33], past[TAIL_PAST_N][33]; /* past: epochs before it, since the start */
	size_t past_n;
	bool is_started, is_ready;
	uint64_t resume;                /* how far the last run of any poller was; 0: not known */
	bool is_refused;                /* it may not write a new epoch */
	struct tail_mark mark, newest;  /* as of the last check; now */
	uint64_t table;                 /* when it was made, as far as is known */
	int64_t started_ms, checked_ms; /* checked: that it is the same log still */
	struct order order;
	size_t pending_bytes; /* of what is in order */
	struct watch watch;   /* where an event may still show up behind the tail */
	int64_t watched_ms;
	struct told told; /* control events that did not wait for their turn */
	int64_t awaited_retry_us;
	int64_t renamed_told_ms; /* 0: never */
	struct tail_stats stats;
	_Atomic uint64_t *figures;
};

/* ---- tail.c ---- */
void tail_post(struct tail *t, struct record **records, size_t n, enum tail_batch_kind kind);

/* ---- tail_read.c: the ordering rule, applied to the table ---- */
extern const struct db_set tail_read_sql, tail_probe_sql;
/* Releases all that can be now. *is_held: a gap is left, or there is more than may wait. */
enum err tail_look(struct tail *t, bool *is_held);
/* Looks for events that came behind the tail. */
enum err tail_look_behind(struct tail *t);

/* ---- tail_log.c: which log it is ---- */
extern const struct db_set tail_log_sql;
/* Begins, then makes sure now and then that the log is the one it was; on a new connection at once.
 */
enum err tail_log_check(struct tail *t, bool is_new_connection);

#endif
