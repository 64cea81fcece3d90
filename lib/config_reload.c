#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "config_row.h"
#include "log.h"
#include "mem.h"

/* What a program looks at once, when it starts; all else counts from a reload on. key NULL: the
 * whole section. The threads of cmdb-poller keep the configuration that they were started with, so
 * what they use has to be here. */
static const struct at_start {
	enum config_account who;
	const char *section, *key;
} at_start[] = {
	{CONFIG_FCGI, "fcgi", "workers"},
	{CONFIG_FCGI, "fcgi", "event_workers"},
	{CONFIG_FCGI, "auth", "argon2_parallel"},
	{CONFIG_POLLER, "database", NULL},
	{CONFIG_POLLER, "poller", NULL},
	{CONFIG_POLLER, "logs", NULL},
	{CONFIG_POLLER, "events", "db_socket"},
	{CONFIG_POLLER, "events", "db_host"},
	{CONFIG_POLLER, "events", "db_port"},
	{CONFIG_POLLER, "events", "db_user"},
	{CONFIG_POLLER, "events", "db_password"},
	{CONFIG_POLLER, "events", "db_tls_ca"},
	{CONFIG_POLLER, "logs", "offline_s"},
};

bool config_is_at_start(enum config_account who, const char *section, const char *key)
{
	for (size_t i = 0; i < sizeof(at_start) / sizeof(at_start[0]); i++) {
		const struct at_start *a = &at_start[i];

		if (a->who == who && !strcmp(a->section, section) &&
			(!a->key || !strcmp(a->key, key)))
			return true;
	}
	return false;
}

static bool is_same(const struct config *a, const struct config *b, const struct config_row *r)
{
	const struct strlist *la, *lb;

	switch (r->type) {
	case INT:
		return *int_at(a, r) == *int_at(b, r);
	case BOOL:
		return *bool_at(a, r) == *bool_at(b, r);
	case ORIGINS:
		la = list_at(a, r);
		lb = list_at(b, r);
		if (la->n != lb->n)
			return false;
		for (size_t i = 0; i < la->n; i++)
			if (strcmp(la->v[i], lb->v[i]) != 0)
				return false;
		return true;
	case TEXT:
	case SECRET:
	case CHOICE:
		break;
	}
	return !strcmp(*text_at(a, r), *text_at(b, r));
}

static void config_reload_keep(
	struct config *to, const struct config *from, const struct config_row *r)
{
	switch (r->type) {
	case INT:
		*int_at(to, r) = *int_at(from, r);
		break;
	case BOOL:
		*bool_at(to, r) = *bool_at(from, r);
		break;
	case ORIGINS:
		strlist_fini(list_at(to, r));
		for (size_t i = 0; i < list_at(from, r)->n; i++)
			strlist_add(list_at(to, r), list_at(from, r)->v[i],
				strlen(list_at(from, r)->v[i]));
		break;
	case TEXT:
	case SECRET:
	case CHOICE:
		free(*text_at(to, r));
		*text_at(to, r) = xstrdup(*text_at(from, r));
		break;
	}
}

void config_carry_over(struct config *now, const struct config *before, enum config_account who,
	struct config_changes *changes)
{
	for (const struct config_row *r = config_rows; r < config_rows + config_rows_n; r++) {
		struct str *names = &changes->taken;

		if (is_same(now, before, r))
			continue;
		if (config_is_at_start(who, r->section, r->key)) {
			config_reload_keep(now, before, r);
			names = &changes->waiting;
		}
		str_addf(names, "%s%s.%s", names->len ? ", " : "", r->section, r->key);
	}
}

void config_log_changes(struct config_changes *changes)
{
	log_info("reload", "configuration read again; changed: %s",
		changes->taken.len ? str_c(&changes->taken) : "nothing");
	if (changes->waiting.len)
		log_warn("reload", "these count from the next start only: %s",
			str_c(&changes->waiting));
	str_fini(&changes->taken);
	str_fini(&changes->waiting);
}
