#include "on_subscribe.h"

#include <string.h>

#include "room.h"
#include "socket_subs.h"
#include "stream.h"

static const char *bad_names =
	"The argument must be a name, or an array of 1 to 64 names, or "
	"{\"topic\":...} of one of these; a name has 1 to 128 bytes, none of "
	"them a control character.";

/* ---- the argument ---- */

/* What names: a text, or an array of texts. */
static struct json_object *names_of(const struct socket_call *call)
{
	struct json_object *o = socket_arg(call, 0);

	return json_object_is_type(o, json_type_object) ? json_get(o, "topic") : o;
}

static size_t names_n(struct json_object *names)
{
	return json_object_is_type(names, json_type_array) ? json_object_array_length(names) : 1;
}

static struct json_object *name_at(struct json_object *names, size_t i)
{
	return json_object_is_type(names, json_type_array) ? json_object_array_get_idx(names, i)
							   : names;
}

static const char *on_subscribe_check(const struct socket_call *call)
{
	struct json_object *names = names_of(call);
	size_t n = names_n(names);

	if (n == 0 || n > ON_SUBSCRIBE_NAMES_MAX)
		return bad_names;
	for (size_t i = 0; i < n; i++) {
		struct json_object *name = name_at(names, i);

		if (!json_object_is_type(name, json_type_string) ||
			!room_is_name(json_object_get_string(name),
				(size_t)json_object_get_string_len(name)))
			return bad_names;
	}
	return NULL;
}

/* ---- what is asked for ---- */

/* Of one event. */
struct wish {
	struct subs subs;     /* what is asked for, each once */
	struct strlist names; /* of these, as they came */
	struct str refused;   /* JSON objects, joined by commas */
};

/* NULL: *sub is what the name stands for; else why it is nothing. */
static const char *on_subscribe_find(const char *name, struct sub *sub)
{
	const struct stream *st = stream_find(name);
	int view = st ? stream_view_by(st, STREAM_ON_ASKING) : -1;

	*sub = (struct sub){.type = SUB_ROOM, .name = {name, strlen(name)}};
	if (strchr(name, ':'))
		return NULL;
	sub->type = SUB_VIEW;
	sub->view = view < 0 ? 0 : (uint8_t)view;
	return view < 0 ? "unknown_topic" : NULL;
}

static void on_subscribe_refuse(
	struct socket_call *call, struct wish *w, const char *name, const char *reason)
{
	struct str error = STR_INIT, args = STR_INIT;

	str_adds(&error, "{\"channel\":");
	str_add_json(&error, name);
	str_addf(&error, ",\"reason\":\"%s\"}", reason);
	str_addf(&args, "\"subscription_error\",%s", error.p);
	socket_emit(call->work, call->packet->nsp, &args);
	if (w->refused.len)
		str_addc(&w->refused, ',');
	str_adds(&w->refused, error.p);
	str_fini(&error);
	str_fini(&args);
}

static void accept(struct wish *w, const char *name, const struct sub *sub)
{
	if (strlist_has(&w->names, name))
		return;
	subs_add(&w->subs, sub); /* as many as names, and there are not more of these */
	strlist_add(&w->names, name, strlen(name));
}

static void put_names(struct str *out, const struct strlist *names)
{
	str_adds(out, "\"channels\":[");
	for (size_t i = 0; i < names->n; i++) {
		if (i)
			str_addc(out, ',');
		str_add_json(out, names->v[i]);
	}
	str_addc(out, ']');
}

/* Tells what was done: the event `what`, and the acknowledgement. */
static void on_subscribe_answer(struct socket_call *call, const char *what, const struct wish *w)
{
	struct str args = STR_INIT, ack = STR_INIT;

	if (w->names.n) {
		str_addf(&args, "\"%s\",{", what);
		put_names(&args, &w->names);
		str_addc(&args, '}');
		socket_emit(call->work, call->packet->nsp, &args);
	}
	str_adds(&ack, "{\"ok\":true,");
	put_names(&ack, &w->names);
	if (w->refused.len)
		str_addf(&ack, ",\"refused\":[%s]", w->refused.p);
	str_addc(&ack, '}');
	socket_ack(call, ack.p);
	str_fini(&args);
	str_fini(&ack);
}

static void wish_fini(struct wish *w)
{
	subs_fini(&w->subs);
	strlist_fini(&w->names);
	str_fini(&w->refused);
}

/* ---- the events ---- */

static void subscribe(struct socket_call *call)
{
	struct json_object *names = names_of(call);
	struct wish w = {.refused = STR_INIT};

	call->who = socket_who(call);
	if (!call->who)
		return;
	for (size_t i = 0; i < names_n(names); i++) {
		const char *name = json_object_get_string(name_at(names, i)), *reason;
		struct sub sub;

		reason = on_subscribe_find(name, &sub);
		if (!reason)
			reason = socket_sub_refused(call, &sub);
		if (reason)
			on_subscribe_refuse(call, &w, name, reason);
		else
			accept(&w, name, &sub);
	}
	if (w.names.n)
		socket_subscribe(call, &w.subs);
	on_subscribe_answer(call, "subscribed", &w);
	wish_fini(&w);
}

static void unsubscribe(struct socket_call *call)
{
	struct json_object *names = names_of(call);
	struct wish w = {.refused = STR_INIT};

	for (size_t i = 0; i < names_n(names); i++) {
		const char *name = json_object_get_string(name_at(names, i));
		struct sub sub;

		on_subscribe_find(name, &sub);
		accept(&w, name, &sub);
	}
	socket_unsubscribe(call, &w.subs);
	on_subscribe_answer(call, "unsubscribed", &w);
	wish_fini(&w);
}

const struct socket_event on_subscribe_events[] = {
	{.name = "subscribe", .check = on_subscribe_check, .handle = subscribe},
	{.name = "unsubscribe", .check = on_subscribe_check, .handle = unsubscribe},
	{0},
};
