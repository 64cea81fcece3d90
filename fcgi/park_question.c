#include "park_question.h"

#include "app.h"
#include "clock.h"
#include "link.h"
#include "log.h"

static struct park_question *park_question_of(const struct park *p)
{
	return (struct park_question *)p;
}

static void park_question_fini(struct park *p)
{
	str_fini(&park_question_of(p)->arguments);
	str_fini(&park_question_of(p)->room);
}

static void park_question_say(struct park_question *a)
{
	struct evbuffer *out = link_out(park_link(&a->park));

	if (!out)
		return;
	a->was_said = true;
	if (a->question)
		wire_put_ask(out, a->park.ticket, a->question, a->tenant_id, &a->arguments);
	else
		wire_put_cast(
			out, a->park.ticket, a->tenant_id, str_c(&a->room), "", &a->arguments);
}

static void park_question_start(struct park *p)
{
	park_ask(p, PARK_WAITING);
	park_question_say(park_question_of(p));
	park_watch(p);
}

static int64_t park_question_deadline(const struct park *p)
{
	return p->parked_ms + PARK_QUESTION_MS;
}

static void park_question_give_up(struct park *p)
{
	bool is_doubtful = !park_question_of(p)->question && park_question_of(p)->was_said;

	figure_add(park_app(p)->stats, STAT_REFUSED, 1);
	park_fail(p, ERR_UNAVAILABLE,
		is_doubtful
			? "cmdb-poller does not answer any more: it is not known whether it has "
			  "sent this."
			: "cmdb-poller, which does this, is not there or does not answer; try "
			  "again in a few seconds.",
		"");
}

static void park_question_on_up(struct park *p, const char *old_epoch)
{
	if (!park_question_of(p)->question && park_question_of(p)->was_said)
		park_question_give_up(p);
	else
		park_question_say(park_question_of(p));
}

/* It is answered in a moment, if there is somebody to do it. */
static void park_question_release(struct park *p)
{
	if (!link_is_up(park_link(p)))
		park_question_give_up(p);
}

static void park_question_refuse(struct park *p, enum err e)
{
	park_fail(p, e, NULL, "");
}

static void park_question_answer(struct park *p, struct slice data)
{
	static const char before[] = "{\"success\":true,\"data\":";
	struct str text = STR_INIT;
	struct body *body;

	str_reserve(&text, sizeof(before) + data.len + 1);
	str_adds(&text, before);
	str_add(&text, data.p, data.len);
	str_addc(&text, '}');
	body = body_new(text.p, text.len);
	figure_add(park_app(p)->stats, STAT_ANSWERED, 1);
	park_answer(p, 200, "application/json", NULL, body);
	body_put(body);
	str_fini(&text);
}

/* details: a JSON array, of which the inside is wanted. */
static void answer_bad(struct park *p, struct slice details)
{
	struct str inside = STR_INIT;

	if (details.len > 2)
		str_add(&inside, details.p + 1, details.len - 2);
	park_fail(p, ERR_VALIDATION, NULL, str_c(&inside));
	str_fini(&inside);
}

static void park_question_on_reply(struct park *p, const struct wire_frame *f, struct body *body)
{
	if (f->type != WIRE_ANSWER) {
		log_error("poller", "an answer out of place: %d", (int)f->type);
		park_question_give_up(p);
		return;
	}
	switch (f->answer.what) {
	case WIRE_ANSWER_OK:
		park_question_answer(p, f->answer.json);
		break;
	case WIRE_ANSWER_BAD:
		answer_bad(p, f->answer.json);
		break;
	case WIRE_ANSWER_FORBIDDEN:
		park_refuse(p, ERR_FORBIDDEN);
		break;
	case WIRE_ANSWER_BUSY:
		park_refuse(p, ERR_BUSY);
		break;
	case WIRE_ANSWER_NONE:
		park_refuse(p, ERR_NOT_FOUND);
		break;
	default:
		log_error("poller", "an answer that is none: %d", (int)f->answer.what);
		park_question_give_up(p);
	}
}

static void park_question_on_written(struct park *p)
{
	park_end(p);
}

static const struct park_kind question_kind = {
	.start = park_question_start,
	.deadline = park_question_deadline,
	.on_deadline = park_question_give_up,
	.on_hang_up = park_end,
	.on_written = park_question_on_written,
	.on_up = park_question_on_up,
	.on_reply = park_question_on_reply,
	.release = park_question_release,
	.give_up = park_question_give_up,
	.refuse = park_question_refuse,
	.fini = park_question_fini,
};

struct park_question *park_question_new(void)
{
	return park_question_of(park_new(&question_kind, sizeof(struct park_question)));
}
