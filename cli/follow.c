#include "follow.h"

#include <string.h>

#include "api.h"
#include "clock.h"
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

static bool is_read(void *unused)
{
	(void)unused;
	return out_wait(0);
}

/* One request. CTL_OK with *came: *a is an answer that went well, and to be released; without: what
 * passes was waited for. */
static enum ctl_exit follow_try(
	struct follow *f, const char *path, struct rest_answer *a, bool *came)
{
	const struct rest_request q = {.method = "GET",
		.path = path,
		.timeout_ms = ANSWER_TIMEOUT_MS,
		.is_wanted = is_read};
	struct str why = STR_INIT;
	enum ctl_exit status = CTL_OK;
	unsigned retry_after_s = 0;
	bool passes = true;

	str_adds(&why, "the web server cannot be reached: ");
	*came = rest_send(f->rest, &q, a, &why);
	if (*came && (a->status != 200 || !a->json)) {
		str_clear(&why);
		rest_problem(a, &why);
		retry_after_s = a->retry_after_s;
		passes = backoff_is_passing(a);
		if (!passes || !f->is_patient) {
			str_clear(&why);
			str_add(&why, path, strcspn(path, "?"));
			status = api_fail(a, str_c(&why));
		}
		rest_answer_fini(a);
		*came = false;
	} else if (!*came && !f->is_patient) {
		status = cmd_fail(CTL_UNREACHABLE, "%s", str_c(&why));
	}
	if (*came)
		backoff_went_well(&f->back);
	else if (status == CTL_OK &&
		 (!out_wait(0) || !out_wait(backoff_failed(&f->back, retry_after_s, str_c(&why)))))
		status = CTL_FAILED; /* whoever reads us has gone */
	str_fini(&why);
	return status;
}

enum ctl_exit follow_get(struct follow *f, const char *path, struct rest_answer *a)
{
	enum ctl_exit status = CTL_OK;
	bool came = false;

	while (status == CTL_OK && !came)
		status = follow_try(f, path, a, &came);
	return status;
}

enum ctl_exit follow_ask(struct follow *f, bool waits)
{
	int64_t rest_ms = f->asked_ms + f->spacing_ms - clock_ms();
	struct str path = STR_INIT;
	enum ctl_exit status;
	struct rest_answer a;
	bool came;

	if (waits && rest_ms > 0 && !out_wait(rest_ms))
		return CTL_FAILED;
	f->asked_ms = clock_ms();
	follow_path(f, waits, &path);
	status = follow_try(f, str_c(&path), &a, &came);
	if (status == CTL_OK && came) {
		follow_take(f, a.json);
		rest_answer_fini(&a);
		status = out_flush() ? CTL_OK : CTL_FAILED;
	}
	str_fini(&path);
	return status;
}
