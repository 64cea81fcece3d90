#include "ops.h"

#include <string.h>

/* ---- operations: a table of the fields each type has, in the order they are written ---- */

enum field {
	FLAGS = 1,
	ADMIN = 2,
	ID = 4,
	NSP = 8,
	SOCKET = 16, /* socket_id, pid */
	TOPIC = 32,
	TARGET = 64,  /* filter, room */
	REASON = 128, /* code, message */
	BYTES = 256,
	WHO = 512, /* caller */
	RIGHTS = 1024
};

static const unsigned fields_of[OP_N] = {
	[OP_PONG] = 0,
	[OP_LOST] = ID,
	[OP_CLOSE] = 0,
	[OP_BAD] = REASON,
	[OP_CONNECT] = FLAGS | ID | NSP | SOCKET | WHO | RIGHTS | BYTES,
	[OP_DISCONNECT] = NSP,
	[OP_SEND] = BYTES,
	[OP_EMIT] = FLAGS | ID | NSP | TOPIC | BYTES | RIGHTS,
	[OP_IDENTITY] = NSP | WHO | RIGHTS,
	[OP_END] = NSP | REASON,
	[OP_PENDING] = BYTES,
	[OP_HEARD] = NSP | BYTES,
	[OP_ACKED] = ID,
	[OP_ADMIN] = FLAGS | ADMIN | NSP | TARGET | BYTES | WHO,
	[OP_ROWS] = ID | TOPIC | BYTES | RIGHTS,
	[OP_SUBSCRIBE] = BYTES | RIGHTS,
	[OP_UNSUBSCRIBE] = BYTES,
	[OP_PAUSE] = ID | BYTES,
	[OP_RESUME] = ID | BYTES,
};

void ops_put(struct str *s, const struct op *op)
{
	unsigned has = fields_of[op->type];

	bytes_put(s, op->type, 1);
	if (has & FLAGS)
		bytes_put(s, op->flags, 1);
	if (has & ADMIN)
		bytes_put(s, op->admin, 1);
	if (has & ID)
		bytes_put(s, op->id, 8);
	if (has & NSP)
		bytes_put_slice(s, op->nsp);
	if (has & SOCKET) {
		bytes_put_slice(s, op->socket_id);
		bytes_put_slice(s, op->pid);
	}
	if (has & TOPIC)
		bytes_put_slice(s, op->topic);
	if (has & TARGET) {
		bytes_put_slice(s, op->filter);
		bytes_put_slice(s, op->room);
	}
	if (has & REASON) {
		bytes_put_slice(s, op->code);
		bytes_put_slice(s, op->message);
	}
	if (has & BYTES)
		bytes_put_blob(s, op->bytes.p, op->bytes.len);
	if (has & WHO)
		caller_put(s, &op->caller);
	if (has & RIGHTS)
		bytes_put_blob(s, op->rights.p, op->rights.len);
}

bool ops_next(struct bytes *b, struct op *op)
{
	unsigned has;

	if (b->is_bad || b->p == b->end)
		return false;
	memset(op, 0, sizeof(*op));
	op->type = (enum op_type)bytes_u8(b);
	if (op->type < OP_PONG || op->type >= OP_N) {
		b->is_bad = true;
		return false;
	}
	has = fields_of[op->type];
	if (has & FLAGS)
		op->flags = bytes_u8(b);
	if (has & ADMIN)
		op->admin = (enum op_admin)bytes_u8(b);
	if (has & ID)
		op->id = bytes_u64(b);
	if (has & NSP)
		op->nsp = bytes_text(b);
	if (has & SOCKET) {
		op->socket_id = bytes_text(b);
		op->pid = bytes_text(b);
	}
	if (has & TOPIC)
		op->topic = bytes_text(b);
	if (has & TARGET) {
		op->filter = bytes_text(b);
		op->room = bytes_text(b);
	}
	if (has & REASON) {
		op->code = bytes_text(b);
		op->message = bytes_text(b);
	}
	if (has & BYTES)
		op->bytes = bytes_blob(b);
	if (has & WHO)
		op->caller = caller_get(b);
	if (has & RIGHTS)
		op->rights = bytes_blob(b);
	if ((has & ADMIN) && (op->admin < OP_ADMIN_EMIT || op->admin >= OP_ADMIN_N))
		b->is_bad = true;
	return !b->is_bad;
}

/* ---- state ---- */

void ops_state_put(struct str *s, const struct ops_state *st)
{
	bytes_put(s, st->flags, 1);
	bytes_put(s, st->events_allowed, 2);
	bytes_put(s, st->posts_n, 8);
	caller_put(s, &st->caller);
	bytes_put(s, st->sockets_n, 1);
	for (size_t i = 0; i < st->sockets_n; i++) {
		bytes_put_slice(s, st->sockets[i].nsp);
		bytes_put_slice(s, st->sockets[i].socket_id);
		caller_put(s, &st->sockets[i].caller);
	}
	bytes_put_blob(s, st->pending.p, st->pending.len);
	bytes_put_blob(s, st->subs.p, st->subs.len);
	if (!(st->flags & OPS_STATE_HAS_BEFORE))
		return;
	bytes_put_slice(s, st->before.socket_id);
	caller_put(s, &st->before.caller);
	bytes_put(s, st->before.cursor, 8);
	bytes_put_slice(s, st->before.requested);
}

bool ops_state_get(struct slice from, struct ops_state *st)
{
	struct bytes b = bytes_of(from.p, from.len);

	memset(st, 0, sizeof(*st));
	st->flags = bytes_u8(&b);
	st->events_allowed = bytes_u16(&b);
	st->posts_n = bytes_u64(&b);
	st->caller = caller_get(&b);
	st->sockets_n = bytes_u8(&b);
	if (st->sockets_n > OPS_SOCKETS_MAX)
		return false;
	for (size_t i = 0; i < st->sockets_n; i++) {
		st->sockets[i].nsp = bytes_text(&b);
		st->sockets[i].socket_id = bytes_text(&b);
		st->sockets[i].caller = caller_get(&b);
	}
	st->pending = bytes_blob(&b);
	st->subs = bytes_blob(&b);
	if (st->flags & OPS_STATE_HAS_BEFORE) {
		st->before.socket_id = bytes_text(&b);
		st->before.caller = caller_get(&b);
		st->before.cursor = bytes_u64(&b);
		st->before.requested = bytes_text(&b);
	}
	return bytes_are_done(&b);
}
