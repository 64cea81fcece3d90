#include "on_auth.h"

#include "clock.h"
#include "identity.h"

static const char *check(const struct socket_call *call)
{
	struct json_object *o = socket_arg(call, 0);

	if (!json_object_is_type(o, json_type_object) || !json_get_str(o, "token"))
		return "The argument must be {\"token\":\"...\"}.";
	return NULL;
}

static void take_over(struct socket_call *call, struct identity *id)
{
	struct socket *k = call->socket;
	struct str rights = STR_INIT;
	struct op op = {.type = OP_IDENTITY, .nsp = k->nsp};

	/* The texts of op are id's. */
	identity_put(k->identity);
	k->identity = id;
	k->caller = op.caller = ops_caller_of(identity_who(id));
	perm_rights_put(&rights, identity_who(id));
	op.rights = (struct slice){.p = rights.p, .len = rights.len};
	ops_put(call->work->ops, &op);
	str_fini(&rights);
}

static void answer(struct socket_call *call, int64_t expires_in_s)
{
	struct str text = STR_INIT;

	if (!call->packet->has_id)
		str_adds(&text, "\"auth:refreshed\",");
	str_addf(&text, "{\"ok\":true,\"expires_in\":%lld}", (long long)expires_in_s);
	if (call->packet->has_id)
		socket_ack(call, str_c(&text));
	else
		socket_emit(call->work, call->packet->nsp, &text);
	str_fini(&text);
}

static void refresh(struct socket_call *call)
{
	struct json_object *token = json_get(socket_arg(call, 0), "token");
	const struct ops_caller *now = &call->socket->caller;
	const struct principal *who;
	struct identity *id;
	enum err e = identity_of_text(call->work->ctx, IDENTITY_TOKEN,
		json_object_get_string(token), (size_t)json_object_get_string_len(token), &id);

	if (e != ERR_OK) {
		socket_fail_err(call, e);
		return;
	}
	who = identity_who(id);
	if (who->user_id != now->user_id || who->tenant_id != now->tenant_id) {
		socket_fail(call, "forbidden", "The token is of another user.");
		identity_put(id);
		return;
	}
	take_over(call, id);
	answer(call, who->expires_at_s - clock_wall_ms() / 1000);
}

const struct socket_event on_auth_events[] = {
	{.name = "auth:refresh", .check = check, .handle = refresh, .is_secret = true},
	{0},
};
