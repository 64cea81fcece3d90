/*
 * Failed logins and bad tokens, counted in auth_failures per account and per address, so that a
 * limit holds over all processes and hosts. A window begins with the first failure and lasts
 * auth.login_window_s; over a limit one waits for its end. An IPv6 address counts as its /64, which
 * is what one customer of a provider has. Worker threads; blocks on ctx->db.
 */
#ifndef CMDB_THROTTLE_H
#define CMDB_THROTTLE_H

#include "route.h"

extern const struct db_set throttle_sql;

/* May a login for account (lower case, need not exist) be tried from this address? Comes before
 * anything that costs or tells something. ERR_RATE_LIMITED: no, and task->retry_s is set. */
enum err throttle_check(struct task *task, const char *account) __attribute__((warn_unused_result));
/* That login failed. */
enum err throttle_failed(struct task *task, const char *account)
	__attribute__((warn_unused_result));
/* That login was good: the account starts anew; in the caller's transaction. */
enum err throttle_clear(struct task *task, const char *account) __attribute__((warn_unused_result));
/* A token or key turned out to be bad: counts it. ERR_RATE_LIMITED with task->retry_s set when the
 * address has had too many; good ones are served all the same, since a forged or guessed one is out
 * of reach and many people may share an address. */
enum err throttle_bad_token(struct task *task) __attribute__((warn_unused_result));

#endif
