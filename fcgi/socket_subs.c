#include "socket_subs.h"

const char *socket_sub_refused(struct socket_call *call, const struct sub *sub)
{
	if (!sub_may(sub, call->who))
		return "forbidden";
	return subs_add(&call->work->subs, sub) ? NULL : "limit";
}

static void socket_subs_put(struct socket_call *call, enum op_type type, const struct subs *subs)
{
	struct str bytes = STR_INIT, rights = STR_INIT;
	struct op op = {.type = type};

	subs_put(&bytes, subs);
	if (type == OP_SUBSCRIBE)
		perm_rights_put(&rights, call->who);
	op.bytes = (struct slice){bytes.p, bytes.len};
	op.rights = (struct slice){rights.p, rights.len};
	ops_put(call->work->ops, &op);
	str_fini(&bytes);
	str_fini(&rights);
}

void socket_subscribe(struct socket_call *call, const struct subs *subs)
{
	socket_subs_put(call, OP_SUBSCRIBE, subs);
}

void socket_unsubscribe(struct socket_call *call, const struct subs *subs)
{
	for (size_t i = 0; i < subs->n; i++)
		subs_drop(&call->work->subs, &subs->v[i]);
	socket_subs_put(call, OP_UNSUBSCRIBE, subs);
}
