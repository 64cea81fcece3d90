#include "question.h"

#define OF_WEB (QUESTION_OF(WIRE_ROLE_FCGI) | QUESTION_OF(WIRE_ROLE_CGI))
#define OF_CTL QUESTION_OF(WIRE_ROLE_CLI)

static const struct question questions[] = {
	{"status", "ws:admin", OF_CTL},
	{"connections", "ws:admin", OF_WEB | OF_CTL},
	{"connection", "ws:admin", OF_WEB | OF_CTL},
	{"connection-stats", "ws:admin", OF_WEB | OF_CTL},
	{"disconnect", "ws:admin", OF_WEB | OF_CTL},
};

const struct question *question_find(struct slice name)
{
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
		if (slice_is(name, questions[i].name))
			return &questions[i];
	return NULL;
}

bool question_is_for(const struct question *q, enum wire_role role, uint32_t tenant_id)
{
	return (q->roles & QUESTION_OF(role)) && (tenant_id || role == WIRE_ROLE_CLI);
}
