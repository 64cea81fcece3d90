#define _GNU_SOURCE /* accept4() */
#include "peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event_struct.h>

#include "app.h"
#include "clock.h"
#include "gateway.h"
#include "http.h"
#include "log.h"
#include "mem.h"
#include "request.h"
#include "secret.h"
#include "worker.h"

#define READ_SIZE (64u * 1024)
#define READS_A_TURN 4 /* of one connection, lest it keeps others waiting */
#define ACCEPTS_A_TURN 64
#define WAITING_MAX 256 /* requests without a worker yet: what is not accepted, others can take */
#define PAUSE_MS 10     /* of accepting, for want of workers or descriptors */
#define WRITE_STALL_MS 30000 /* a web server that takes nothing for so long is dropped */
#define CLOSING_MS 2000

enum peer_state { PEER_NEW, PEER_READING, PEER_WRITING, PEER_IDLE, PEER_CLOSING, PEER_STATES };

TAILQ_HEAD(peer_list, peer);

struct peer {
	struct peers *peers;
	enum peer_state state;
	TAILQ_ENTRY(peer) entry; /* of its state */
	struct peer *next;       /* in a chain, before it has one */
	struct event io;
	int64_t deadline_ms;
	struct sink sink;        /* the connection, and what is still to be written */
	struct request *request; /* PEER_READING */
	bool is_cut;
	size_t kept; /* PEER_WRITING: of sink.out, counted */
};

struct peers {
	struct app *app;
	struct event_base *base;
	struct gateway *gateway;
	struct event *acceptable, *resume;
	struct peer_list lists[PEER_STATES];
	size_t n[PEER_STATES];
	atomic_size_t busy_n;
	atomic_size_t charged; /* bytes that requests hold, until they are answered */
	size_t kept;           /* bytes of answers that are still to be written */
	bool is_shut;
	unsigned char scratch[READ_SIZE];
};

static void peer_on_io(evutil_socket_t fd, short what, void *arg);
static void idle(struct peer *p);

/* ---- states ---- */

static void peer_move(struct peer *p, enum peer_state state)
{
	struct peers *ps = p->peers;

	if (p->state != PEER_NEW) {
		TAILQ_REMOVE(&ps->lists[p->state], p, entry);
		ps->n[p->state]--;
	}
	ps->kept -= p->kept;
	p->kept = state == PEER_WRITING ? evbuffer_get_length(p->sink.out) : 0;
	ps->kept += p->kept;
	p->state = state;
	if (state != PEER_NEW) {
		TAILQ_INSERT_TAIL(&ps->lists[state], p, entry);
		ps->n[state]++;
	}
	atomic_store(&ps->busy_n, ps->n[PEER_READING] + ps->n[PEER_WRITING]);
}

/* Frees p and, if it still has it, closes its connection. */
static void peer_end(struct peer *p)
{
	event_del(&p->io);
	peer_move(p, PEER_NEW);
	if (p->request)
		p->request->fd = -1; /* it is the sink's */
	request_free(p->request);
	sink_close(&p->sink);
	free(p);
}

static struct peer *peer_new(struct peers *ps, int fd)
{
	struct peer *p = xcalloc(1, sizeof(*p));

	p->peers = ps;
	sink_init(&p->sink, fd, 0, false);
	event_assign(&p->io, ps->base, fd, EV_READ, peer_on_io, p);
	return p;
}

static void peer_watch(struct peer *p)
{
	short what = p->state == PEER_WRITING ? EV_WRITE : EV_READ;
	int64_t left = p->deadline_ms - clock_ms();
	struct timeval tv;

	if (left < 0)
		left = 0;
	tv = (struct timeval){.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};
	if (!event_pending(&p->io, what, NULL)) {
		event_del(&p->io);
		event_assign(&p->io, p->peers->base, p->sink.fd, what, peer_on_io, p);
	}
	if (event_add(&p->io, &tv) != 0)
		log_error("loop", "cannot watch a connection: %s", strerror(errno));
}

/* ---- answers ---- */

/* All is written, or what was not will never be. */
static void after_answer(struct peer *p)
{
	if (p->is_cut) {
		shutdown(p->sink.fd, SHUT_WR);
		peer_move(p, PEER_CLOSING);
		p->deadline_ms = clock_ms() + CLOSING_MS;
		peer_watch(p);
	} else if (p->sink.keeps && !p->peers->is_shut) {
		idle(p);
	} else {
		peer_end(p);
	}
}

/* The list's first has had nothing read of its answer for longest: it goes first, as in park.c. */
static void peer_make_room(struct peer *p)
{
	struct peers *ps = p->peers;
	struct settings *s = app_settings_get(ps->app);
	struct peer *oldest;

	while (ps->kept > (size_t)s->cfg.fcgi.memory_bytes &&
		(oldest = TAILQ_FIRST(&ps->lists[PEER_WRITING])) != p) {
		log_info("reply", "a client that reads nothing is dropped for others");
		peer_end(oldest);
	}
	app_settings_put(s);
}

static void go_on_writing(struct peer *p, enum sink_state state)
{
	if (state == SINK_GONE) {
		peer_end(p);
	} else if (state == SINK_CLEAR) {
		after_answer(p);
	} else {
		peer_move(p, PEER_WRITING);
		p->deadline_ms = clock_ms() + WRITE_STALL_MS;
		peer_watch(p);
		peer_make_room(p);
	}
}

/* Ends a request that is not whole. */
static void peer_refuse(struct peer *p, enum err e)
{
	struct str head = STR_INIT, body = STR_INIT, headers = STR_INIT;
	char request_id[33];
	struct http_head h = {.status = err_status(e),
		.content_type = "application/json",
		.request_id = request_id};

	if (!p->request->is_begun) {
		peer_end(p);
		return;
	}
	secret_random_hex(request_id, 16);
	http_put_error(&body, e, NULL, "");
	http_put_error_headers(&headers, e);
	h.headers = str_c(&headers);
	h.content_length = (int64_t)body.len;
	http_put_head(&head, &h);
	log_info("receive", "a request did not come whole: %s request_id=%s", err_code(e),
		request_id);
	stats_add_status(p->peers->app->stats, h.status);
	p->sink.request_id = p->request->id;
	p->is_cut = true;
	p->request->fd = -1;
	request_free(p->request);
	p->request = NULL;
	go_on_writing(p, sink_put(&p->sink, &head, body.p, body.len));
	str_fini(&head);
	str_fini(&body);
	str_fini(&headers);
}

/* ---- reading ---- */

static struct peer *oldest(struct peers *ps, const struct peer *but)
{
	struct peer *p = TAILQ_FIRST(&ps->lists[PEER_READING]);

	return p == but && p ? TAILQ_NEXT(p, entry) : p;
}

/* Counts what p's request holds now. false: that was too much, and p is the one that has gone. */
static bool charge(struct peer *p)
{
	struct peers *ps = p->peers;
	struct request *r = p->request;
	size_t size = r->params.cap + r->body.cap, most;
	struct settings *s;

	if (size <= r->charged)
		return true;
	atomic_fetch_add(&ps->charged, size - r->charged);
	r->charged = size;
	s = app_settings_get(ps->app);
	most = (size_t)s->cfg.fcgi.receive_bytes;
	app_settings_put(s);
	while (atomic_load(&ps->charged) > most) {
		struct peer *other = oldest(ps, p);

		if (!other) {
			peer_refuse(p, ERR_BUSY);
			return false;
		}
		peer_refuse(other, ERR_BUSY);
	}
	return true;
}

static void peer_hand_over(struct peer *p, bool has_more)
{
	struct request *r = p->request;
	struct app *app = p->peers->app;

	/* What comes before the answer, of a web server that thinks it can have several answers on
	 * one connection, is not looked for. */
	if (has_more)
		r->keeps = false;
	r->fd = p->sink.fd;
	r->job.run = worker_serve;
	p->request = NULL;
	p->sink.fd = -1;
	peer_end(p);
	jobs_add(app->requests, &r->job, SIZE_MAX);
}

/* What was answered at once is a few bytes, and goes into an empty socket. */
static bool send_reply(struct peer *p, const struct str *reply)
{
	return reply->len == 0 || send(p->sink.fd, reply->p, reply->len,
					  MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)reply->len;
}

/* false: p is gone, or its request is. */
static bool peer_take(struct peer *p, size_t n)
{
	struct str reply = STR_INIT;
	size_t used = 0;
	enum request_got got = request_take(p->request, p->peers->scratch, n, &used, &reply);
	bool is_sent = send_reply(p, &reply), keeps = p->request->keeps;

	str_fini(&reply);
	if (!is_sent)
		got = REQUEST_BAD;
	switch (got) {
	case REQUEST_MORE:
		return charge(p);
	case REQUEST_WHOLE:
		if (charge(p))
			peer_hand_over(p, used < n);
		return false;
	case REQUEST_ABORTED:
		if (keeps && used == n && !p->peers->is_shut)
			idle(p);
		else
			peer_end(p);
		return false;
	case REQUEST_BIG:
		peer_refuse(p, ERR_HEAD_TOO_LARGE);
		return false;
	case REQUEST_BAD:
		break;
	}
	peer_end(p);
	return false;
}

static void read_request(struct peer *p)
{
	for (int i = 0; i < READS_A_TURN; i++) {
		ssize_t n = recv(p->sink.fd, p->peers->scratch, READ_SIZE, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0) {
			peer_end(p);
			return;
		}
		if (!peer_take(p, (size_t)n))
			return;
		if ((size_t)n < READ_SIZE)
			break;
	}
	peer_watch(p);
}

static void begin_reading(struct peer *p)
{
	struct peers *ps = p->peers;
	struct settings *s = app_settings_get(ps->app);
	const struct config *cfg = &s->cfg;
	int64_t body_max = cfg->fcgi.max_body > cfg->socketio.max_payload
				   ? cfg->fcgi.max_body
				   : cfg->socketio.max_payload;

	p->request = request_new((size_t)body_max);
	p->request->charged_to = &ps->charged;
	p->deadline_ms = clock_ms() + cfg->fcgi.request_timeout_ms;
	peer_move(p, PEER_READING);
	if (ps->n[PEER_READING] > (size_t)cfg->fcgi.max_receiving)
		peer_refuse(TAILQ_FIRST(&ps->lists[PEER_READING]), ERR_BUSY);
	app_settings_put(s);
	read_request(p);
}

/* ---- kept connections ---- */

static void idle(struct peer *p)
{
	struct peers *ps = p->peers;
	struct settings *s = app_settings_get(ps->app);

	if (p->request)
		p->request->fd = -1;
	request_free(p->request);
	p->request = NULL;
	p->sink.is_ended = p->sink.keeps = false;
	p->deadline_ms = clock_ms() + s->cfg.fcgi.keep_idle_s * 1000;
	peer_move(p, PEER_IDLE);
	if (ps->n[PEER_IDLE] > (size_t)s->cfg.fcgi.max_receiving)
		peer_end(TAILQ_FIRST(&ps->lists[PEER_IDLE]));
	app_settings_put(s);
	peer_watch(p);
}

/* ---- what happens ---- */

static void peer_forget_input(struct peer *p)
{
	ssize_t n = recv(p->sink.fd, p->peers->scratch, READ_SIZE, MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		peer_end(p);
	else
		peer_watch(p);
}

static void on_late(struct peer *p)
{
	if (p->state == PEER_READING)
		peer_refuse(p, ERR_TIMEOUT);
	else
		peer_end(p);
}

static void peer_on_io(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;
	bool is_late = clock_ms() >= p->deadline_ms;

	switch (p->state) {
	case PEER_READING:
		if ((what & EV_READ) && !is_late) {
			read_request(p);
			return;
		}
		break;
	case PEER_IDLE:
		if (what & EV_READ) {
			begin_reading(p);
			return;
		}
		break;
	case PEER_WRITING:
		if (what & EV_WRITE) {
			go_on_writing(p, sink_flush(&p->sink));
			return;
		}
		break;
	default:
		if ((what & EV_READ) && !is_late) {
			peer_forget_input(p);
			return;
		}
		break;
	}
	if (is_late)
		on_late(p);
	else
		peer_watch(p);
}

/* ---- accepting ---- */

/* Out of descriptors or memory is no reason to end: parked requests give theirs back. */
static void say_full(int error)
{
	static int64_t said_ms;
	int64_t now = clock_ms();

	if (now - said_ms > 1000)
		log_error("accept", "cannot accept: %s; raise LimitNOFILE or lower fcgi.max_parked",
			strerror(error));
	said_ms = now;
}

static void pause_accepting(struct peers *ps)
{
	struct timeval tv = {.tv_usec = PAUSE_MS * 1000};

	event_del(ps->acceptable);
	event_add(ps->resume, &tv);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct peers *ps = arg;

	if (!ps->is_shut)
		event_add(ps->acceptable, NULL);
}

/* false: nothing to be had now. */
static bool accept_one(struct peers *ps)
{
	int fd = accept4(ps->gateway->sock, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), one = 1;

	if (fd >= 0) {
		if (!ps->gateway->is_unix)
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		begin_reading(peer_new(ps, fd));
		return true;
	}
	switch (errno) {
	case EAGAIN:
		return false;
	case EBADF:
	case EINVAL:
	case ENOTSOCK:
	case EOPNOTSUPP:
		log_fatal(1, "the listening socket is broken: %s", strerror(errno));
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		say_full(errno);
		if (!TAILQ_EMPTY(&ps->lists[PEER_IDLE]))
			peer_end(TAILQ_FIRST(&ps->lists[PEER_IDLE]));
		pause_accepting(ps);
		return false;
	default: /* EINTR, or a network error of the connection that was to be accepted */
		return true;
	}
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct peers *ps = arg;

	if (jobs_waiting_n(ps->app->requests) >= WAITING_MAX) {
		pause_accepting(ps);
		return;
	}
	for (int i = 0; i < ACCEPTS_A_TURN && accept_one(ps); i++)
		;
}

/* ---- for the loop ---- */

struct peers *peers_new(struct app *app, struct event_base *base)
{
	struct peers *ps = xcalloc(1, sizeof(*ps));

	ps->app = app;
	ps->base = base;
	for (int i = 0; i < PEER_STATES; i++)
		TAILQ_INIT(&ps->lists[i]);
	return ps;
}

void peers_open(struct peers *ps, struct gateway *g)
{
	ps->gateway = g;
	ps->acceptable = event_new(ps->base, g->sock, EV_READ | EV_PERSIST, on_acceptable, ps);
	ps->resume = evtimer_new(ps->base, on_resume, ps);
	event_add(ps->acceptable, NULL);
}

void peers_shut(struct peers *ps)
{
	ps->is_shut = true;
	if (!ps->gateway)
		return;
	event_del(ps->acceptable);
	event_del(ps->resume);
	while (!TAILQ_EMPTY(&ps->lists[PEER_IDLE]))
		peer_end(TAILQ_FIRST(&ps->lists[PEER_IDLE]));
}

size_t peers_busy_n(struct peers *ps)
{
	return atomic_load(&ps->busy_n);
}

void peers_free(struct peers *ps)
{
	if (!ps)
		return;
	for (int i = 0; i < PEER_STATES; i++)
		while (!TAILQ_EMPTY(&ps->lists[i]))
			peer_end(TAILQ_FIRST(&ps->lists[i]));
	if (ps->gateway) {
		event_free(ps->acceptable);
		event_free(ps->resume);
	}
	free(ps);
}

struct peer *peer_new_answered(const struct sink *s, bool is_cut)
{
	struct peer *p = xcalloc(1, sizeof(*p));

	p->sink = *s;
	p->is_cut = is_cut;
	return p;
}

void peer_chain(struct peer **chain, struct peer *p)
{
	p->next = *chain;
	*chain = p;
}

/* A chain's last is who came first. */
static struct peer *in_order(struct peer *chain)
{
	struct peer *out = NULL;

	while (chain) {
		struct peer *p = chain;

		chain = p->next;
		peer_chain(&out, p);
	}
	return out;
}

void peers_take_back(struct peers *ps, struct peer *chain)
{
	chain = in_order(chain);
	while (chain) {
		struct peer *p = chain;

		chain = p->next;
		p->peers = ps;
		event_assign(&p->io, ps->base, p->sink.fd, EV_READ, peer_on_io, p);
		go_on_writing(p, p->sink.out ? SINK_FULL : SINK_CLEAR);
	}
}

void peers_keep(struct peers *ps, struct sink *s)
{
	struct peer *p;

	if (s->fd < 0 || !s->keeps || !s->is_ended || s->out || ps->is_shut)
		return;
	p = peer_new(ps, s->fd);
	s->fd = -1;
	idle(p);
}
