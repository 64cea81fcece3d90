#include "follow.h"

#include <string.h>

#include "api.h"
#include "json.h"
#include "out.h"

#define POLL_S 25
#define ANSWER_TIMEOUT_MS ((POLL_S + 15) * 1000)

void follow_init(
	struct follow *f, struct rest *rest, bool is_patient, const struct follow_on *on, void *arg)
{
	*f = (struct follow){.rest = rest, .is_patient = is_patient, .on = on, .arg = arg};
	str_adds(&f->path, "/events");
}

void follow_fini(struct follow *f)
{
	str_fini(&f->path);
}

static void follow_path(const struct follow *f, bool waits, struct str *path)
{
	struct str number = STR_INIT;

	str_adds(path, str_c(&f->path));
	str_addu(&number, waits ? POLL_S : 0);
	rest_query(path, "timeout", str_c(&number));
	if (f->has_since) {
		str_clear(&number);
		str_addu(&number, f->since);
		rest_query(path, "since", str_c(&number));
	}
	if (*f->epoch)
		rest_query(path, "epoch", f->epoch);
	str_fini(&number);
}

static void follow_take(struct follow *f, struct json_object *answer)
{
	struct json_object *events = json_get(answer, "events");
	const char *epoch = json_get_str(answer, "epoch");

	f->was_reset = json_get(answer, "reset") && f->has_since;
	if (f->was_reset)
		f->on->reset(f->arg, answer);
	if (json_object_is_type(events, json_type_array))
		for (size_t i = 0; i < json_object_array_length(events); i++)
			f->on->event(f->arg, json_object_array_get_idx(events, i));
	f->since = json_object_get_uint64(json_get(answer, "lastEventId"));
	f->has_since = true;
	if (epoch && strlen(epoch) < sizeof(f->epoch))
		memcpy(f->epoch, epoch, strlen(epoch) + 1);
	f->is_caught_up = !json_object_get_boolean(json_get(answer, "more"));
}

static enum ctl_exit follow_wait(struct follow *f, unsigned retry_after_s, const char *why)
{
	return out_wait(backoff_failed(&f->back, retry_after_s, why)) ? CTL_OK : CTL_FAILED;
}

static enum ctl_exit follow_answer(struct follow *f, const struct rest_answer *a)
{
	struct str why = STR_INIT;
	enum ctl_exit status = CTL_OK;

	if (a->status == 200 && json_get(a->json, "lastEventId")) {
		backoff_went_well(&f->back);
		follow_take(f, a->json);
		/* Whoever reads us has gone. */
		return out_flush() ? CTL_OK : CTL_FAILED;
	}
	if (!f->is_patient || !backoff_is_passing(a))
		return api_fail(a, "/events");
	rest_problem(a, &why);
	status = follow_wait(f, a->retry_after_s, str_c(&why));
	str_fini(&why);
	return status;
}

static bool is_read(void *arg)
{
	(void)arg;
	return out_wait(0);
}

enum ctl_exit follow_ask(struct follow *f, bool waits)
{
	struct str path = STR_INIT, why = STR_INIT;
	struct rest_request q = {
		.method = "GET", .timeout_ms = ANSWER_TIMEOUT_MS, .is_wanted = is_read};
	enum ctl_exit status;
	struct rest_answer a;

	follow_path(f, waits, &path);
	q.path = str_c(&path);
	if (rest_send(f->rest, &q, &a, &why)) {
		status = follow_answer(f, &a);
		rest_answer_fini(&a);
	} else if (!out_wait(0)) {
		status = CTL_FAILED;
	} else {
		struct str text = STR_INIT;

		str_addf(&text, "the web server cannot be reached: %s", str_c(&why));
		status = f->is_patient ? follow_wait(f, 0, str_c(&text))
				       : cmd_fail(CTL_UNREACHABLE, "%s", str_c(&text));
		str_fini(&text);
	}
	str_fini(&path);
	str_fini(&why);
	return status;
}
