#include "socket_txn.h"

#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "route_txn.h"
#include "secret.h"
#include "worker.h"

static const char unknown[] = "The database went away while it committed, so it is not known "
			      "whether this was done.";

/* An event at work. */
struct event_run {
	struct socket_call *call;
	size_t from;       /* of work->ops: its own begin there */
	struct str stored; /* these, as text */
};

/* ---- operations as text ---- */

static void store_ops(void *arg, int *status, struct slice *body)
{
	struct event_run *r = arg;
	const struct str *ops = r->call->work->ops;
	size_t len = ops->len - r->from;

	str_clear(&r->stored);
	str_reserve(&r->stored, len * 2 + 1);
	secret_hex(r->stored.p, (const uint8_t *)str_c(ops) + r->from, len);
	r->stored.len = len * 2;
	*status = 200;
	*body = (struct slice){r->stored.p, r->stored.len};
}

static void replay_ops(void *arg, int status, struct slice body)
{
	struct event_run *r = arg;
	struct str *ops = r->call->work->ops;
	size_t len = 0;

	str_reserve(ops, body.len / 2 + 1);
	if (sodium_hex2bin((unsigned char *)ops->p + ops->len, body.len / 2, body.p, body.len, NULL,
		    &len, NULL) == 0)
		ops->len += len;
	ops->p[ops->len] = '\0';
}

/* ---- the work ---- */

static void forget_run(void *arg)
{
	struct event_run *r = arg;

	str_truncate(r->call->work->ops, r->from);
	r->call->is_acked = false;
	r->call->failed = ERR_OK;
}

static enum err handle_event(struct txn *t, void *arg)
{
	struct socket_call *call = ((struct event_run *)arg)->call;

	call->txn = t;
	call->event->handle(call);
	call->txn = NULL;
	return call->failed;
}

static void socket_txn_tell_events(const struct event_out *events, size_t n, void *arg)
{
	const struct event_run *r = arg;

	route_txn_told(r->call->work->task.worker->app, events, n);
}

static const struct txn_work event_work = {
	.reset = forget_run,
	.run = handle_event,
	.answer = store_ops,
	.replay = replay_ops,
	.told = socket_txn_tell_events,
};

/* ---- its key ---- */

static void socket_txn_make_key(
	const struct socket_call *call, struct txn_key *key, struct str *text)
{
	const struct socket_work *w = call->work;
	const struct packet *p = call->packet;
	uint8_t session[SECRET_SHORT_SIZE];
	char hex[2 * SECRET_HASH_SIZE + 1];
	struct str all = STR_INIT;

	secret_hash_short(session, w->post->sid, strlen(w->post->sid));
	secret_hex(hex, session, sizeof(session));
	snprintf(key->subject, sizeof(key->subject), "s:%.29s", hex);
	str_add(&all, p->nsp.p, p->nsp.len);
	str_addc(&all, '\n');
	str_add(&all, p->inside.p, p->inside.len);
	secret_hash(key->hash, all.p, all.len);
	secret_hex(hex, key->hash, sizeof(key->hash));
	str_addf(text, "%llu.%zu.%s", (unsigned long long)*w->post->number, w->events_n, hex);
	key->text = text->p;
	key->tenant_id = call->who->tenant_id;
	key->ttl_s = w->task.cfg->http.idempotency_ttl_s;
	str_fini(&all);
}

void socket_txn_run(struct socket_call *call)
{
	struct socket_work *w = call->work;
	struct event_run r = {.call = call, .from = w->ops->len};
	struct str subject = STR_INIT, text = STR_INIT;
	struct txn_key key = {.text = ""};
	struct txn t = {.db = w->task.db,
		.tenant_id = call->who->tenant_id,
		.request_id = w->post->request_id,
		.address = w->post->address,
		.key = &key};
	enum err e;

	txn_put_subject(&subject, call->who);
	t.subject = subject.p;
	socket_txn_make_key(call, &key, &text);
	e = txn_run(&t, &event_work, &r);
	/* What the handler refused, it has answered. */
	if (e != ERR_OK && (e != call->failed || e == ERR_DB_RETRY || e == ERR_DB_LOST)) {
		forget_run(&r);
		if (t.is_unknown)
			socket_fail(call, err_code(e), unknown);
		else
			socket_fail_err(call, e);
	}
	str_fini(&subject);
	str_fini(&text);
	str_fini(&r.stored);
}
