/*
 * Connections of other hosts, as their pollers have written them to ws_sessions: those with a
 * socket in "/" that can be recovered, a second or so after they came. How far behind they are and
 * what they were sent only their own poller knows. A host whose poller has not been seen for
 * HOSTS_SEEN_S has none.
 *
 * An errand asks before it goes through the sessions of this host: abroad_ask() from its start(),
 * and the mail that brings the answer has it go on. The rows are read by the saver's thread; all
 * else is the loop thread's.
 */
#ifndef CMDB_ABROAD_H
#define CMDB_ABROAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "connection.h"
#include "db.h"
#include "errand.h"
#include "saver.h"

#define ABROAD_MAX 20000 /* rows of one answer: those that come first */

struct abroad_row {
	int64_t connected_ms; /* wall clock */
	char *username, *json;
};

struct abroad {
	struct saver_question question;
	uint64_t errand;                 /* its id */
	struct connection_filter filter; /* its own copy */
	bool by_user, is_down;           /* the order; else by time */
	uint64_t limit;
	/* The answer. */
	bool is_done; /* false: the database did not answer */
	uint64_t total;
	struct abroad_row *rows;
	size_t n;
};

extern const struct db_set abroad_sql;

/* Can there be any that match? Then e has asked, and waits: its kind is given the answer by take().
 */
bool abroad_ask(struct errand *e, const struct connection_filter *f, bool by_user, bool is_down,
	uint64_t limit);
void abroad_free(struct abroad *a); /* takes NULL */

#endif
