/*
 * Answers to waiters. Those who get one body in one turn of the loop, one after the other, get it
 * in one frame a connection: an answer is sent with the next one that is not the same, or at the
 * safe point. Every answer goes through answer_add() and ends its waiter. The loop thread's.
 */
#ifndef CMDB_ANSWER_H
#define CMDB_ANSWER_H

struct body;
struct hub;
struct waiter;

/* Answers the waiter, which ends, with b, which is finished. */
void answer_add(struct hub *hub, struct waiter *w, struct body *b);
void answer_one(struct waiter *w, struct body *b); /* the same; takes the reference to b */
void answer_send(struct hub *hub);                 /* what was added */

#endif
