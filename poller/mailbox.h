/*
 * Messages to the loop thread from the threads that may block. mailbox_post() from any thread, in
 * order, never blocks for long; mails are opened on the loop thread, all that wait in one turn.
 */
#ifndef CMDB_MAILBOX_H
#define CMDB_MAILBOX_H

#include <pthread.h>
#include <sys/queue.h>

#include <event2/event.h>

/* Embedded as the first member of what is sent. open() takes it over and frees it. */
struct mail {
	void (*open)(struct mail *mail, void *owner);
	void (*discard)(struct mail *mail); /* instead of open() when the mailbox goes away */
	TAILQ_ENTRY(mail) entry;
};
TAILQ_HEAD(mail_list, mail);

struct mailbox {
	pthread_mutex_t lock;
	struct mail_list list;
	int efd;
	struct event *event;
	void *owner;
};

void mailbox_init(struct mailbox *mb, struct event_base *base, void *owner);
void mailbox_post(struct mailbox *mb, struct mail *mail);
void mailbox_fini(struct mailbox *mb); /* discards what was not opened */

#endif
