#include "on_auth.h"

#include "clock.h"
#include "identity.h"

static const char *on_auth_check(const struct socket_call *call)
{
	struct json_object *o = socket_arg(call, 0);

	if (!json_object_is_type(o, json_type_object) || !json_get_str(o, "token"))
		return "The argument must be {\"token\":\"...\"}.";
	return NULL;
}

static void take_over(struct socket_call *call, const struct principal *who)
{
	struct socket *k = call->socket;
	struct str rights = STR_INIT;
	struct op op = {.type = OP_IDENTITY, .nsp = k->nsp};

	/* The texts of op are who's. */
	principal_unref(k->who);
	k->who = who;
	k->caller = op.caller = caller_of(who);
	perm_rights_put(&rights, who);
	op.rights = (struct slice){.p = rights.p, .len = rights.len};
	ops_put(call->work->ops, &op);
	str_fini(&rights);
}

static void on_auth_answer(struct socket_call *call, int64_t expires_in_s)
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
	const struct caller_view *now = &call->socket->caller;
	const struct principal *who;
	enum err e = identity_of_text(&call->work->task, IDENTITY_TOKEN,
		json_object_get_string(token), (size_t)json_object_get_string_len(token), &who);

	if (e != ERR_OK) {
		socket_fail_err(call, e);
		return;
	}
	if (who->user_id != now->user_id || who->tenant_id != now->tenant_id) {
		socket_fail(call, "forbidden", "The token is of another user.");
		principal_unref(who);
		return;
	}
	take_over(call, who);
	on_auth_answer(call, who->expires_at_s - clock_wall_ms() / 1000);
}

const struct socket_event on_auth_events[] = {
	{.name = "auth:refresh", .check = on_auth_check, .handle = refresh, .is_secret = true},
	{0},
};
