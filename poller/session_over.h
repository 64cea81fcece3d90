/*
 * Private ids that are over: their sockets were disconnected on purpose, by either side, and a
 * client that shows one of them later begins anew, whatever a late row of the table says. The
 * session is not found by it any more; but its row in ws_sessions, which another host or a later
 * start reads, is only written behind. So each is noted here, in the journal, and as such a row;
 * for as long as the row of a session may be gone on from. The loop thread's.
 */
#ifndef CMDB_SESSION_OVER_H
#define CMDB_SESSION_OVER_H

#include <stdbool.h>
#include <stdint.h>

#include "session.h"

struct over;
struct saver_row;
struct sessions;

void session_over(struct session *s); /* its pid, if it has one, is over; it has none any more */
bool sessions_is_over(const struct sessions *ss, const unsigned char pid[SESSION_KEY_SIZE]);
void sessions_over_put(const struct sessions *ss, struct str *rec, const struct over *o);
void sessions_over_get(struct sessions *ss, struct bytes *b);
void sessions_over_load(struct sessions *ss, const struct saver_row *row);
struct over *sessions_over_next(const struct sessions *ss, const struct over *o); /* NULL: first */
void sessions_over_tick(struct sessions *ss, int64_t now);
void sessions_over_save(struct sessions *ss); /* to the table, what the journal had */
void sessions_over_free(struct sessions *ss);

#endif
