/*
 * What a session's socket in "/" is sent: the group of its interest, which is made of what its
 * principal may (rights.h) and of what was asked for (subs.h), here alone, and anew whenever one of
 * the two changes. What of its subscriptions the rights do not back any more ends with them: it
 * leaves the record, the Admin UI is shown the rooms, and the client is told of what it had asked
 * for. Nothing comes back by itself but what one is shown by right. Loop thread.
 */
#ifndef CMDB_SESSION_WANTS_H
#define CMDB_SESSION_WANTS_H

#include "session.h"

/* Its group, by its rights and subscriptions as they are; without rights it wants nothing. */
void session_make_group(struct session *s);
/* For a new socket: what it may, from perm_rights_put(), empty: nothing. What it goes on with from
 * before, and may not have any more, is taken out into gone. */
void session_begin_rights(struct session *s, struct slice rights, struct subs *gone);
/* Tells the client what ended. false: s was closed, and may be freed. */
bool session_tell_gone(struct session *s, const struct subs *gone, const char *reason);
/* It may something else from now on. false: as above. */
bool session_set_rights(struct session *s, struct slice rights);
void session_end_rights(struct session *s); /* its socket has left */
void session_uncount(struct session *s);    /* its views cost nothing any more */
/* What was asked for, judged by what it may; of what it does not get the client is told. false: as
 * above. */
bool session_subscribe(struct session *s, const struct subs *asked);
void session_unsubscribe(struct session *s, const struct subs *asked);
/* Shows no more of a view, and shows it again, behind an event: subs.h. false: as above. */
void session_pause(struct session *s, const struct sub *view, uint64_t mark);
bool session_resume(struct session *s, const struct sub *view, uint64_t behind);
/* Puts it into a room by command, if it may be in it, or takes it out. false: it is there, or not,
 * already, or may not be; and out of the rooms it is in by right nobody is taken. */
bool session_join(struct session *s, const char *room);
bool session_unjoin(struct session *s, const char *room);

#endif
