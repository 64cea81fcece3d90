#include "on_sync.h"

#include "log.h"
#include "mem.h"
#include "stream.h"
#include "sync.h"

static const char *on_sync_read_ask(const struct socket_call *call, struct sync_ask *a)
{
	struct json_object *o = socket_arg(call, 0), *last = json_get(o, "lastEventId"),
			   *epoch = json_get(o, "epoch");

	*a = (struct sync_ask){.topic = call->event->arg};
	if (o && !json_object_is_type(o, json_type_object))
		return "The argument must be an object: {\"lastEventId\":N}.";
	if (epoch && !json_object_is_type(epoch, json_type_string))
		return "epoch must be a string.";
	a->epoch = epoch ? json_object_get_string(epoch) : NULL;
	if (!last)
		return NULL;
	if (json_object_is_type(last, json_type_int) && json_object_get_int64(last) >= 0)
		a->since = json_object_get_uint64(last);
	else if (!json_object_is_type(last, json_type_string) ||
		 !parse_u64(json_object_get_string(last), 0, INT64_MAX, &a->since))
		return "lastEventId must be the id of an event, as a number, or null.";
	return NULL;
}

static const char *on_sync_check(const struct socket_call *call)
{
	struct sync_ask a;

	return on_sync_read_ask(call, &a);
}

static void request(struct socket_call *call)
{
	struct str ack = STR_INIT;
	struct sync_ask a;
	uint64_t at;
	enum err e;

	on_sync_read_ask(call, &a);
	e = sync_answer(&call->work->task, &a, call->work->rows, &at);
	if (e != ERR_OK) {
		socket_fail_err(call, e);
		return;
	}
	str_addf(&ack, "{\"ok\":true,\"lastEventId\":%llu}", (unsigned long long)at);
	socket_ack(call, str_c(&ack));
	str_fini(&ack);
}

void on_sync_send_rows(struct socket_work *w, const char *topic)
{
	const struct sync_ask ask = {.topic = topic};
	uint64_t at;
	enum err e = sync_answer(&w->task, &ask, w->rows, &at);

	if (e != ERR_OK && e != ERR_NOT_FOUND && e != ERR_FORBIDDEN)
		log_error("sync", "%s:initial: %s: %s request_id=%s", topic, err_code(e),
			db_errmsg(w->task.db), w->post->request_id);
}

static char *on_sync_join(const char *a, const char *b)
{
	struct str s = STR_INIT;

	str_addf(&s, "%s%s", a, b);
	return str_take(&s);
}

static struct socket_event *build(void)
{
	struct socket_event *events = NULL;
	size_t n = 0;

	for (const struct stream *st = streams; st->topic; st++) {
		if (!st->has_rows)
			continue;
		events = xreallocarray(events, n + 2, sizeof(*events));
		events[n++] = (struct socket_event){.name = on_sync_join("request:", st->topic),
			.perm = st->perm ? st->perm : on_sync_join(st->topic, ":read"),
			.check = on_sync_check,
			.handle = request,
			.arg = st->topic};
	}
	events[n] = (struct socket_event){0};
	return events;
}

const struct socket_event *on_sync_events(void)
{
	static struct socket_event *events; /* as long as the process */

	if (!events)
		events = build();
	return events;
}
