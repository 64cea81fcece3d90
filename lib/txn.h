/*
 * A unit of work: one transaction, with its audit rows and its events, whoever asks for it: a REST
 * request, an event of a Socket.IO client, or the poller itself. txn_run() alone begins, commits
 * and runs again:
 *
 *   begin, the key's claim, the work, the key's answer, audit rows, events, commit, told
 *
 * Events come last, by one INSERT, for from an event's id to its commit others wait for it. What
 * the database rolls back for a deadlock, or loses with its connection before COMMIT, is run again
 * from the beginning, so the work changes nothing but the database and what `reset` empties.
 *
 * With a key the work is done once, however often it is asked for: its answer is stored in the same
 * transaction (table idempotency_keys), and given again. Who comes while the first is at it waits
 * for it.
 *
 * The thread that owns db; blocks.
 */
#ifndef CMDB_TXN_H
#define CMDB_TXN_H

#include "bytes.h"
#include "db.h"
#include "event.h"
#include "secret.h"
#include "str.h"

#define TXN_KEY_MAX 128    /* bytes of a key */
#define TXN_SUBJECT_MAX 96 /* bytes of who did it, in an audit row; more are cut off */

struct txn_key {
	uint32_t tenant_id;
	char subject[32];               /* whose key it is: "u:<user id>", "k:<api key id>" */
	const char *text;               /* borrowed */
	uint8_t hash[SECRET_HASH_SIZE]; /* of what is asked for: with another it is refused */
	int64_t ttl_s;                  /* an older answer is forgotten */
};

struct txn;

/* What is done, with arg. */
struct txn_work {
	/* Before each run: forgets what the one before left. NULL: nothing. */
	void (*reset)(void *arg);
	/* The changes. ERR_OK: to be committed. Anything else but ERR_DB_RETRY and ERR_DB_LOST
	 * rolls back and is what txn_run() returns. */
	enum err (*run)(struct txn *t, void *arg);
	/* With a key: what is stored, borrowed; and what was, in place of run(). */
	void (*answer)(void *arg, int *status, struct slice *body);
	void (*replay)(void *arg, int status, struct slice body);
	/* After COMMIT, also when its outcome is not known: these may be in the log now. */
	void (*told)(const struct event_out *events, size_t n, void *arg);
};

struct txn {
	struct db *db;
	uint32_t tenant_id;               /* of audit rows */
	const char *subject;              /* of audit rows: who did it; NULL: none are written */
	const char *request_id, *address; /* the same; NULL: none */
	const struct txn_key *key;        /* NULL: none */
	/* Its own: */
	struct event_out *events;
	size_t events_n;
	struct txn_audit *audits;
	size_t audits_n;
	bool is_unknown; /* the connection was lost in COMMIT: ERR_UNAVAILABLE, and nobody knows */
};

extern const struct db_set txn_sql;

/* ERR_OK: committed, or replayed. ERR_IDEMPOTENCY: the key is there with another hash. Else as
 * said, or of the database when it went on to refuse; nothing was changed then. */
enum err txn_run(struct txn *t, const struct txn_work *work, void *arg)
	__attribute__((warn_unused_result));

/* For run(); texts are copied. */
void txn_emit(struct txn *t, const struct event_out *e);
void txn_audit(struct txn *t, const char *action, const char *target);
/* Frees what is its own. After txn_run() nothing is left of it. */
void txn_reset(struct txn *t);

/* "user:<name>", "apikey:<name>": the subject of whoever has this principal. */
struct principal;
void txn_put_subject(struct str *out, const struct principal *who);

/* ---- for those who keep transactions of their own ---- */

/* Runs step, with a connection, again after a deadlock or, once, when the connection was lost, with
 * a growing pause. Whatever fails is rolled back. */
enum err txn_retry(struct db *db, enum err (*step)(void *arg), void *arg)
	__attribute__((warn_unused_result));
/* COMMIT. One whose fate is not known is ERR_UNAVAILABLE, so that it is not tried again. */
enum err txn_commit(struct db *db) __attribute__((warn_unused_result));
/* An audit row, now. */
enum err txn_audit_now(const struct txn *t, const char *action, const char *target)
	__attribute__((warn_unused_result));

#endif
