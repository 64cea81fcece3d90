/*
 * What the verbs of `sessions` share: a host's poller that is asked about connections (ask.h of the
 * poller), of one tenant or of all. Blocks.
 */
#ifndef CMDB_CLI_SESSIONS_H
#define CMDB_CLI_SESSIONS_H

#include <json-c/json.h>
#include <stdint.h>

#include "cmd.h"
#include "poller.h"

struct sessions {
	const struct call *call;
	struct poller *poller;
	uint32_t tenant_id; /* 0: of all */
};

/* Connects to the poller and looks up --tenant, where it was given. CTL_OK, or the status after
 * having said why not; sessions_close() in any case. */
enum ctl_exit sessions_open(struct sessions *s, struct call *call);
void sessions_close(struct sessions *s);
/* A question about arguments, whose answer *o is the caller's. CTL_NOT_FOUND, without a word: there
 * is none. Else as above. */
enum ctl_exit sessions_ask(struct sessions *s, const char *question, struct json_object *arguments,
	struct json_object **o);
/* The same of one by its id. */
enum ctl_exit sessions_ask_one(
	struct sessions *s, const char *question, const char *id, struct json_object **o);

void sessions_say_none(const char *id);

extern const struct db_set *const sessions_sql[]; /* ends with NULL */

enum ctl_exit sessions_kick(struct call *call); /* sessions_kick.c */

#endif
