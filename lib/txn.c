#include "txn.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "mem.h"
#include "perm.h"

#define TRIES 5
#define TRIES_LOST 2
#define PAUSE_NS 2000000u /* the longest before the second try; it doubles */
#define ACTION_MAX 64
#define TARGET_MAX 255

/* The primary key makes a second owner of a key wait here until the first has committed or rolled
 * back. */
static const struct db_stmt key_claim = {"txn.key_claim",
	"INSERT INTO idempotency_keys (tenant_id, subject, idem_key, request_hash) VALUES (?, ?, "
	"?, ?)",
	4, 0};
static const struct db_stmt key_renew = {"txn.key_renew",
	"UPDATE idempotency_keys SET request_hash = ?, status = 0, response = NULL, "
	"created_at = CURRENT_TIMESTAMP(3) WHERE tenant_id = ? AND subject = ? AND idem_key = ? "
	"AND created_at < CURRENT_TIMESTAMP(3) - INTERVAL ? SECOND",
	5, 0};
static const struct db_stmt key_read = {"txn.key_read",
	"SELECT request_hash, status, response FROM idempotency_keys "
	"WHERE tenant_id = ? AND subject = ? AND idem_key = ? LIMIT 1",
	3, 3};
static const struct db_stmt key_store = {"txn.key_store",
	"UPDATE idempotency_keys SET status = ?, response = ? "
	"WHERE tenant_id = ? AND subject = ? AND idem_key = ?",
	5, 0};
static const struct db_stmt audit_add = {"txn.audit_add",
	"INSERT INTO audit_log (tenant_id, subject, action, target, request_id, address) "
	"VALUES (?, ?, ?, ?, ?, ?)",
	6, 0};

static const struct db_stmt *const stmts[] = {
	&key_claim, &key_renew, &key_read, &key_store, &audit_add, NULL};
const struct db_set txn_sql = {"txn", stmts, false};

struct txn_audit {
	char *action, *target;
};

/* ---- what the work leaves ---- */

static char *dup_or_null(const char *text)
{
	return text ? xstrdup(text) : NULL;
}

void txn_emit(struct txn *t, const struct event_out *e)
{
	struct event_out *own;

	t->events = xreallocarray(t->events, t->events_n + 1, sizeof(*t->events));
	own = &t->events[t->events_n++];
	*own = *e;
	own->topic = xstrdup(e->topic);
	own->payload = xstrdup(e->payload);
	own->room = dup_or_null(e->room);
	own->name = dup_or_null(e->name);
}

void txn_audit(struct txn *t, const char *action, const char *target)
{
	t->audits = xreallocarray(t->audits, t->audits_n + 1, sizeof(*t->audits));
	t->audits[t->audits_n++] =
		(struct txn_audit){.action = xstrdup(action), .target = xstrdup(target)};
}

void txn_reset(struct txn *t)
{
	for (size_t i = 0; i < t->events_n; i++) {
		free((char *)t->events[i].topic);
		free((char *)t->events[i].payload);
		free((char *)t->events[i].room);
		free((char *)t->events[i].name);
	}
	for (size_t i = 0; i < t->audits_n; i++) {
		free(t->audits[i].action);
		free(t->audits[i].target);
	}
	free(t->events);
	free(t->audits);
	t->events = NULL;
	t->audits = NULL;
	t->events_n = t->audits_n = 0;
	t->is_unknown = false;
}

void txn_put_subject(struct str *out, const struct principal *who)
{
	/* The username of an API key begins with "apikey:". */
	str_addf(out, "%s%s", who->apikey_id ? "" : "user:", who->username);
}

/* ---- the key ---- */

/* The key has an owner, whose answer is this one's too. */
static enum err txn_replay(struct txn *t, const struct txn_work *work, void *arg)
{
	const struct txn_key *key = t->key;
	const struct db_val in[] = {DBV_U(key->tenant_id), dbv_s(key->subject), dbv_s(key->text)};
	const struct db_val *row;
	enum err e = db_one(t->db, &key_read, in, 3, &row);
	struct slice body = {"", 0};

	if (e != ERR_OK)
		return e;
	if (!row) /* pruned between the two statements */
		return ERR_DB_RETRY;
	if (row[0].s.len != sizeof(key->hash) ||
		memcmp(row[0].s.p, key->hash, sizeof(key->hash)) != 0)
		return ERR_IDEMPOTENCY;
	if (row[2].type == DB_TEXT)
		body = (struct slice){row[2].s.p, row[2].s.len};
	work->replay(arg, (int)dbv_u(&row[1]), body);
	return ERR_OK;
}

/* *is_ours: this transaction owns the key. Else it was replayed. */
static enum err claim(struct txn *t, const struct txn_work *work, void *arg, bool *is_ours)
{
	const struct txn_key *key = t->key;
	const struct db_val in[] = {DBV_U(key->tenant_id), dbv_s(key->subject), dbv_s(key->text),
		dbv_b(key->hash, sizeof(key->hash))};
	const struct db_val renew[] = {in[3], in[0], in[1], in[2], DBV_I(key->ttl_s)};
	uint64_t n = 0;
	enum err e = db_exec(t->db, &key_claim, in, 4, NULL, NULL);

	*is_ours = e == ERR_OK;
	if (e != ERR_DB_DUP)
		return e;
	e = db_exec(t->db, &key_renew, renew, 5, &n, NULL);
	if (e != ERR_OK)
		return e;
	*is_ours = n > 0;
	return *is_ours ? ERR_OK : txn_replay(t, work, arg);
}

static enum err store(struct txn *t, const struct txn_work *work, void *arg)
{
	const struct txn_key *key = t->key;
	struct slice body = {"", 0};
	int status = 0;

	work->answer(arg, &status, &body);

	const struct db_val in[] = {DBV_I(status), dbv_b(body.p, body.len), DBV_U(key->tenant_id),
		dbv_s(key->subject), dbv_s(key->text)};

	return db_exec(t->db, &key_store, in, 5, NULL, NULL);
}

/* ---- audit ---- */

/* At most max bytes, and no half character at the end. */
static struct db_val clipped(const char *text, size_t max)
{
	size_t all = strlen(text), len = all < max ? all : max;

	while (len < all && len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	return dbv_b(text, len);
}

enum err txn_audit_now(const struct txn *t, const char *action, const char *target)
{
	const struct db_val in[] = {DBV_U(t->tenant_id), clipped(t->subject, TXN_SUBJECT_MAX),
		clipped(action, ACTION_MAX), clipped(target, TARGET_MAX), dbv_s(t->request_id),
		dbv_s(t->address)};

	return db_exec(t->db, &audit_add, in, 6, NULL, NULL);
}

static enum err write_audits(const struct txn *t)
{
	enum err e = ERR_OK;

	for (size_t i = 0; t->subject && i < t->audits_n && e == ERR_OK; i++)
		e = txn_audit_now(t, t->audits[i].action, t->audits[i].target);
	return e;
}

/* ---- the transaction ---- */

struct run {
	struct txn *txn;
	const struct txn_work *work;
	void *arg;
};

static enum err commit(const struct run *r)
{
	struct txn *t = r->txn;
	enum err e = db_commit(t->db);

	/* A needless look harms nobody. */
	if ((e == ERR_OK || e == ERR_DB_LOST) && r->work->told)
		r->work->told(t->events, t->events_n, r->arg);
	if (e != ERR_DB_LOST)
		return e;
	log_error("txn", "connection lost in COMMIT, outcome unknown: request_id=%s",
		t->request_id ? t->request_id : "-");
	t->is_unknown = true;
	return ERR_UNAVAILABLE;
}

static enum err attempt(void *arg)
{
	const struct run *r = arg;
	struct txn *t = r->txn;
	bool is_ours = true;
	enum err e;

	txn_reset(t);
	if (r->work->reset)
		r->work->reset(r->arg);
	e = db_begin(t->db);
	if (e == ERR_OK && t->key)
		e = claim(t, r->work, r->arg, &is_ours);
	if (e != ERR_OK || !is_ours) {
		db_rollback(t->db);
		return e;
	}
	e = r->work->run(t, r->arg);
	if (e == ERR_OK && t->key)
		e = store(t, r->work, r->arg);
	if (e == ERR_OK)
		e = write_audits(t);
	if (e == ERR_OK)
		e = event_insert_all(t->db, t->events, t->events_n);
	return e == ERR_OK ? commit(r) : e;
}

enum err txn_run(struct txn *t, const struct txn_work *work, void *arg)
{
	struct run r = {t, work, arg};
	enum err e = txn_retry(t->db, attempt, &r);
	bool is_unknown = t->is_unknown;

	txn_reset(t);
	t->is_unknown = is_unknown;
	return e;
}

/* ---- trying again ---- */

/* Whoever had the same deadlock tries at another time. */
static void txn_back_off(int tried)
{
	uint32_t random;

	secret_random(&random, sizeof(random));
	nanosleep(&(struct timespec){.tv_nsec = (long)(random % (PAUSE_NS << tried))}, NULL);
}

enum err txn_retry(struct db *db, enum err (*step)(void *arg), void *arg)
{
	enum err e = ERR_DB_RETRY;

	for (int i = 0; i < TRIES; i++) {
		if (e != ERR_DB_RETRY && !(e == ERR_DB_LOST && i < TRIES_LOST))
			break;
		if (i > 0)
			txn_back_off(i);
		e = db_ensure(db);
		if (e == ERR_OK)
			e = step(arg);
		if (e != ERR_OK)
			db_rollback(db);
	}
	return e;
}

enum err txn_commit(struct db *db)
{
	enum err e = db_commit(db);

	return e == ERR_DB_LOST ? ERR_UNAVAILABLE : e;
}
