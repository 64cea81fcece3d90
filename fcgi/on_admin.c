#include "on_admin.h"

#include <string.h>

#include "admin_connect.h"
#include "event_name.h"
#include "log.h"
#include "txn.h"

/* A command that was read; borrowed from the call. */
struct command {
	const char *nsp, *filter, *room, *name; /* "" where there is none */
	bool closes;
	struct slice args; /* emit: the name and its arguments, as they came */
};

/* ---- arguments ---- */

static const char *bad_nsp = "The namespace must be \"/\" or \"/admin\".";
static const char *bad_main = "Only sockets of \"/\" are in rooms.";
static const char *bad_filter = "The filter must be a room or a socket's id of at most 128 bytes.";
static const char *bad_room = "The room must be a name of 1 to 128 bytes.";
static const char *bad_name = "The event must be a name of 1 to 64 characters, none of them a "
			      "control character, and none of "
			      "Socket.IO's own.";
static const char *bad_close = "close must be true or false.";
static const char *bad_bytes = "Binary data cannot be sent from here.";
static const char *bad_args = "Not every client can read these arguments: a key is there twice, or "
			      "a number is too large.";

/* Text argument i. max 0: none is needed. NULL: it is not acceptable. */
static const char *text(const struct socket_call *call, size_t i, size_t min)
{
	struct json_object *o = socket_arg(call, i);
	const char *s = json_object_is_type(o, json_type_string) ? json_object_get_string(o) : NULL;

	if (!o && !min)
		return "";
	return s && strlen(s) >= min && strlen(s) <= ON_ADMIN_NAME_MAX ? s : NULL;
}

static const char *read_target(const struct socket_call *call, size_t filter_at, struct command *c)
{
	*c = (struct command){.room = "", .name = ""};
	c->nsp = text(call, 0, 1);
	c->filter = text(call, filter_at, 0);
	if (!c->nsp || (strcmp(c->nsp, "/") != 0 && strcmp(c->nsp, "/admin") != 0))
		return bad_nsp;
	return c->filter ? NULL : bad_filter;
}

/* The text behind a value that is a string or null, and behind the comma. */
static const char *skip_value(const char *p, const char *end)
{
	bool is_in_string = false;

	for (; p < end && (is_in_string || *p != ','); p++) {
		if (*p == '"')
			is_in_string = !is_in_string;
		else if (*p == '\\')
			p++;
	}
	return p < end ? p + 1 : end;
}

static const char *read_emit(const struct socket_call *call, struct command *c)
{
	const char *why = read_target(call, 1, c), *p = call->packet->args.p,
		   *end = p + call->packet->args.len;

	if (why)
		return why;
	if (call->packet->attachments_n)
		return bad_bytes;
	c->name = text(call, 2, 1);
	if (!c->name || event_name_fault(c->name, strlen(c->name)))
		return bad_name;
	if (json_look(call->packet->payload.p, call->packet->payload.len))
		return bad_args;
	p = skip_value(skip_value(p, end), end);
	c->args = (struct slice){p, (size_t)(end - p)};
	return NULL;
}

static const char *on_admin_read_room(const struct socket_call *call, struct command *c)
{
	const char *why = read_target(call, 2, c);

	if (why)
		return why;
	if (strcmp(c->nsp, "/") != 0)
		return bad_main;
	c->room = text(call, 1, 1);
	return c->room ? NULL : bad_room;
}

static const char *read_disconnect(const struct socket_call *call, struct command *c)
{
	const char *why = read_target(call, 2, c);
	struct json_object *close = socket_arg(call, 1);

	if (why)
		return why;
	if (close && !json_object_is_type(close, json_type_boolean))
		return bad_close;
	c->closes = close && json_object_get_boolean(close);
	return NULL;
}

/* ---- commands ---- */

/* What there is to a command; the arg of its event. */
struct kind {
	const char *action; /* in the audit log */
	enum op_admin type;
	const char *(*read)(const struct socket_call *call, struct command *c);
};

static const char *on_admin_check(const struct socket_call *call)
{
	const struct kind *kind = call->event->arg;
	struct command c;

	return kind->read(call, &c);
}

static void audit_command(struct socket_call *call, const struct command *c)
{
	const struct kind *kind = call->event->arg;
	struct str target = STR_INIT;

	str_addf(&target, "nsp=%s to=%s", c->nsp, *c->filter ? c->filter : "*");
	if (kind->type == OP_ADMIN_EMIT)
		str_addf(&target, " event=%s", c->name);
	else if (kind->type == OP_ADMIN_DISCONNECT)
		str_addf(&target, " close=%s", c->closes ? "true" : "false");
	else
		str_addf(&target, " room=%s", c->room);
	txn_audit(call->txn, kind->action, str_c(&target));
	log_info("admin", "%s %s by %s request_id=%s", kind->action, str_c(&target),
		call->who->username, call->work->post->request_id);
	str_fini(&target);
}

static void on_admin_handle(struct socket_call *call)
{
	const struct kind *kind = call->event->arg;
	struct op op = {.type = OP_ADMIN, .admin = kind->type};
	struct command c;

	if (strcmp(call->work->task.cfg->socketio.admin, "on") != 0) {
		socket_fail(call, err_code(ERR_FORBIDDEN),
			"The Admin UI takes no commands here (socketio.admin).");
		return;
	}
	kind->read(call, &c);
	audit_command(call, &c);
	/* First, since the command may close the session it came from. */
	socket_ack(call, "{\"ok\":true}");
	op.flags = c.closes ? OP_CLOSES : 0;
	op.nsp = slice_of(c.nsp);
	op.filter = slice_of(c.filter);
	op.room = slice_of(c.room);
	op.bytes = c.args;
	op.caller = caller_of(call->who);
	ops_put(call->work->ops, &op);
}

static const struct kind emit = {"socketio.emit", OP_ADMIN_EMIT, read_emit};
static const struct kind join = {"socketio.join", OP_ADMIN_JOIN, on_admin_read_room};
static const struct kind leave = {"socketio.leave", OP_ADMIN_LEAVE, on_admin_read_room};
static const struct kind disconnect = {"socketio.disconnect", OP_ADMIN_DISCONNECT, read_disconnect};

#define COMMAND(event, kind)                                                \
	{                                                                   \
		.name = event, .perm = ADMIN_PERM, .check = on_admin_check, \
		.handle = on_admin_handle, .arg = &kind, .is_txn = true     \
	}

const struct socket_event on_admin_events[] = {
	COMMAND("emit", emit),
	COMMAND("join", join),
	COMMAND("leave", leave),
	COMMAND("_disconnect", disconnect),
	{0},
};
