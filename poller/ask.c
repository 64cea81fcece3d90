#include "ask.h"

#include "conn.h"
#include "errand.h"
#include "question.h"
#include "status.h"

static void ask_status(struct ask *a)
{
	status_render(a->hub, &a->json);
}

static const struct {
	const char *question;
	void (*answer)(struct ask *a);
} answers[] = {
	{"status", ask_status},
	{"connections", ask_connections},
	{"connection", ask_connection},
	{"connection-stats", ask_connection_stats},
	{"disconnect", ask_disconnect},
};

void ask_problem(struct ask *a, const char *field, const char *fmt, ...)
{
	struct str problem = STR_INIT;
	va_list ap;

	va_start(ap, fmt);
	str_addv(&problem, fmt, ap);
	va_end(ap);
	str_adds(&a->problems, a->problems.len ? ",{\"field\":" : "[{\"field\":");
	str_add_json(&a->problems, field);
	str_adds(&a->problems, ",\"problem\":");
	str_add_json(&a->problems, str_c(&problem));
	str_addc(&a->problems, '}');
	str_fini(&problem);
}

void ask_number(struct ask *a, const char *field, const char *value, uint64_t min, uint64_t max,
	uint64_t *out)
{
	if (!parse_u64(value, min, max, out))
		ask_problem(a, field, "must be an integer from %llu to %llu",
			(unsigned long long)min, (unsigned long long)max);
}

static void ask_read(struct ask *a, struct slice arguments)
{
	const char *why = NULL;
	size_t offset;

	if (arguments.len > WIRE_ARGUMENTS_MAX) {
		ask_problem(a, "", "may have at most %u bytes", WIRE_ARGUMENTS_MAX);
		return;
	}
	if (!arguments.len)
		return;
	a->args = json_parse(arguments.p, arguments.len, &why, &offset);
	if (!json_object_is_type(a->args, json_type_object))
		ask_problem(a, "", "must be a JSON object");
}

static enum wire_answer ask_answer(struct ask *a, const struct conn *c, const struct wire_frame *f)
{
	const struct question *q = question_find(f->ask.question);

	if (!q)
		return WIRE_ANSWER_UNKNOWN;
	if (!question_is_for(q, c->role, a->tenant_id))
		return WIRE_ANSWER_FORBIDDEN;
	ask_read(a, f->ask.arguments);
	for (size_t i = 0; !a->problems.len && i < sizeof(answers) / sizeof(answers[0]); i++)
		if (slice_is(f->ask.question, answers[i].question))
			answers[i].answer(a);
	return a->problems.len ? WIRE_ANSWER_BAD : WIRE_ANSWER_OK;
}

void ask_end(struct ask *a, struct conn *c, uint64_t ticket)
{
	if (a->problems.len)
		str_addc(&a->problems, ']');
	if (a->what == WIRE_ANSWER_OK && a->errand && !errand_add(a->errand, c, ticket))
		a->what = WIRE_ANSWER_BUSY;
	if (a->what != WIRE_ANSWER_OK) {
		errand_free(a->errand);
		a->errand = NULL;
		str_clear(&a->json);
	}
	if (!a->errand && c)
		wire_put_answer(bufferevent_get_output(c->bev), ticket, a->what,
			a->what == WIRE_ANSWER_BAD ? &a->problems : &a->json);
	str_fini(&a->json);
	str_fini(&a->problems);
	json_object_put(a->args);
}

void ask_begin(struct conn *c, const struct wire_frame *f)
{
	struct ask a = {.hub = c->hub, .tenant_id = f->ask.tenant_id};

	a.what = ask_answer(&a, c, f);
	ask_end(&a, c, f->ask.ticket);
}
