/*
 * The live token rules: a token's end is announced and then enforced, and what is revoked or
 * changed in a user's rights counts for living sessions at once.
 *
 * An "_auth" event names a token, a user or an API key. A token is ended here; of a user or key the
 * database is asked anew (reader.h), once for each caller, and its sockets end or go on with what
 * they may get now. The loop thread's.
 */
#ifndef CMDB_SESSION_AUTH_H
#define CMDB_SESSION_AUTH_H

#include <stdbool.h>
#include <stdint.h>

struct hub;
struct reader_mail;
struct record;
struct session;
struct sessions;
struct sock;

void session_principal_came(struct hub *hub, struct reader_mail *m);
/* Was what k's caller holds revoked a moment ago, when this was on its way? Asks the database. */
void session_recheck(struct session *s, const struct sock *k);
/* Asks the database what k's caller may by now. */
void session_ask_rights(struct session *s, const struct sock *k);
void sessions_revoke(struct sessions *ss, const struct record *r); /* an "_auth" event */
/* When to look at its tokens next, monotonic; INT64_MAX: never. */
int64_t session_token_ms(const struct session *s, int64_t now);
/* Warns of a token's end, or ends what it was for. false: s was closed, and may be freed. */
bool session_check_tokens(struct session *s, int64_t now);
/* Tells the client why (event `error`), disconnects its socket k and closes s, which may be freed.
 */
void session_end(struct session *s, struct sock *k, const char *code, const char *message);

#endif
