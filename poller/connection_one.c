/*
 * The questions "connection" and "disconnect", of one by its id: what is known of it, and that it
 * is to go, which its client is told. One that is on another host is left to that one's poller.
 */

#include <stdlib.h>

#include "abroad.h"
#include "ask.h"
#include "connection.h"
#include "errand.h"
#include "hub.h"
#include "log.h"
#include "mem.h"
#include "session.h"
#include "session_auth.h"
#include "session_poll.h"
#include "session_queue.h"
#include "session_store.h"
#include "sessions.h"

#define CODE "disconnected"
#define MESSAGE "Disconnected by an administrator."

struct one {
	struct errand errand;
	struct connection_filter filter;
	struct connection_lag lag;
	struct str found;
	struct abroad *abroad; /* NULL: none was asked for, or there is none */
};

static struct one *one_of(struct errand *e)
{
	return (struct one *)e;
}

static void one_show(struct errand *e, struct session *s)
{
	struct one *o = one_of(e);
	struct caller *whose;

	if (connection_is_wanted(&o->filter, s, &whose))
		connection_put(
			&o->found, s, whose, o->filter.tenant_id, connection_lag(&o->lag, s));
}

static bool one_start(struct errand *e)
{
	return abroad_ask(e, &one_of(e)->filter, false, false, 1);
}

static void one_take(struct errand *e, struct abroad *a)
{
	one_of(e)->abroad = a;
}

/* One socket alone: others of the session are another tenant's. */
static void end_socket(struct session *s, struct sock *k)
{
	struct str packets = STR_INIT;

	str_adds(&packets, "42");
	if (!sock_is_main(k))
		str_addf(&packets, "%s,", k->nsp);
	str_adds(&packets, "[\"error\",{\"code\":\"" CODE "\",\"message\":\"" MESSAGE "\"}]\x1e"
			   "41");
	if (!sock_is_main(k))
		str_addf(&packets, "%s,", k->nsp);
	if (session_queue(s, packets.p, packets.len)) {
		session_leave(s, k, END_SERVER_DISCONNECT);
		store_session(s);
		session_flush(s);
	}
	str_fini(&packets);
}

/* Is any of its sockets another tenant's? */
static bool is_shared(const struct session *s, uint32_t tenant_id)
{
	for (size_t i = 0; tenant_id && i < s->socks_n; i++)
		if (sock_tenant(&s->socks[i]) != tenant_id)
			return true;
	return false;
}

static void throw_out(struct session *s, uint32_t tenant_id)
{
	if (!s->socks_n) {
		session_close(s, END_SERVER_DISCONNECT);
	} else if (!is_shared(s, tenant_id)) {
		session_end(s, &s->socks[0], CODE, MESSAGE);
	} else {
		for (size_t i = s->socks_n; i-- > 0;)
			if (sock_tenant(&s->socks[i]) == tenant_id)
				end_socket(s, &s->socks[i]);
	}
}

static void one_end(struct errand *e, struct session *s)
{
	struct one *o = one_of(e);
	struct caller *whose;

	if (!connection_is_wanted(&o->filter, s, &whose))
		return;
	str_adds(&o->found, "{\"id\":");
	str_add_json(&o->found, s->client_id);
	str_addf(&o->found, ",\"node\":%lld}", (long long)e->hub->cfg->poller.node_id);
	throw_out(s, o->filter.tenant_id);
}

static enum wire_answer one_finish(struct errand *e, struct str *json)
{
	const struct one *o = one_of(e);

	str_add(json, str_c(&o->found), o->found.len);
	if (!json->len && o->abroad && o->abroad->n)
		str_adds(json, o->abroad->rows[0].json);
	return json->len ? WIRE_ANSWER_OK : WIRE_ANSWER_NONE;
}

static void one_fini(struct errand *e)
{
	struct one *o = one_of(e);

	connection_filter_fini(&o->filter);
	connection_lag_fini(&o->lag);
	str_fini(&o->found);
	abroad_free(o->abroad);
}

static const struct errand_kind show_kind = {
	.start = one_start,
	.take = one_take,
	.visit = one_show,
	.finish = one_finish,
	.fini = one_fini,
};
static const struct errand_kind end_kind = {
	.visit = one_end, .finish = one_finish, .fini = one_fini, .goes_on = true};

static void ask_one(struct ask *a, const struct errand_kind *kind)
{
	struct one *o = one_of(errand_new(a->hub, kind, sizeof(*o)));

	o->filter.tenant_id = a->tenant_id;
	connection_lag_init(&o->lag, a->hub, a->tenant_id);
	if (a->args) {
		json_object_object_foreach (a->args, key, value)
			if (strcmp(key, "id") != 0 ||
				!connection_filter_read(a, &o->filter, key,
					value ? json_object_get_string(value) : ""))
				ask_problem(a, key, "unknown parameter");
	}
	if (!o->filter.id && !a->problems.len)
		ask_problem(a, "id", "is missing");
	a->errand = &o->errand;
}

void connection_end(struct hub *hub, uint32_t tenant_id, const char *id)
{
	struct one *o = one_of(errand_new(hub, &end_kind, sizeof(*o)));

	o->filter.tenant_id = tenant_id;
	o->filter.id = xstrdup(id);
	connection_lag_init(&o->lag, hub, tenant_id);
	if (errand_add(&o->errand, NULL, 0))
		return;
	log_warn("hosts", "too much to do at once: %s is not disconnected", id);
	errand_free(&o->errand);
}

void ask_connection(struct ask *a)
{
	ask_one(a, &show_kind);
}

void ask_disconnect(struct ask *a)
{
	ask_one(a, &end_kind);
}
