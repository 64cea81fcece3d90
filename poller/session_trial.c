#include "session_trial.h"

#include <string.h>

#include "caller.h"
#include "hub.h"
#include "ops.h"
#include "ring.h"
#include "session.h"
#include "session_over.h"
#include "session_poll.h"
#include "sessions.h"
#include "shared.h"
#include "subs.h"

bool sock_is_of(const struct sock *k, const struct caller_view *c)
{
	struct caller_view owner = caller_view(k->caller);

	return k->caller && caller_is_same(&owner, c);
}

/* The session as the operations before the one at hand will have left it. */
struct trial {
	const struct session *s;
	struct slice nsps[OPS_SOCKETS_MAX];
	size_t nsps_n;
	uint64_t cursor;
	bool has_left; /* the socket in "/" that it has now */
	size_t rows_n;
	bool lacks; /* rows that are not here */
};

static struct trial trial_of(const struct session *s)
{
	struct trial t = {.s = s, .cursor = session_cursor(s), .nsps_n = s->socks_n};

	for (size_t i = 0; i < s->socks_n; i++)
		t.nsps[i] = slice_of(s->socks[i].nsp);
	return t;
}

/* Its index, or nsps_n. */
static size_t trial_find(const struct trial *t, struct slice nsp)
{
	size_t i = 0;

	while (i < t->nsps_n &&
		(t->nsps[i].len != nsp.len || memcmp(t->nsps[i].p, nsp.p, nsp.len) != 0))
		i++;
	return i;
}

/* May op go on from the session that has its pid? */
static bool may_resume(const struct trial *t, const struct op *op)
{
	struct sessions *ss = t->s->hub->sessions;
	unsigned char pid[SESSION_KEY_SIZE];
	struct session *before;
	struct sock *k;

	session_key(pid, op->pid);
	before = session_find_pid(ss, pid);
	/* It was left on purpose, a moment ago or by an operation before this one. */
	if (sessions_is_over(ss, pid) || (before == t->s && t->has_left))
		return false;
	/* The log may have become another one since this was decided. */
	if ((op->flags & OP_RESUMES) &&
		(op->id < ss->hub->floors.of[RETENTION_LASTING] ||
			(before ? before->has_lost : op->id > ss->hub->tail)))
		return false;
	k = before ? session_sock(before, op->nsp) : NULL;
	return !before || (k && sock_is_of(k, &op->caller));
}

static enum wire_done try_connect(struct trial *t, const struct op *op)
{
	if (trial_find(t, op->nsp) < t->nsps_n || t->nsps_n == OPS_SOCKETS_MAX)
		return WIRE_DONE_BAD;
	if (op->pid.len && !may_resume(t, op))
		return WIRE_DONE_STALE;
	t->nsps[t->nsps_n++] = op->nsp;
	if (slice_is(op->nsp, NSP_MAIN))
		t->cursor = op->id == OPS_FROM_NOW ? t->s->hub->tail : op->id;
	return WIRE_DONE_OK;
}

static void try_disconnect(struct trial *t, const struct op *op)
{
	size_t i = trial_find(t, op->nsp);

	if (i == t->nsps_n)
		return;
	t->nsps[i] = t->nsps[--t->nsps_n];
	t->has_left = t->has_left || slice_is(op->nsp, NSP_MAIN);
}

static bool is_snapshot(const struct op *op)
{
	return op->type == OP_ROWS || (op->type == OP_EMIT && (op->flags & OP_SYNC));
}

/* Is it paused as whoever told the client what it has missed has seen it, and is what came since
 * still in memory? */
static bool may_show_again(const struct trial *t, const struct op *op)
{
	struct bytes b = bytes_of(op->bytes.p, op->bytes.len);
	struct subs views;
	bool may = subs_get(&b, &views);

	for (size_t i = 0; may && i < views.n; i++) {
		const struct sub *sub = subs_find(&t->s->subs, &views.v[i]);

		may = sub && sub->is_paused && sub->since == views.v[i].since &&
		      (op->id >= t->s->hub->ring.covered || op->id >= t->cursor);
	}
	subs_fini(&views);
	return may;
}

static enum wire_done try_op(struct trial *t, const struct op *op)
{
	if (op->type == OP_CONNECT)
		return try_connect(t, op);
	if (op->type == OP_DISCONNECT)
		try_disconnect(t, op);
	/* What has to be told again is not in memory any more: with a newer snapshot it will be. */
	if (is_snapshot(op) && op->id < t->s->hub->ring.covered && op->id < t->cursor)
		return WIRE_DONE_STALE;
	if (op->type == OP_RESUME && op->id != OPS_FROM_NOW && !may_show_again(t, op))
		return WIRE_DONE_STALE;
	if (op->type != OP_ROWS)
		return WIRE_DONE_OK;
	t->lacks = t->lacks || !shared_find(&t->s->hub->pool, op->bytes);
	return t->rows_n++ == OPS_REQUESTED_MAX ? WIRE_DONE_BAD : WIRE_DONE_OK;
}

/* Can these operations be done here and now, one after the other? */
enum wire_done session_trial(const struct session *s, struct slice ops)
{
	struct bytes b = bytes_of(ops.p, ops.len);
	struct trial t = trial_of(s);
	enum wire_done what = WIRE_DONE_OK;
	struct op op = {0};

	while (what == WIRE_DONE_OK && op.type != OP_CLOSE && ops_next(&b, &op))
		what = try_op(&t, &op);
	if (b.is_bad)
		return WIRE_DONE_BAD;
	return what == WIRE_DONE_OK && t.lacks ? WIRE_DONE_LACKS : what;
}
