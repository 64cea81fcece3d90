/*
 * A live connection as those see it who look after them: which ones a tenant may be told of, which
 * of these are asked for, how far behind they are, and what is told. The questions that stand on it
 * are in ask.h.
 *
 * A connection is an Engine.IO session with a socket of the tenant or, while it has no socket at
 * all, whose handshake was the tenant's; of its sockets only those of the tenant are told. The loop
 * thread's.
 */
#ifndef CMDB_CONNECTION_H
#define CMDB_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

struct ask;
struct caller;
struct hub;
struct session;

/* {0} is all of them. */
struct connection_filter {
	uint32_t tenant_id; /* 0: of all */
	uint64_t node_id;   /* 0: of any host */
	const char *state;  /* the texts: NULL for any; the name of one, static */
	char *id, *user, *ip, *topic;
};

/* Takes what is asked for into f, if the filter has that parameter; false: it has not. */
bool connection_filter_read(
	struct ask *a, struct connection_filter *f, const char *key, const char *value);
void connection_filter_fini(struct connection_filter *f);
/* Notes a parameter that there is not, or that is not valid. */
void connection_read_text(struct ask *a, const char *field, const char *value, char **out);

/* Is it one, and asked for? Then *whose is whoever it is of, as far as the tenant may know, or
 * NULL. */
bool connection_is_wanted(
	const struct connection_filter *f, const struct session *s, struct caller **whose);

/* How far behind: the tenant's events, up to the tail of when it was asked, that are still to be
 * looked through for a session. */
struct connection_lag {
	const struct hub *hub;
	uint32_t tenant_id;
	uint64_t upto;
	/* Ids of the tenant's events up to there, from the newest back as far as was needed. */
	uint64_t *ids, before;
	size_t ids_n, ids_cap;
};
void connection_lag_init(struct connection_lag *l, const struct hub *hub, uint32_t tenant_id);
uint64_t connection_lag(struct connection_lag *l, const struct session *s);
void connection_lag_fini(struct connection_lag *l);

/* As JSON. */
void connection_put(struct str *out, const struct session *s, const struct caller *whose,
	uint32_t tenant_id, uint64_t lag);
/* Of an API key user_id is 0. */
void connection_put_user(
	struct str *out, uint32_t tenant_id, uint64_t user_id, const char *username);
/* What it has asked for beyond what it gets by right; null: nothing. */
void connection_put_subscription(struct str *out, const struct session *s);

#endif
