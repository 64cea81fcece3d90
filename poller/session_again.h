/*
 * Is a request the one before, come again because the process that had it died?
 *
 * Only if that process is gone, whatever its client's marks say: there are clients without marks
 * and clients that mark all requests alike. So of each session's last GET and last POST it is kept
 * which process had it (lib/wire.h, HELLO) and as what ticket.
 *
 *   the same process, the same ticket: it says again what the poller, or the one before, was asked
 *   another tag: another request
 *   the web server says so: again
 *   that process is gone: again
 *   it seems to be there: not again; but of a good mark, which no other request has, that is
 *   doubtful: a dying process lets go of one connection after the other, and the web server may be
 *   told first
 *
 * A doubtful request waits for a moment for the process to be gone. The loop thread's.
 */
#ifndef CMDB_SESSION_AGAIN_H
#define CMDB_SESSION_AGAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "session.h"

struct conn;
struct wire_frame;

enum again { AGAIN_NO, AGAIN_YES, AGAIN_PERHAPS };
struct asked asked_of(const struct conn *c, uint64_t ticket, uint64_t tag);
enum again session_again(
	struct session *s, const struct asked *last, const struct asked *now, bool is_told);
/* Notes a request that is none of before: that its tag is one of before shows what tags are worth.
 */
void session_note_tag(struct session *s, uint64_t tag);

/* Requests that are in doubt. */
struct doubts;
struct doubts *doubts_new(struct hub *hub);
void doubts_free(struct doubts *all);
/* The frame at the head of c's input is looked at again when a process is found to be gone, or a
 * moment later, and is_decided then. */
typedef void look_again_fn(struct conn *c, const struct wire_frame *f, bool is_decided);
void doubts_add(struct conn *c, const struct wire_frame *f, uint64_t ticket, look_again_fn *look);
void doubts_drop(struct conn *c, uint64_t ticket);
void doubts_conn_gone(struct conn *c);

#endif
