#include "on_log.h"

#include <stdatomic.h>

#include "log_filter.h"
#include "log_replay.h"
#include "shm.h"
#include "socket_subs.h"
#include "stream.h"

static const char topic[] = "logs";

/* The view of logs that a socket may ask for. */
static struct sub log_view(void)
{
	return (struct sub){.type = SUB_VIEW,
		.view = (uint8_t)stream_view_by(stream_find(topic), STREAM_BY_EVENT),
		.name = {topic, sizeof(topic) - 1}};
}

/* NULL: the client has been told that it has none. */
static struct sub *log_view_of(struct socket_call *call)
{
	const struct sub asked = log_view();
	struct sub *view = subs_find(&call->work->subs, &asked);

	if (!view)
		socket_fail(call, "not_subscribed", "There is no log:subscribe to do that to.");
	return view;
}

static void on_log_answer(struct socket_call *call, const char *event)
{
	static const char done[] = "{\"success\":true}";
	struct str args = STR_INIT;

	str_addf(&args, "\"%s\",%s", event, done);
	socket_emit(call->work, call->packet->nsp, &args);
	socket_ack(call, done);
	str_fini(&args);
}

/* ---- subscribing ---- */

static const char *on_log_check(const struct socket_call *call)
{
	struct str filter = STR_INIT;
	const char *problem;

	log_stream_filter.parse(socket_arg(call, 0), &filter, &problem);
	str_fini(&filter);
	return problem;
}

static void on_log_subscribe(struct socket_call *call)
{
	struct str filter = STR_INIT;
	struct sub view = log_view();
	struct subs asked = {&view, 1};
	const char *problem, *refused;

	log_stream_filter.parse(socket_arg(call, 0), &filter, &problem);
	view.filter = slice_str(&filter);
	refused = socket_sub_refused(call, &view);
	if (refused) {
		socket_fail(call, refused, "The subscription is not possible.");
	} else {
		/* What the poller has against it comes behind that. */
		on_log_answer(call, "log:subscribed");
		socket_subscribe(call, &asked);
	}
	str_fini(&filter);
}

static void on_log_unsubscribe(struct socket_call *call)
{
	struct sub view = log_view();
	const struct subs asked = {&view, 1};

	socket_unsubscribe(call, &asked);
	on_log_answer(call, "log:unsubscribed");
}

/* ---- pausing ---- */

static void put_view_op(
	struct socket_call *call, enum op_type type, const struct sub *view, uint64_t id)
{
	struct sub copy = *view;
	const struct subs one = {&copy, 1};
	struct op op = {.type = type, .id = id};
	struct str bytes = STR_INIT;

	subs_put(&bytes, &one);
	op.bytes = slice_str(&bytes);
	ops_put(call->work->ops, &op);
	str_fini(&bytes);
}

static void on_log_pause(struct socket_call *call)
{
	struct sub *view = log_view_of(call);
	uint64_t mark;
	enum err e;

	if (!view)
		return;
	if (!view->is_paused) {
		e = log_replay_mark(&call->work->task, &mark);
		if (e != ERR_OK) {
			socket_fail_err(call, e);
			return;
		}
		put_view_op(call, OP_PAUSE, view, mark);
		view->is_paused = true;
		view->since = OPS_FROM_NOW;
	}
	on_log_answer(call, "log:paused");
}

/* false: the client has been told why not. */
static bool send_missed(struct socket_call *call, const struct sub *view, uint64_t upto)
{
	struct strlist packets = {0};
	enum err e = log_replay(&call->work->task, view, upto, &packets);

	for (size_t i = 0; i < packets.n; i++) {
		struct str args = STR_INIT;

		str_adds(&args, packets.v[i]);
		socket_emit(call->work, call->packet->nsp, &args);
		str_fini(&args);
	}
	strlist_fini(&packets);
	if (e != ERR_OK)
		socket_fail_err(call, e);
	return e == ERR_OK;
}

static void on_log_resume(struct socket_call *call)
{
	const struct shm *page = call->work->task.shm;
	struct sub *view = log_view_of(call);
	uint64_t upto;

	if (!view)
		return;
	if (!view->is_paused) {
		on_log_answer(call, "log:resumed");
		return;
	}
	upto = page ? atomic_load(&page->tail) : 0;
	if (view->since == OPS_FROM_NOW || upto < view->since)
		upto = view->since;
	else if (!send_missed(call, view, upto))
		return;
	put_view_op(call, OP_RESUME, view, upto);
	view->is_paused = false;
	on_log_answer(call, "log:resumed");
}

const struct socket_event on_log_events[] = {
	{.name = "log:subscribe",
		.perm = "logs:read",
		.check = on_log_check,
		.handle = on_log_subscribe},
	{.name = "log:unsubscribe", .handle = on_log_unsubscribe},
	{.name = "log:pause", .perm = "logs:read", .handle = on_log_pause},
	{.name = "log:resume", .perm = "logs:read", .handle = on_log_resume},
	{0},
};
