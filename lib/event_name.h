/*
 * The names that an event may have on its way to a Socket.IO client: of all rows of ws_events
 * whoever wrote them, of what the Admin UI sends, and of what a client sends itself. Pure
 * functions.
 */
#ifndef CMDB_EVENT_NAME_H
#define CMDB_EVENT_NAME_H

#include <stdbool.h>
#include <stddef.h>

/* Under this name goes what has one that no event may have. */
#define EVENT_NAME_SAFE "event"

/* Does Socket.IO itself emit this, on either side? A stock client takes a packet with such a name
 * for no packet, and drops its connection (socket.io-parser 4, RESERVED_EVENTS). */
bool event_name_is_reserved(const char *name);
/* What is wrong with a name of len bytes, to follow on it in a sentence; NULL: nothing. Good are 1
 * to EVENT_NAME_MAX characters (event.h) of UTF-8, no control characters, none that is reserved. */
const char *event_name_fault(const char *name, size_t len);

#endif
