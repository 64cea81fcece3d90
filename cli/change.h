/*
 * A change of people, roles, keys or tokens: one transaction with its audit row and the "_auth"
 * events that tell every poller and cmdb-fcgi, then the doorbell. Changes run one after another
 * (each locks the roles), so that no two together can take the last admin away.
 */
#ifndef CMDB_CLI_CHANGE_H
#define CMDB_CLI_CHANGE_H

#include <json-c/json.h>

#include "cmd.h"

/* Whom a change of rights concerns. */
enum change_whom {
	CHANGE_USER,
	CHANGE_ROLE, /* all users who have it */
	CHANGE_TENANT_USERS,
	CHANGE_TENANT_KEYS,
	CHANGE_KEY,
	CHANGE_TOKEN
};
#define CHANGE_TOLD_MAX 4

struct change {
	struct call *call;
	struct db *db;
	const void *arg;
	/* What the step leaves: */
	uint32_t tenant_id; /* of the audit row */
	const char *action; /* "user.disable"; NULL: nothing was changed, no audit row */
	struct str target;
	struct str done;            /* what to print for people */
	struct json_object *result; /* what to print for --json; NULL: action and target */
	struct change_told {
		enum change_whom whom;
		bool is_more;
		struct db_val id;
	} told[CHANGE_TOLD_MAX]; /* change_tell() */
	size_t told_n;
	struct str problem; /* what is wrong, when it returns anything but ERR_OK or an ERR_DB... */
};

/* Does the work on ch->db, inside the transaction. After a deadlock it runs again, with an empty
 * *ch: it changes nothing else but the database. */
typedef enum err (*change_step)(struct change *ch);

extern const struct db_set change_sql;

/* Opens the database, runs step as said above, prints what it did or what is wrong. */
enum ctl_exit change_run(
	struct call *call, const struct db_set *const *sets, change_step step, const void *arg);

/* For the end of a step: notes the audit row and what to print; returns ERR_OK. */
enum err change_did(struct change *ch, uint32_t tenant_id, const char *action, const char *target,
	const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Notes what is wrong; returns e. */
enum err change_problem(struct change *ch, enum err e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The audit row of anything cmdbctl does, within an open transaction. */
enum err change_audit(struct db *db, uint32_t tenant_id, const char *action, const char *target)
	__attribute__((warn_unused_result));

/* Whatever changes what somebody may do says so, with one of these; the "_auth" events for it are
 * the last statements of the transaction. The first: something was taken from them, and requests
 * that are held for them end. The second: they may have got more, and what they hold is judged
 * anew. */
void change_tell(struct change *ch, enum change_whom whom, uint64_t id);
void change_tell_more(struct change *ch, enum change_whom whom, uint64_t id);
void change_tell_token(struct change *ch, const char *jti); /* it is revoked; borrowed */

#endif
