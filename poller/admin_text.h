/*
 * Parts of what the Socket.IO Admin UI is sent, as JSON text. Pure; the loop thread's.
 */
#ifndef CMDB_ADMIN_TEXT_H
#define CMDB_ADMIN_TEXT_H

#include "bytes.h"
#include "session.h"
#include "str.h"

#define ADMIN_TEXT_ARGS_MAX 8192 /* bytes of an event's arguments that are shown */

/* A socket as serialize() of @socket.io/admin-ui has it. */
void admin_text_socket(struct str *out, const struct session *s, const struct sock *k);
/* An event's arguments as an array; of longer ones the event's name and their size. */
void admin_text_args(struct str *out, struct slice args);
/* A comma and the time. */
void admin_text_now(struct str *out);

#endif
