#include "admin_command.h"

#include <stdlib.h>
#include <string.h>

#include "group.h"
#include "hub.h"
#include "session.h"
#include "session_poll.h"
#include "session_queue.h"
#include "session_store.h"
#include "session_wants.h"
#include "sessions.h"
#include "shared.h"

static bool admin_command_is_in(const struct session *s, const struct sock *k, const char *room)
{
	return !room[0] || strcmp(k->id, room) == 0 ||
	       (sock_is_main(k) && strlist_has(&s->group->want.rooms, room));
}

static void disconnect(struct session *s, struct sock *k, bool closes)
{
	struct str packet = STR_INIT;
	bool ok;

	str_adds(&packet, "41");
	if (!sock_is_main(k))
		str_addf(&packet, "%s,", k->nsp);
	ok = session_queue(s, packet.p, packet.len);
	str_fini(&packet);
	if (!ok)
		return;
	if (closes) {
		session_close(s, END_SERVER_DISCONNECT);
		return;
	}
	session_leave(s, k, END_SERVER_DISCONNECT);
	store_session(s);
	session_flush(s);
}

static void admin_command_command(struct session *s, struct sock *k, const struct op *op,
	const char *room, struct shared *args)
{
	switch (op->admin) {
	case OP_ADMIN_EMIT:
		if (session_emit_shared(s, k, args, session_cursor(s)))
			session_flush(s);
		break;
	case OP_ADMIN_JOIN:
		if (sock_is_main(k))
			session_join(s, room);
		break;
	case OP_ADMIN_LEAVE:
		if (sock_is_main(k))
			session_unjoin(s, room);
		break;
	case OP_ADMIN_DISCONNECT:
		disconnect(s, k, op->flags & OP_CLOSES);
		break;
	case OP_ADMIN_N:
		break;
	}
}

/* By number: what a command does may close any of them, watchers too. */
void admin_command(struct sessions *ss, const struct op *op)
{
	char *filter = slice_dup(op->filter), *room = slice_dup(op->room);
	struct shared *args = shared_get(&ss->hub->pool, op->bytes);

	for (size_t i = 0; i < ss->slots_n; i++) {
		struct session *s = ss->slots[i];
		struct sock *k = s ? session_sock(s, op->nsp) : NULL;

		if (s && s->state == SESSION_JOINED && k &&
			sock_tenant(k) == op->caller.tenant_id && admin_command_is_in(s, k, filter))
			admin_command_command(s, k, op, room, args);
	}
	shared_return(args);
	free(filter);
	free(room);
}
