/*
 * What goes out to those who wait. Tickets that get one body in one turn of the loop, one after the
 * other, get it in one frame a connection: an answer is sent with the next one that is not the
 * same, or at the safe point. The loop thread's.
 */
#ifndef CMDB_ANSWER_H
#define CMDB_ANSWER_H

#include <stdint.h>

struct body;
struct conn;
struct hub;

/* Answers the ticket with b, which is finished. */
void answer_add(struct conn *c, uint64_t ticket, struct body *b);
void answer_send(struct hub *hub);  /* what was added */
void answer_forget(struct conn *c); /* it is going: what was added for it */

#endif
