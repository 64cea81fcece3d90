/*
 * A session as bytes: in the journal of this host (session_store.h), and in its row of ws_sessions,
 * where another host may read it (session_row.h). All but its queues. Loop thread.
 */
#ifndef CMDB_SESSION_RECORD_H
#define CMDB_SESSION_RECORD_H

#include "session.h"

struct sessions;

void session_record_put(struct str *rec, const struct session *s);
/* A session as session_record_put() wrote it, with this number (or SESSION_ANY_NUM); the queues of
 * the one with this number go over to it. NULL: it is no such record; then the one before may be
 * gone. */
struct session *session_record_get(struct sessions *ss, uint32_t num, struct bytes *b);
/* What the socket of a record had asked for. false: it is no such record. */
bool session_record_get_subs(struct slice record, struct subs *subs);
/* Monotonic, and so of this boot alone. get: false if they are not known. */
void session_record_put_clocks(struct str *rec, const struct session *s);
bool session_record_get_clocks(struct bytes *b, struct session *s);
void session_record_put_asked(struct str *rec, const struct asked *t);
void session_record_get_asked(struct bytes *b, struct asked *t);

#endif
