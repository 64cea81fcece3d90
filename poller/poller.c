#include "poller.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/listener.h>

#include "answer.h"
#include "bidden.h"
#include "binlog.h"
#include "census.h"
#include "clients.h"
#include "chores.h"
#include "clock.h"
#include "conn.h"
#include "errand.h"
#include "fanout.h"
#include "event.h"
#include "frames.h"
#include "grave.h"
#include "group.h"
#include "hub.h"
#include "late.h"
#include "log.h"
#include "mailbox.h"
#include "mem.h"
#include "observer.h"
#include "observers.h"
#include "page.h"
#include "reader.h"
#include "ring.h"
#include "session_adopt.h"
#include "session_again.h"
#include "session_auth.h"
#include "session_late.h"
#include "session_store.h"
#include "sessions.h"
#include "shm.h"
#include "status.h"
#include "tail.h"
#include "wait.h"

#define TICK_MS 250
#define SAVE_MS 1000
#define SEEN_MS 10000 /* this poller is there, though nothing happens: HOSTS_SEEN_S */
#define NOTE_PAUSE_MS 4000
#define FLOORS_MS 1000
#define FILES_MS 1000

/* ---- what the threads tell ---- */

/* The log is another one: nothing that is remembered of it is true any more. The processes come
 * back for what they hold, with the epoch they know, and are told. */
static void forget_log(struct hub *hub)
{
	struct conn *c, *next;

	hub->is_ready = false;
	for (c = TAILQ_FIRST(&hub->conns); c; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->role == WIRE_ROLE_FCGI)
			conn_close(c);
	}
	grave_empty(&hub->grave); /* nothing is walked here: their waiters are gone now */
	pages_forget(hub);
	groups_forget(hub);
	ring_fini(&hub->ring);
	late_forget(hub->late);
	atomic_store(&hub->shm->lease_until_ms, 0);
	shm_detach(hub->shm);
	hub->shm = NULL;
}

void poller_on_start(struct mail *mail, void *owner)
{
	struct tail_start *s = (struct tail_start *)mail;
	struct hub *hub = owner;
	struct str path = STR_INIT;
	bool is_another = hub->is_started;

	if (is_another)
		forget_log(hub);
	memcpy(hub->epoch, s->epoch, sizeof(hub->epoch));
	memcpy(hub->epoch_why, s->why, sizeof(hub->epoch_why));
	reader_set_epoch(hub->reader, hub->epoch);
	hub->tail = s->tail;
	hub->floors = s->floors;
	ring_init(&hub->ring, (size_t)hub->cfg->poller.ring_events,
		(size_t)hub->cfg->poller.ring_bytes, s->tail);
	hub->is_started = true;
	config_page_path(hub->cfg, &path);
	hub->shm = shm_create(str_c(&path), hub->epoch);
	if (!hub->shm)
		log_fatal(EX_CANTCREAT,
			"cannot make %s: %s (the poller's account needs to write "
			"beside poller.socket)",
			str_c(&path), strerror(errno));
	floors_publish(hub->shm, &hub->floors);
	str_fini(&path);
	/* Who loads a dump is likely at it still: a note now would be in its way. */
	hub->saved_ms = is_another ? clock_ms() + NOTE_PAUSE_MS : 0;
	if (is_another)
		sessions_epoch_changed(hub->sessions);
	else
		sessions_adopt(hub->sessions);
	free(s);
}

static void on_ready(struct hub *hub)
{
	hub->is_ready = true;
	atomic_store(&hub->shm->tail, hub->tail);
	log_info("ready", "tail %llu, %zu events in the ring", (unsigned long long)hub->tail,
		hub->ring.n);
	conn_let_in(hub);
}

/* An "_auth" event. A process whose link is down finds it in the ring, or, if it came out of its
 * turn, is told when it is back. */
static void obey(struct hub *hub, const struct record *r, bool is_out_of_turn)
{
	if (strcmp(r->topic, EVENT_TOPIC_HOSTS) == 0)
		bidden_obey(hub, r);
	if (strcmp(r->topic, EVENT_TOPIC_AUTH) != 0)
		return;
	shm_raise(hub->shm, 0, EVENT_TOPIC_AUTH);
	conn_revoke(hub, r, is_out_of_turn);
	sessions_revoke(hub->sessions, r);
}

/* 0 between the two: a poller that dies there leaves no mark, rather than a wrong one. */
static void note_mark(struct hub *hub, const struct record *r, uint64_t table)
{
	atomic_store(&hub->shm->mark_id, 0);
	atomic_store(&hub->shm->mark_stamp, r->stamp);
	atomic_store(&hub->shm->mark_table, table);
	atomic_store(&hub->shm->mark_id, r->item.id);
}

/* They belong to the ring, before its newest. */
static void take_late(struct hub *hub, struct record **records, size_t n)
{
	groups_forget(hub);
	for (size_t i = 0; i < n; i++) {
		late_remember(hub->late, records[i], hub->tail);
		wait_came_late(hub, records[i]);
	}
	sessions_late(hub, records, n);
	fanout(hub, records, n, hub->tail, true);
	for (size_t i = 0; i < n; i++)
		ring_insert(&hub->ring, records[i]);
}

/* What is released goes out, and before it what came late since the last time. */
static void give_out(struct hub *hub, struct record *const *records, size_t n)
{
	size_t fresh = late_fresh_n(hub->late);
	struct record **all = xcalloc(fresh + n, sizeof(*all));

	late_take_fresh(hub->late, all);
	memcpy(all + fresh, records, n * sizeof(*all));
	fanout(hub, all, fresh + n, hub->tail, false);
	free(all);
}

void poller_on_batch(struct mail *mail, void *owner)
{
	struct tail_batch *b = (struct tail_batch *)mail;
	struct hub *hub = owner;

	/* First the generations: who is answered below may ask for what has changed at once. */
	for (size_t i = 0; i < b->n; i++) {
		struct record *r = b->records[i];

		census_count(hub, r);
		if (!record_is_internal(r))
			shm_raise(hub->shm, r->tenant_id, r->topic);
		else if (!r->is_told)
			obey(hub, r, b->kind != BATCH_RELEASED);
	}
	if (b->kind == BATCH_LATE) {
		take_late(hub, b->records, b->n);
		b->n = 0;
	} else if (b->kind == BATCH_RELEASED) {
		hub->tail = b->tail;
		if (hub->is_ready)
			atomic_store(&hub->shm->tail, b->tail);
		note_mark(hub, b->records[b->n - 1], b->table);
		give_out(hub, b->records, b->n);
		/* Behind the fan-out: the ring may drop records to make room. */
		for (size_t i = 0; i < b->n; i++)
			ring_push(&hub->ring, b->records[i]);
		b->n = 0;
		wait_tail_moved(hub);
	} else if (b->kind == BATCH_READY) {
		on_ready(hub);
	}
	tail_batch_free(b);
	store_flush(hub->sessions);
}

static void on_answer(struct mail *mail, void *owner)
{
	struct reader_mail *m = (struct reader_mail *)mail;
	struct hub *hub = owner;

	switch (m->job) {
	case READER_PAGE:
	case READER_LASTING:
		if (!strcmp(m->epoch, hub->epoch))
			wait_page_came(hub, m);
		break;
	case READER_FLOORS:
		if (m->is_done && hub->is_started && !strcmp(m->epoch, hub->epoch))
			wait_floors_raised(hub, &m->floors);
		conn_refreshed(hub);
		break;
	case READER_PRINCIPAL:
		session_principal_came(hub, m);
		break;
	case READER_SAVE:
		break;
	}
	reader_mail_free(m);
	store_flush(hub->sessions);
}

/* ---- time ---- */

static bool is_following(const struct hub *hub)
{
	const struct tail_stats *st = tail_stats(hub->tail_thread);

	return hub->is_ready && atomic_load(&st->is_db_up) &&
	       clock_ms() - atomic_load(&st->read_ok_ms) <
		       hub->cfg->poller.safety_ms + SHM_LEASE_MS / 2;
}

/* ---- the socket ---- */

static void on_accept(
	struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
	conn_accept(arg, fd);
}

/* A socket that nobody answers on is left over from a poller that died. */
static void remove_stale(const char *path, const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && !connect(fd, (const struct sockaddr *)sa, sizeof(*sa)))
		log_fatal(EX_UNAVAILABLE,
			"another cmdb-poller serves %s: stop it, or give this one "
			"another poller.socket",
			path);
	if (fd >= 0)
		close(fd);
	unlink(path);
}

/* NULL with errno set on failure. */
static struct evconnlistener *listen_at(struct hub *hub, const struct sockaddr_un *sa)
{
	mode_t mask = umask(0117); /* owner and group */
	struct evconnlistener *l = evconnlistener_new_bind(hub->base, on_accept, hub,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 1024, (const struct sockaddr *)sa,
		sizeof(*sa));

	umask(mask);
	return l;
}

void poller_listen(struct hub *hub)
{
	const char *path = hub->cfg->poller.socket;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(sa.sun_path))
		log_fatal(EX_CONFIG,
			"poller.socket: %s is too long for a UNIX socket (%zu bytes at "
			"most)",
			path, sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	remove_stale(path, &sa);
	hub->listener = listen_at(hub, &sa);
	if (!hub->listener)
		log_fatal(EX_CANTCREAT,
			"cannot listen on poller.socket %s: %s (does its directory "
			"exist, and may this account write there?)",
			path, strerror(errno));
}

/* ---- files that somebody removed ---- */

/* Whoever comes later finds a poller by its socket and page: a cleaner of old files that takes them
 * would cut off every process that starts from there on. */
static bool is_gone(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 && errno == ENOENT;
}

static bool restore_socket(struct hub *hub)
{
	const char *path = hub->cfg->poller.socket;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct evconnlistener *l;

	memcpy(sa.sun_path, path, strlen(path) + 1);
	l = listen_at(hub, &sa);
	if (!l)
		return false;
	evconnlistener_free(hub->listener);
	hub->listener = l;
	return true;
}

/* Who has mapped the old one takes the new one when its connection is made anew. */
static bool restore_page(struct hub *hub, const char *path)
{
	struct shm *old = hub->shm, *now = shm_create(path, hub->epoch);
	struct conn *c;

	if (!now)
		return false;
	floors_publish(now, &hub->floors);
	atomic_store(&now->tail, atomic_load(&old->tail));
	atomic_store(&now->mark_stamp, atomic_load(&old->mark_stamp));
	atomic_store(&now->mark_table, atomic_load(&old->mark_table));
	atomic_store(&now->mark_id, atomic_load(&old->mark_id));
	atomic_store(&old->lease_until_ms, 0);
	hub->shm = now;
	shm_detach(old);
	TAILQ_FOREACH (c, &hub->conns, entry)
		if (c->role == WIRE_ROLE_FCGI)
			conn_close(c);
	return true;
}

static void note_restored(struct hub *hub, const char *path, bool is_restored)
{
	if (is_restored)
		log_warn("file_gone", "%s was removed by somebody; made again", path);
	else if (!hub->is_file_lost)
		log_error("file_gone", "%s was removed by somebody, and cannot be made again: %s",
			path, strerror(errno));
	hub->is_file_lost = !is_restored;
}

static void keep_files(struct hub *hub)
{
	const char *path = hub->cfg->poller.socket;
	struct str page = STR_INIT;

	if (hub->listener && is_gone(path))
		note_restored(hub, path, restore_socket(hub));
	config_page_path(hub->cfg, &page);
	if (hub->is_started && is_gone(str_c(&page)))
		note_restored(hub, str_c(&page), restore_page(hub, str_c(&page)));
	str_fini(&page);
	store_check(hub->sessions);
}

/* ---- the tick ---- */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct hub *hub = arg;
	int64_t now = clock_ms();

	if (now - hub->tick_ms > HUB_STALL_MS)
		hub->stall_ms = now;
	hub->tick_ms = now;
	if (now - hub->files_ms >= FILES_MS) {
		hub->files_ms = now;
		keep_files(hub);
	}
	if (hub->is_started)
		status_publish(hub);
	if (is_following(hub))
		atomic_store(&hub->shm->lease_until_ms, now + SHM_LEASE_MS);
	if (hub->is_started)
		sessions_tick(hub->sessions, now);
	if (hub->is_ready &&
		now - hub->saved_ms >= (hub->tail != hub->saved_tail ? SAVE_MS : SEEN_MS)) {
		hub->saved_tail = hub->tail;
		hub->saved_ms = now;
		reader_ask(hub->reader, READER_SAVE, 0, hub->tail);
	}
	if (hub->is_ready && now - hub->floors_ms >= FLOORS_MS) {
		hub->floors_ms = now;
		reader_ask(hub->reader, READER_FLOORS, 0, 0);
		groups_sweep(hub);
	}
}

/* Nothing is walked now. */
static void on_safe_point(evutil_socket_t fd, short what, void *arg)
{
	struct hub *hub = arg;

	answer_send(hub);
	grave_empty(&hub->grave);
}

/* ---- life ---- */

struct hub *poller_new(const struct config *cfg, struct event_base *base)
{
	static const struct timeval tick = {0, TICK_MS * 1000};
	struct hub *hub = xcalloc(1, sizeof(*hub));

	hub->cfg = cfg;
	hub->base = base;
	hub->handler = &frames_handler;
	hub->late = late_new();
	hub->started_ms = hub->tick_ms = clock_ms();
	TAILQ_INIT(&hub->ahead);
	TAILQ_INIT(&hub->pages_lru);
	TAILQ_INIT(&hub->conns);
	TAILQ_INIT(&hub->touched);
	grave_init(&hub->grave, base, on_safe_point, hub);
	mailbox_init(&hub->mailbox, base, hub);
	hub->observers = observers_new(hub, observers);
	hub->sessions = sessions_new(hub);
	hub->errands = errands_new(hub);
	hub->doubts = doubts_new(hub);
	hub->tail_thread =
		tail_new(cfg, hub->figures, &hub->mailbox, poller_on_start, poller_on_batch);
	hub->binlog = binlog_new(cfg, hub->tail_thread);
	hub->reader = reader_new(cfg, &hub->mailbox, on_answer);
	hub->chores = chores_new(cfg, hub->figures, hub->tail_thread);
	hub->tick = event_new(base, -1, EV_PERSIST, on_tick, hub);
	event_add(hub->tick, &tick);
	return hub;
}

void poller_run(struct hub *hub)
{
	tail_run(hub->tail_thread);
	binlog_run(hub->binlog);
	reader_run(hub->reader);
	chores_run(hub->chores);
	store_run(hub->sessions);
}

void poller_reload(struct hub *hub, const struct config *cfg)
{
	hub->cfg = cfg;
}

void poller_stop(struct hub *hub)
{
	struct conn *c;

	if (hub->listener) {
		evconnlistener_free(hub->listener);
		unlink(hub->cfg->poller.socket);
	}
	TAILQ_FOREACH (c, &hub->conns, entry)
		conn_close(c);
	on_safe_point(-1, 0, hub);
	binlog_stop(hub->binlog);
	tail_stop(hub->tail_thread);
	if (hub->is_ready)
		reader_ask(hub->reader, READER_SAVE, 0, hub->tail);
	reader_stop(hub->reader);
	chores_stop(hub->chores);
	sessions_stop(hub->sessions);
	if (hub->shm)
		atomic_store(&hub->shm->lease_until_ms, 0);
}

void poller_free(struct hub *hub)
{
	event_free(hub->tick);
	mailbox_fini(&hub->mailbox);
	pages_forget(hub);
	errands_free(hub->errands);
	doubts_free(hub->doubts);
	sessions_free(hub->sessions);
	observers_free(hub->observers);
	grave_fini(&hub->grave);
	groups_free(hub);
	clients_fini(&hub->clients);
	late_free(hub->late);
	if (hub->is_started)
		ring_fini(&hub->ring);
	binlog_free(hub->binlog);
	tail_free(hub->tail_thread);
	reader_free(hub->reader);
	chores_free(hub->chores);
	shm_detach(hub->shm);
	free(hub);
}
