#include "socket_connect.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app.h"
#include "clock.h"
#include "floors.h"
#include "identity.h"
#include "interest.h"
#include "log.h"
#include "on_sync.h"
#include "secret.h"
#include "worker.h"

#define RETRY_MS 100
#define SEEN_LATE_MS 60000 /* how far seen_at of a living session may be behind */

/* A session that its poller does not know any more, or that was another host's. */
static const struct db_stmt select_before = {
	.name = "connect.before",
	.sql = "SELECT socket_id, tenant_id, user_id, api_key_id, cursor_id, topics, epoch,"
	       " is_over, record"
	       " FROM ws_sessions WHERE pid = ? AND COALESCE(ended_at, seen_at) >"
	       " NOW(3) - INTERVAL IF(ended_at IS NULL, ?, ?) * 1000 MICROSECOND"
	       " ORDER BY connected_at DESC LIMIT 1",
	.params_n = 3,
	.cols_n = 9,
};
const struct db_set socket_connect_sql = {
	.name = "socket_connect",
	.stmts = (const struct db_stmt *const[]){&select_before, NULL},
};

void socket_make_ids(char id[SOCKET_ID_SIZE], char pid[SOCKET_PID_SIZE])
{
	uint8_t raw[18];

	static_assert(SECRET_BASE64_SIZE(15) == SOCKET_ID_SIZE, "a public id is 15 bytes");
	static_assert(SECRET_BASE64_SIZE(18) == SOCKET_PID_SIZE, "a private id is 18 bytes");
	secret_random(raw, 15);
	secret_base64(id, raw, 15);
	secret_random(raw, 18);
	secret_base64(pid, raw, 18);
}

/* ---- who ---- */

static bool has_caller(const struct caller_view *c)
{
	return c->user_id || c->apikey_id;
}

enum err socket_connect_find(
	struct socket_work *w, const struct packet *p, const struct principal **who)
{
	struct json_object *token = json_get(p->json, "token"), *key = json_get(p->json, "apiKey");
	struct json_object *shown = token ? token : key;
	enum identity_kind kind = token ? IDENTITY_TOKEN : IDENTITY_APIKEY;

	*who = NULL;
	if (!shown && has_caller(&w->state.caller))
		return identity_of_caller(&w->task, &w->state.caller, who);
	if (!shown)
		return ERR_UNAUTHENTICATED;
	if (!json_object_is_type(shown, json_type_string))
		return ERR_TOKEN_INVALID;
	return identity_of_text(&w->task, kind, json_object_get_string(shown),
		(size_t)json_object_get_string_len(shown), who);
}

bool socket_connect_again(const struct socket_work *w, enum err e)
{
	static const struct timespec pause = {.tv_nsec = RETRY_MS * 1000000};

	if (e != ERR_DB_LOST || clock_ms() >= w->post->arrived_ms + SOCKET_CONNECT_WAIT_MS)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

bool socket_connect_failed(struct socket_work *w, struct slice nsp, enum err e)
{
	if (e == ERR_RATE_LIMITED || e == ERR_BUSY) {
		socket_refuse(w, nsp, err_text(e), err_status(e));
		return true;
	}
	if (err_status(e) < 500)
		return false;
	log_error("connect", "%s: %s request_id=%s", err_code(e), db_errmsg(w->task.db),
		w->post->request_id);
	socket_refuse(w, nsp, "Service unavailable", 503);
	return true;
}

/* A reference; NULL: the client has been refused. */
static const struct principal *find_who(struct socket_work *w, const struct packet *p)
{
	const struct principal *who;
	enum err e;

	do
		e = socket_connect_find(w, p, &who);
	while (socket_connect_again(w, e));
	if (e == ERR_OK)
		return who;
	if (socket_connect_failed(w, p->nsp, e))
		return NULL;
	if (e == ERR_UNAUTHENTICATED) {
		socket_refuse(w, p->nsp, "Authentication required", 401);
	} else {
		log_info("refuse", "connect from %s: %s request_id=%s", w->post->address,
			err_code(e), w->post->request_id);
		socket_refuse(w, p->nsp, "Authentication failed", 401);
	}
	return NULL;
}

/* ---- recovery ---- */

/* What there was before, of the same owner. */
struct past {
	bool is_known, can_resume;
	char socket_id[SOCKET_ID_SIZE + 12];
	uint64_t point;
	char *requested;   /* topics, joined by commas */
	struct str record; /* of the session, which its poller does not have */
};

/* Somebody else's is as good as none. */
static void take_past(struct past *past, const struct principal *who, const struct ops_before *b)
{
	struct caller_view v = caller_of(who);

	if (!caller_is_same(&v, &b->caller) || b->socket_id.len >= sizeof(past->socket_id))
		return;
	past->is_known = true;
	memcpy(past->socket_id, b->socket_id.p, b->socket_id.len);
	past->socket_id[b->socket_id.len] = '\0';
	past->point = b->cursor;
	past->requested = slice_dup(b->requested);
}

static bool is_of_log(const struct socket_work *w, const struct db_val *epoch)
{
	const struct shm *page = w->task.shm;

	return page && slice_is(dbv_slice(epoch), page->epoch);
}

static void read_past(
	struct socket_work *w, const char *pid, const struct principal *who, struct past *past)
{
	uint8_t hash[SECRET_SHORT_SIZE];
	int64_t recovery_ms = w->task.cfg->socketio.recovery_ms;
	const struct db_val *row = NULL;
	struct ops_before b;
	enum err e = db_ensure(w->task.db);

	secret_hash_short(hash, pid, strlen(pid));
	const struct db_val in[] = {
		dbv_b(hash, sizeof(hash)), DBV_I(recovery_ms + SEEN_LATE_MS), DBV_I(recovery_ms)};

	if (e == ERR_OK)
		e = db_one(w->task.db, &select_before, in, 3, &row);
	if (e != ERR_OK)
		log_error(
			"connect", "%s request_id=%s", db_errmsg(w->task.db), w->post->request_id);
	if (!row || dbv_u(&row[7]))
		return;
	b = (struct ops_before){.socket_id = dbv_slice(&row[0]),
		.caller = {.tenant_id = (uint32_t)dbv_u(&row[1]),
			.user_id = dbv_u(&row[2]),
			.apikey_id = dbv_u(&row[3])},
		.cursor = is_of_log(w, &row[6]) ? dbv_u(&row[4]) : UINT64_MAX,
		.requested = dbv_slice(&row[5])};
	take_past(past, who, &b);
	if (past->is_known)
		str_add(&past->record, row[8].s.p, row[8].s.len);
}

/* The event after which to go on, by the last offset the client got: "<epoch>:<id>". 0: none that
 * is of this log. */
static uint64_t read_offset(const struct socket_work *w, const struct packet *p)
{
	const char *offset = json_get_str(p->json, "offset");
	const struct shm *page = w->task.shm;
	size_t len = page ? strlen(page->epoch) : 0;
	uint64_t id = 0;

	if (offset && len && strncmp(offset, page->epoch, len) == 0 && offset[len] == ':')
		parse_u64(offset + len + 1, 0, INT64_MAX, &id);
	return id;
}

/* Below it something that the socket is sent by right may have been pruned. (What it had
 * subscribed to, its poller knows.) */
static uint64_t oldest_point(const struct socket_work *w, const struct principal *who)
{
	const struct floors floors = floors_of_page(w->task.shm);
	const struct subs none = {0};
	struct wire_interest want;
	unsigned classes;

	interest_make(who, &none, 1, &want);
	classes = floors_classes(&want);
	wire_interest_fini(&want);
	return floors_min(&floors, classes);
}

static void find_past(struct socket_work *w, const struct packet *p, const char *pid,
	const struct principal *who, struct past *past)
{
	const struct shm *page = w->task.shm;
	uint64_t offset = read_offset(w, p), tail;

	if (w->state.flags & OPS_STATE_HAS_BEFORE)
		take_past(past, who, &w->state.before);
	else if (!(w->state.flags & OPS_STATE_OVER))
		read_past(w, pid, who, past);
	if (!past->is_known || !page)
		return;
	if (offset > past->point)
		past->point = offset;
	tail = atomic_load(&page->tail);
	past->can_resume = past->point >= oldest_point(w, who) && past->point <= tail &&
			   tail - past->point <= (uint64_t)w->task.cfg->socketio.max_replay;
}

/* ---- CONNECT ---- */

static void emit_connected(struct socket_work *w, struct slice nsp)
{
	struct str args = STR_INIT;

	str_adds(&args, "\"connected\",{\"ok\":true}");
	socket_emit(w, nsp, &args);
	str_fini(&args);
}

static void socket_connect_join(struct socket_work *w, const struct packet *p,
	const struct principal *who, const struct past *past, const char *old_pid)
{
	char socket_id[SOCKET_ID_SIZE], pid[SOCKET_PID_SIZE];
	struct str rights = STR_INIT;
	struct op op = {.type = OP_CONNECT,
		.flags = OP_OFFSETS,
		.id = OPS_FROM_NOW,
		.nsp = p->nsp,
		.caller = caller_of(who)};

	perm_rights_put(&rights, who);
	op.rights = (struct slice){.p = rights.p, .len = rights.len};
	if (past->can_resume) {
		op.flags |= OP_RESUMES;
		op.id = past->point;
		op.socket_id = (struct slice){past->socket_id, strlen(past->socket_id)};
		op.pid = (struct slice){old_pid, strlen(old_pid)};
		op.bytes = (struct slice){str_c(&past->record), past->record.len};
	} else {
		socket_make_ids(socket_id, pid);
		op.socket_id = (struct slice){socket_id, strlen(socket_id)};
		op.pid = (struct slice){pid, strlen(pid)};
	}
	socket_join(w, &op, who);
	str_fini(&rights);
}

/* What the client had asked for, and cannot be brought up to date event by event. */
static void send_rows(struct socket_work *w, const struct principal *who, char *topics)
{
	char *rest = topics, *topic;

	w->task.who = who;
	while ((topic = strsep(&rest, ",")))
		if (*topic)
			on_sync_send_rows(w, topic);
	w->task.who = NULL;
}

void socket_connect_main(struct socket_work *w, const struct packet *p)
{
	const char *pid = json_get_str(p->json, "pid");
	struct past past = {0};
	const struct principal *who = find_who(w, p);

	if (!who)
		return;
	/* LOOKUP has asked for the first one that came with a CONNECT. */
	if (pid && strcmp(pid, w->post->pid) == 0)
		find_past(w, p, pid, who, &past);
	socket_connect_join(w, p, who, &past, pid);
	emit_connected(w, p->nsp);
	if (past.is_known && !past.can_resume && !w->why_bad)
		send_rows(w, who, past.requested);
	free(past.requested);
	str_fini(&past.record);
}
