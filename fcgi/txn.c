#include "txn.h"

#include <string.h>
#include <time.h>

#include "ctx.h"
#include "log.h"
#include "loop.h"
#include "secret.h"
#include "shm.h"
#include "worker.h"

#define TRIES 5
#define IDEM_KEY_MAX 128
#define AUDIT_ACTION_MAX 64
#define AUDIT_TARGET_MAX 255
#define AUDIT_SUBJECT_MAX 96

/* The primary key makes a second owner of a key wait here until the first has committed or rolled
 * back. */
static const struct db_stmt idem_claim = {"idem_claim",
	"INSERT INTO idempotency_keys (tenant_id, subject, idem_key, request_hash) VALUES (?, ?, "
	"?, ?)",
	4, 0};
static const struct db_stmt idem_renew = {"idem_renew",
	"UPDATE idempotency_keys SET request_hash = ?, status = 0, response = NULL, "
	"created_at = CURRENT_TIMESTAMP(3) WHERE tenant_id = ? AND subject = ? AND idem_key = ? "
	"AND created_at < CURRENT_TIMESTAMP(3) - INTERVAL ? SECOND",
	5, 0};
static const struct db_stmt idem_read = {"idem_read",
	"SELECT request_hash, status, response FROM idempotency_keys "
	"WHERE tenant_id = ? AND subject = ? AND idem_key = ? LIMIT 1",
	3, 3};
static const struct db_stmt idem_store = {"idem_store",
	"UPDATE idempotency_keys SET status = ?, response = ? "
	"WHERE tenant_id = ? AND subject = ? AND idem_key = ?",
	5, 0};
static const struct db_stmt audit_add = {"audit_add",
	"INSERT INTO audit_log (tenant_id, subject, action, target, request_id, address) "
	"VALUES (?, ?, ?, ?, ?, ?)",
	6, 0};

static const struct db_stmt *const stmts[] = {
	&idem_claim, &idem_renew, &idem_read, &idem_store, &audit_add, NULL};
const struct db_set txn_sql = {"txn", stmts, false};

/* One request's key; text empty if it has none. */
struct key {
	char subject[32];
	uint8_t hash[SECRET_HASH_SIZE];
	const char *text;
};

/* ---- Idempotency-Key ---- */

static bool read_key(struct ctx *ctx, struct key *key)
{
	struct str all = STR_INIT, subject = STR_INIT;
	size_t len = strlen(ctx->req.idempotency_key);

	key->text = ctx->who ? ctx->req.idempotency_key : "";
	if (!key->text[0])
		return true;
	if (len > IDEM_KEY_MAX || !json_is_utf8(key->text, len)) {
		ctx_problem(
			ctx, "Idempotency-Key", "must be UTF-8 and at most %d bytes", IDEM_KEY_MAX);
		ctx_fail(ctx, ERR_BAD_REQUEST, NULL);
		return false;
	}
	str_addf(&subject, "%c:%llu", ctx->who->apikey_id ? 'k' : 'u',
		(unsigned long long)(ctx->who->apikey_id ? ctx->who->apikey_id
							 : ctx->who->user_id));
	memcpy(key->subject, subject.p, subject.len + 1);
	str_addf(&all, "%d %s\n", (int)ctx->req.method, ctx->req.path);
	str_add(&all, ctx->req.body, ctx->req.body_len);
	secret_hash(key->hash, all.p, all.len);
	str_fini(&subject);
	str_fini(&all);
	return true;
}

/* The key has an owner, whose answer is this one's too. */
static enum err replay(struct ctx *ctx, const struct key *key)
{
	struct db_val in[] = {DBV_U(ctx->who->tenant_id), dbv_s(key->subject), dbv_s(key->text)};
	const struct db_val *row;
	enum err e = db_one(ctx->db, &idem_read, in, 3, &row);

	if (e != ERR_OK)
		return e;
	if (!row) /* pruned between the two statements */
		return ERR_DB_RETRY;
	if (row[0].s.len != sizeof(key->hash) ||
		memcmp(row[0].s.p, key->hash, sizeof(key->hash)) != 0) {
		ctx_fail(ctx, ERR_IDEMPOTENCY, NULL);
		return ERR_OK;
	}
	ctx->res.status = (int)dbv_u(&row[1]);
	ctx->res.content_type = "application/json";
	str_adds(&ctx->res.headers, "Idempotency-Replayed: true\r\n");
	if (row[2].type == DB_TEXT)
		str_add(&ctx->res.body, row[2].s.p, row[2].s.len);
	return ERR_OK;
}

/* *is_ours: this transaction owns the key; else the answer is there. */
static enum err claim(struct ctx *ctx, const struct key *key, bool *is_ours)
{
	struct db_val in[] = {DBV_U(ctx->who->tenant_id), dbv_s(key->subject), dbv_s(key->text),
		dbv_b(key->hash, sizeof(key->hash))};
	struct db_val renew[] = {
		in[3], in[0], in[1], in[2], DBV_I(ctx->cfg->http.idempotency_ttl_s)};
	uint64_t n = 0;
	enum err e = db_exec(ctx->db, &idem_claim, in, 4, NULL, NULL);

	*is_ours = e == ERR_OK;
	if (e != ERR_DB_DUP)
		return e;
	e = db_exec(ctx->db, &idem_renew, renew, 5, &n, NULL);
	if (e != ERR_OK)
		return e;
	*is_ours = n > 0;
	return *is_ours ? ERR_OK : replay(ctx, key);
}

static enum err store(struct ctx *ctx, const struct key *key)
{
	struct db_val in[] = {DBV_I(ctx->res.status),
		dbv_b(str_c(&ctx->res.body), ctx->res.body.len), DBV_U(ctx->who->tenant_id),
		dbv_s(key->subject), dbv_s(key->text)};

	return db_exec(ctx->db, &idem_store, in, 5, NULL, NULL);
}

/* ---- audit and events ---- */

/* At most max bytes, and no half character at the end. */
static struct db_val clipped(const struct str *s, size_t max)
{
	size_t len = s->len < max ? s->len : max;

	while (len < s->len && len > 0 && ((unsigned char)s->p[len] & 0xc0) == 0x80)
		len--;
	return dbv_b(str_c(s), len);
}

static const char *method_name(enum http_method method)
{
	return method == HTTP_POST ? "POST" : method == HTTP_PUT ? "PUT" : "DELETE";
}

enum err txn_audit(struct ctx *ctx, const struct str *action, const struct str *target)
{
	struct str subject = STR_INIT;
	struct db_val in[6];
	enum err e;

	/* The username of an API key begins with "apikey:". */
	str_addf(&subject, "%s%s", ctx->who->apikey_id ? "" : "user:", ctx->who->username);
	in[0] = DBV_U(ctx->who->tenant_id);
	in[1] = clipped(&subject, AUDIT_SUBJECT_MAX);
	in[2] = clipped(action, AUDIT_ACTION_MAX);
	in[3] = clipped(target, AUDIT_TARGET_MAX);
	in[4] = dbv_s(ctx->req.request_id);
	in[5] = dbv_s(ctx->req.remote_addr);
	e = db_exec(ctx->db, &audit_add, in, 6, NULL, NULL);
	str_fini(&subject);
	return e;
}

static enum err audit(struct ctx *ctx)
{
	struct str action = STR_INIT;
	enum err e;

	if (!ctx->who)
		return ERR_OK;
	str_addf(&action, "%s %s", method_name(ctx->req.method), ctx->route->pattern);
	e = txn_audit(ctx, &action, &ctx->audit_target);
	str_fini(&action);
	return e;
}

static enum err insert_events(struct ctx *ctx)
{
	for (size_t i = 0; i < ctx->emitted_n; i++) {
		const struct emitted *m = &ctx->emitted[i];
		struct event_out out = {.tenant_id = m->tenant_id,
			.topic = m->topic,
			.type = m->type,
			.payload = m->payload,
			.room = m->room};
		enum err e = event_insert(ctx->db, &out, NULL);

		if (e != ERR_OK)
			return e;
	}
	return ERR_OK;
}

static void tell(struct ctx *ctx)
{
	struct app *app = ctx->worker->app;
	struct shm *shm = atomic_load(&app->shm);

	for (size_t i = 0; i < ctx->emitted_n; i++)
		shm_raise(shm, ctx->emitted[i].tenant_id, ctx->emitted[i].topic);
	if (ctx->emitted_n > 0)
		loop_doorbell(app->loop);
}

/* ---- the transaction ---- */

static enum err finish(struct ctx *ctx, const struct key *key)
{
	enum err e = ERR_OK;

	if (key->text[0])
		e = store(ctx, key);
	if (e == ERR_OK)
		e = audit(ctx);
	if (e == ERR_OK)
		e = insert_events(ctx);
	if (e != ERR_OK)
		return e;
	e = db_commit(ctx->db);
	if (e == ERR_OK || e == ERR_DB_LOST)
		tell(ctx); /* also when it is not known: a needless look harms nobody */
	if (e == ERR_DB_LOST) {
		log_error("db", "connection lost in COMMIT, outcome unknown: request_id=%s",
			ctx->req.request_id);
		ctx_fail(ctx, ERR_UNAVAILABLE,
			"The database went away while it committed, so it is not known "
			"whether the change was made. Send the request again with an "
			"Idempotency-Key; "
			"if it had one, with the same.");
		return ERR_OK;
	}
	return e;
}

/* One try. ERR_OK: ctx->res is the answer. */
static enum err attempt(struct ctx *ctx, const struct key *key)
{
	bool is_ours = true;
	enum err e = db_ensure(ctx->db);

	if (e == ERR_OK)
		e = db_begin(ctx->db);
	if (e == ERR_OK && key->text[0])
		e = claim(ctx, key, &is_ours);
	if (e == ERR_OK && is_ours) {
		ctx->route->handle(ctx);
		e = ctx->failed;
		if (e == ERR_OK && ctx->res.status < 400)
			e = finish(ctx, key);
		else if (e != ERR_DB_RETRY && e != ERR_DB_LOST)
			e = ERR_OK; /* the handler's own refusal */
	}
	db_rollback(ctx->db);
	return e;
}

static void back_off(int tried)
{
	uint32_t random;

	secret_random(&random, sizeof(random));
	nanosleep(&(struct timespec){.tv_nsec = (long)(random % (2000000u << tried))}, NULL);
}

void txn_run(struct ctx *ctx)
{
	struct key key = {.text = ""};
	enum err e = ERR_DB_RETRY;

	if (!read_key(ctx, &key))
		return;
	/* A connection lost before COMMIT took its transaction with it, so that is run again as
	 * well. */
	for (int i = 0; i < TRIES && (e == ERR_DB_RETRY || (e == ERR_DB_LOST && i < 2)); i++) {
		if (i > 0)
			back_off(i);
		ctx_reset(ctx);
		e = attempt(ctx, &key);
	}
	if (e == ERR_OK)
		return;
	ctx_reset(ctx);
	ctx_fail_db(ctx, e, ctx->route->pattern);
}

/* ---- for those who keep transactions of their own ---- */

enum err txn_retry(struct ctx *ctx, enum err (*step)(struct ctx *ctx, void *arg), void *arg)
{
	enum err e = ERR_DB_RETRY;

	for (int i = 0; i < TRIES && (e == ERR_DB_RETRY || (e == ERR_DB_LOST && i == 1)); i++) {
		e = db_ensure(ctx->db);
		if (e == ERR_OK)
			e = step(ctx, arg);
		if (e != ERR_OK)
			db_rollback(ctx->db);
	}
	return e;
}

enum err txn_commit(struct ctx *ctx)
{
	enum err e = db_commit(ctx->db);

	return e == ERR_DB_LOST ? ERR_UNAVAILABLE : e;
}
