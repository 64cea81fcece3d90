/*
 * A username and a password: the check behind POST /api/v1/auth/login and the Admin UI's login
 * form. Throttled per account and address (throttle.h), bounded (password.h), audited. Worker and
 * job threads; blocks.
 */
#ifndef CMDB_LOGIN_H
#define CMDB_LOGIN_H

#include <stddef.h>
#include <stdint.h>

#include "route.h"

#define LOGIN_USERNAME_MAX 64 /* characters, users.username */

extern const struct db_set login_sql;

struct login {
	const char *username, *password;
	size_t password_len;
	const char *target; /* of the audit row: what it is a login to; "" for the API */
	/* Gives out what the login is for, in its transaction, which is run again when the database
	 * asks for it. What it returns but ERR_OK ends the login, and nothing of it is kept. */
	enum err (*grant)(struct task *task, uint64_t user_id, void *arg);
	void *arg;
};

/* ERR_BAD_CREDENTIALS (that has been counted), ERR_RATE_LIMITED (Retry-After is set), ERR_BUSY,
 * ERR_DB_LOST and the like, or what grant says. */
enum err login_run(struct task *task, const struct login *in) __attribute__((warn_unused_result));
/* An audit row of a user's, in the caller's transaction. */
enum err login_note(struct task *task, uint64_t user_id, const char *action, const char *target)
	__attribute__((warn_unused_result));

#endif
