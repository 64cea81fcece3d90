#include "mailbox.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "log.h"

static void on_mail(evutil_socket_t fd, short what, void *arg)
{
	struct mailbox *mb = arg;
	struct mail_list list = TAILQ_HEAD_INITIALIZER(list);
	struct mail *mail;
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&mb->lock);
	TAILQ_CONCAT(&list, &mb->list, entry);
	pthread_mutex_unlock(&mb->lock);
	while ((mail = TAILQ_FIRST(&list))) {
		TAILQ_REMOVE(&list, mail, entry);
		mail->open(mail, mb->owner);
	}
}

void mailbox_init(struct mailbox *mb, struct event_base *base, void *owner)
{
	memset(mb, 0, sizeof(*mb));
	pthread_mutex_init(&mb->lock, NULL);
	TAILQ_INIT(&mb->list);
	mb->owner = owner;
	mb->efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mb->efd < 0)
		log_fatal(EX_OSERR, "eventfd: %s", strerror(errno));
	mb->event = event_new(base, mb->efd, EV_READ | EV_PERSIST, on_mail, mb);
	event_add(mb->event, NULL);
}

void mailbox_post(struct mailbox *mb, struct mail *mail)
{
	static const uint64_t one = 1;
	bool is_first;

	pthread_mutex_lock(&mb->lock);
	is_first = TAILQ_EMPTY(&mb->list);
	TAILQ_INSERT_TAIL(&mb->list, mail, entry);
	pthread_mutex_unlock(&mb->lock);
	/* The write can only fail when the counter is full, and then the loop is awake anyway. */
	if (is_first && write(mb->efd, &one, sizeof(one)) < 0)
		return;
}

void mailbox_fini(struct mailbox *mb)
{
	struct mail *mail;

	event_free(mb->event);
	close(mb->efd);
	while ((mail = TAILQ_FIRST(&mb->list))) {
		TAILQ_REMOVE(&mb->list, mail, entry);
		mail->discard(mail);
	}
	pthread_mutex_destroy(&mb->lock);
}
