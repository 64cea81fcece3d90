#include "link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/buffer.h>

#include "app.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "park.h"
#include "secret.h"
#include "shm.h"
#include "wire.h"

#define RETRY_MIN_MS 20
#define RETRY_MAX_MS 500
#define WELCOME_WAIT_MS 2000
#define READ_SIZE (64u * 1024)
#define READ_SIZE_MAX (1024u * 1024)
#define OUT_MAX (64u * 1024 * 1024) /* so much unread, */
#define OUT_WAIT_S 10               /* and nothing read for so long: it is dropped */

enum link_state { LINK_DOWN, LINK_GREETING, LINK_UP };

struct link {
	struct app *app;
	struct event_base *base;
	struct parks *parks;
	enum link_state state;
	uint64_t process; /* names this one to the poller */
	int fd;
	struct event *readable, *writable;
	struct event *flush; /* once a loop turn, so that many frames are one write */
	struct event *timer; /* LINK_DOWN: the next try; LINK_GREETING: WELCOME is overdue */
	struct evbuffer *in, *out;
	unsigned failures;
	uint64_t tail; /* when the link came up, or went down */
	char epoch[SHM_EPOCH_SIZE];
};

static void connect_now(struct link *l);
static void send_soon(struct link *l);

bool link_is_up(const struct link *l)
{
	return l->state == LINK_UP;
}

bool link_is_idle(const struct link *l)
{
	return l->state == LINK_UP && evbuffer_get_length(l->out) == 0;
}

const char *link_epoch(const struct link *l)
{
	return l->epoch;
}

uint64_t link_tail(const struct link *l)
{
	return l->tail;
}

static void set_timer(struct link *l, int64_t ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	event_add(l->timer, &tv);
}

/* At once after a loss, then 20 ms growing to 500 ms; a random half of it is spared, so that the
 * processes of a host do not all come at the same moment. */
static void retry_later(struct link *l)
{
	unsigned shift = l->failures < 6 ? l->failures : 6;
	int64_t ms = 0;
	uint32_t random;

	if (l->failures++ > 0) {
		secret_random(&random, sizeof(random));
		ms = (int64_t)RETRY_MIN_MS << (shift - 1);
		ms = ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS;
		ms -= (int64_t)(random % (uint32_t)(ms / 2 + 1));
	}
	set_timer(l, ms);
}

/* How far this host's events had been told when there was no link. */
static void note_tail(struct link *l)
{
	const struct shm *page = atomic_load(&l->app->shm);

	if (page)
		l->tail = atomic_load(&page->tail);
}

static void link_drop(struct link *l, const char *why)
{
	if (l->state == LINK_UP) {
		log_warn("poller_lost", "connection to the poller lost: %s", why);
		figure_add(l->app->stats, STAT_POLLER_LOSSES, 1);
		note_tail(l);
		l->failures = 0;
	} else if (l->failures == 1) {
		log_warn("poller_away", "no poller: %s; trying on", why);
	}
	l->state = LINK_DOWN;
	if (l->readable)
		event_free(l->readable);
	if (l->writable)
		event_free(l->writable);
	l->readable = l->writable = NULL;
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	evbuffer_drain(l->in, evbuffer_get_length(l->in));
	evbuffer_drain(l->out, evbuffer_get_length(l->out));
	event_del(l->flush);
	retry_later(l);
}

/* ---- from the poller ---- */

static void map_page(struct link *l)
{
	struct settings *set = app_settings_get(l->app);
	struct shm *page = atomic_load(&l->app->shm), *now;
	struct str path = STR_INIT;

	config_page_path(&set->cfg, &path);
	if (!page || !shm_is_current(page, str_c(&path))) {
		now = shm_attach(str_c(&path));
		/* Whoever uses the old one goes on with it: its lease is over, and it stays mapped.
		 */
		if (now)
			atomic_store(&l->app->shm, now);
		else
			log_warn("page", "cannot map %s: %s", str_c(&path), strerror(errno));
	}
	str_fini(&path);
	app_settings_put(set);
}

static bool on_welcome(struct link *l, const struct wire_frame *f)
{
	char old[SHM_EPOCH_SIZE];
	uint64_t known;
	bool is_other;

	if (f->welcome.version != WIRE_VERSION || f->welcome.epoch.len >= sizeof(l->epoch))
		return false;
	memcpy(old, l->epoch, sizeof(old));
	memcpy(l->epoch, f->welcome.epoch.p, f->welcome.epoch.len);
	l->epoch[f->welcome.epoch.len] = '\0';
	is_other = old[0] && strcmp(old, l->epoch) != 0;
	known = l->tail;
	l->tail = f->welcome.tail;
	l->state = LINK_UP;
	event_del(l->timer);
	map_page(l);
	/* A line in the web server's log per CGI request would be too many. */
	log_at(l->app->is_cgi ? LOG_DEBUG : LOG_INFO, "poller_up",
		"connected to the poller of node %u, tail %llu", f->welcome.node_id,
		(unsigned long long)l->tail);
	figure_add(l->app->stats, STAT_POLLER_CONNECTS, 1);
	l->failures = 0;
	/* What was revoked while the link was down. A CGI process has parked its one request, and
	 * asked who it is of, just now. */
	if (!l->app->is_cgi)
		wire_put_recheck(l->out, known);
	parks_on_up(l->parks, is_other ? old : NULL);
	send_soon(l);
	return true;
}

/* Its body is moved out of the buffer, which it is the last field of; so the tickets, before it,
 * are copied. */
static void on_deliver(struct link *l, struct wire_frame *f)
{
	size_t size = (size_t)f->deliver.tickets_n * 8, len = f->deliver.body.len;
	char *tickets = xmalloc(size + 1);
	struct body *body;

	memcpy(tickets, f->deliver.tickets, size);
	f->deliver.tickets = tickets;
	evbuffer_drain(l->in, f->size - len);
	body = body_take(l->in, len);
	parks_on_deliver(l->parks, f, body);
	body_put(body);
	free(tickets);
}

/* false with *why: the connection is no good. */
static bool on_frame(struct link *l, struct wire_frame *f, const char **why)
{
	*why = "a frame out of place";
	if (f->type == WIRE_ERROR) {
		log_error("poller", "the poller refuses: %.*s", (int)f->error.len, f->error.p);
		*why = "refused";
		return false;
	}
	if (l->state == LINK_GREETING) {
		if (f->type != WIRE_WELCOME || !on_welcome(l, f))
			return false;
		wire_drop(l->in, f);
		return true;
	}
	switch (f->type) {
	case WIRE_DELIVER:
		on_deliver(l, f);
		return true;
	case WIRE_SESSION:
		parks_on_reply(l->parks, f->session.ticket, f);
		break;
	case WIRE_DONE:
		parks_on_reply(l->parks, f->done.ticket, f);
		break;
	case WIRE_REVOKED:
		parks_on_revoked(l->parks, (enum wire_revoke)f->revoked.what, f->revoked.user_id,
			f->revoked.jti);
		break;
	case WIRE_ANSWER:
		parks_on_reply(l->parks, f->answer.ticket, f);
		break;
	case WIRE_REFRESHED:
		break; /* asked for by cmdbctl alone */
	default:
		return false;
	}
	wire_drop(l->in, f);
	return true;
}

/* Reads what there is, a large frame in large pieces. -1 when the connection is over. */
static ssize_t read_some(struct link *l)
{
	unsigned char head[4] = {0};
	size_t have = evbuffer_get_length(l->in), want = READ_SIZE;
	struct evbuffer_iovec v;
	ssize_t n;

	if (evbuffer_copyout(l->in, head, 4) == 4) {
		size_t size = 4 + ((size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 |
					  (size_t)head[3] << 24);

		if (size > have + want)
			want = size - have < READ_SIZE_MAX ? size - have : READ_SIZE_MAX;
	}
	if (evbuffer_reserve_space(l->in, (ev_ssize_t)want, &v, 1) < 1)
		return -1;
	n = read(l->fd, v.iov_base, want);
	v.iov_len = n > 0 ? (size_t)n : 0;
	evbuffer_commit_space(l->in, &v, 1);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return n > 0 ? n : -1;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;
	const char *why = NULL;
	struct wire_frame f;
	enum wire_got got;
	bool is_over = read_some(l) < 0;

	while ((got = wire_peek(l->in, WIRE_FROM_POLLER_MAX, &f, &why)) == WIRE_GOT_FRAME) {
		if (!on_frame(l, &f, &why)) {
			got = WIRE_GOT_BAD;
			break;
		}
	}
	if (got == WIRE_GOT_BAD)
		link_drop(l, why);
	else if (is_over)
		link_drop(l, "it closed the connection");
}

/* ---- to the poller ---- */

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval wait = {OUT_WAIT_S, 0};
	struct link *l = arg;

	while (l->state != LINK_DOWN && evbuffer_get_length(l->out) > 0) {
		if (evbuffer_write(l->out, l->fd) >= 0)
			continue;
		if (errno != EAGAIN && errno != EINTR)
			link_drop(l, strerror(errno));
		else if ((what & EV_TIMEOUT) && fd >= 0 && evbuffer_get_length(l->out) > OUT_MAX)
			link_drop(l, "it reads nothing");
		else
			event_add(l->writable, &wait);
		return;
	}
}

static void send_soon(struct link *l)
{
	if (!event_pending(l->writable, EV_WRITE, NULL))
		event_active(l->flush, EV_TIMEOUT, 0);
}

struct evbuffer *link_out(struct link *l)
{
	if (l->state != LINK_UP)
		return NULL;
	send_soon(l);
	return l->out;
}

void link_cancel(struct link *l, uint64_t ticket)
{
	if (l->state != LINK_UP)
		return;
	wire_put_cancel(l->out, ticket);
	send_soon(l);
}

void link_doorbell(struct link *l)
{
	if (l->state != LINK_UP)
		return;
	wire_put_bare(l->out, WIRE_DOORBELL);
	send_soon(l);
}

/* ---- connecting ---- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;

	if (l->state == LINK_DOWN)
		connect_now(l);
	else
		link_drop(l, "no greeting");
}

/* A UNIX socket connects at once or not at all. */
static int connect_socket(struct link *l)
{
	struct settings *set = app_settings_get(l->app);
	const char *path = set->cfg.poller.socket;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = -1, error = ENAMETOOLONG;

	if (strlen(path) < sizeof(sa.sun_path)) {
		memcpy(sa.sun_path, path, strlen(path) + 1);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		error = errno;
	}
	app_settings_put(set);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0) {
		error = errno;
		close(fd);
		fd = -1;
	}
	errno = error;
	return fd;
}

static void connect_now(struct link *l)
{
	l->fd = connect_socket(l);
	if (l->fd < 0) {
		link_drop(l, strerror(errno));
		return;
	}
	l->state = LINK_GREETING;
	l->readable = event_new(l->base, l->fd, EV_READ | EV_PERSIST, on_readable, l);
	l->writable = event_new(l->base, l->fd, EV_WRITE, on_flush, l);
	event_add(l->readable, NULL);
	wire_put_hello(l->out, l->app->is_cgi ? WIRE_ROLE_CGI : WIRE_ROLE_FCGI, (uint32_t)getpid(),
		l->process);
	set_timer(l, WELCOME_WAIT_MS);
	send_soon(l);
}

struct link *link_new(struct app *app, struct event_base *base, struct parks *parks)
{
	struct link *l = xcalloc(1, sizeof(*l));

	l->app = app;
	l->base = base;
	l->parks = parks;
	l->fd = -1;
	secret_random(&l->process, sizeof(l->process));
	l->in = evbuffer_new();
	l->out = evbuffer_new();
	l->flush = event_new(base, -1, 0, on_flush, l);
	l->timer = evtimer_new(base, on_timer, l);
	return l;
}

void link_start(struct link *l)
{
	note_tail(l);
	connect_now(l);
}

void link_free(struct link *l)
{
	if (!l)
		return;
	if (l->readable)
		event_free(l->readable);
	if (l->writable)
		event_free(l->writable);
	event_free(l->flush);
	event_free(l->timer);
	evbuffer_free(l->in);
	evbuffer_free(l->out);
	if (l->fd >= 0)
		close(l->fd);
	free(l);
}
