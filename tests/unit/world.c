#include "world.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "unit.h"

#include "clock.h"
#include "conn.h"
#include "db.h"
#include "grave.h"
#include "group.h"
#include "poller.h"
#include "record.h"
#include "secret.h"
#include "session_adopt.h"
#include "tail.h"

#define PATIENCE_MS 20000
#define SETS_MAX 16
#define MARK "a session that nobody has"

/* ---- the poller ---- */

static void load(struct world *w, const char *const *sets)
{
	const char *all[SETS_MAX];
	struct str path = STR_INIT, at = STR_INIT, errors = STR_INIT;
	size_t n = 0;
	FILE *f;

	str_addf(&path, "%s/conf", w->dir);
	str_addf(&at, "poller.socket=%s/socket", w->dir);
	f = fopen(str_c(&path), "w");
	assert_non_null(f);
	fclose(f);
	all[n++] = str_c(&at);
	while (sets && *sets && n < SETS_MAX)
		all[n++] = *sets++;
	if (!config_load(&w->cfg, str_c(&path), all, n, &errors))
		fail_msg("%s", str_c(&errors));
	str_fini(&path);
	str_fini(&at);
	str_fini(&errors);
}

static void begin_log(struct world *w)
{
	struct tail_start *start = calloc(1, sizeof(*start));
	struct tail_batch *ready = calloc(1, sizeof(*ready));

	memcpy(start->epoch, WORLD_EPOCH, sizeof(start->epoch));
	start->tail = WORLD_TAIL;
	poller_on_start(&start->mail, w->hub);
	sessions_adopted(w->hub->sessions);
	ready->kind = BATCH_READY;
	poller_on_batch(&ready->mail, w->hub);
}

void world_begin(struct world *w, const char *const *sets)
{
	*w = (struct world){.dir = "/tmp/cmdb-world-XXXXXX"};
	signal(SIGPIPE, SIG_IGN);
	assert_non_null(mkdtemp(w->dir));
	secret_init();
	load(w, sets);
	w->base = event_base_new();
	w->hub = poller_new(&w->cfg, w->base);
	begin_log(w);
}

static void remove_dir(const char *dir)
{
	struct str command = STR_INIT;

	str_addf(&command, "rm -rf '%s'", dir);
	assert_int_equal(system(str_c(&command)), 0);
	str_fini(&command);
}

void world_end(struct world *w)
{
	while (!TAILQ_EMPTY(&w->hub->conns))
		world_turn(w);
	poller_free(w->hub);
	event_base_free(w->base);
	config_fini(&w->cfg);
	remove_dir(w->dir);
}

void world_turn(struct world *w)
{
	event_base_loop(w->base, EVLOOP_ONCE);
}

struct record *world_record(uint64_t id, uint32_t tenant_id, const char *topic, const char *room)
{
	const struct db_val row[RECORD_COLUMNS_N] = {DBV_U(id), DBV_U(tenant_id), dbv_s(topic),
		dbv_s("update"), dbv_s("{\"id\":1}"), dbv_s(room), dbv_s(room[0] ? "told" : ""),
		dbv_s("2026-01-01 00:00:00.000")};

	return record_new(row);
}

void world_release(
	struct world *w, uint64_t id, uint32_t tenant_id, const char *topic, const char *room)
{
	struct tail_batch *b = calloc(1, sizeof(*b));

	b->kind = BATCH_RELEASED;
	b->tail = id;
	b->n = 1;
	b->records = calloc(1, sizeof(*b->records));
	b->records[0] = world_record(id, tenant_id, topic, room);
	poller_on_batch(&b->mail, w->hub);
}

/* ---- peers ---- */

void peer_begin(struct peer *p, struct world *w, uint64_t process)
{
	int fds[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	*p = (struct peer){.world = w, .fd = fds[0], .in = evbuffer_new(), .out = evbuffer_new()};
	conn_accept(w->hub, fds[1]);
	wire_put_hello(p->out, WIRE_ROLE_FCGI, (uint32_t)process, process);
	peer_send(p);
	peer_next(p, WIRE_WELCOME);
}

void peer_end(struct peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	evbuffer_free(p->in);
	evbuffer_free(p->out);
}

void peer_hangs_up(struct peer *p)
{
	close(p->fd);
	p->fd = -1;
}

void peer_send(struct peer *p)
{
	while (evbuffer_get_length(p->out))
		assert_true(evbuffer_write(p->out, p->fd) > 0);
}

static bool has_come(struct peer *p)
{
	const char *why = "";
	enum wire_got got;

	evbuffer_read(p->in, p->fd, -1);
	got = wire_peek(p->in, WIRE_FROM_POLLER_MAX, &p->f, &why);
	if (got == WIRE_GOT_BAD)
		fail_msg("%s", why);
	return got == WIRE_GOT_FRAME;
}

const struct wire_frame *peer_next(struct peer *p, enum wire_type type)
{
	int64_t until_ms = clock_ms() + PATIENCE_MS;

	if (p->has_frame)
		wire_drop(p->in, &p->f);
	p->has_frame = false;
	while (!has_come(p)) {
		if (clock_ms() > until_ms)
			fail_msg("no frame of type %d comes", type);
		world_turn(p->world);
	}
	p->has_frame = true;
	if (p->f.type == WIRE_ERROR)
		fail_msg("refused: %.*s", (int)p->f.error.len, p->f.error.p);
	assert_int_equal(p->f.type, type);
	return &p->f;
}

/* What is asked now is answered behind all that is on its way. Twice: an answer leaves at the end
 * of a turn. */
void peer_is_silent(struct peer *p)
{
	for (uint64_t i = 0; i < 2; i++) {
		const struct wire_frame *f;

		wire_put_lookup(p->out, UINT64_MAX - i, MARK, 0, 0, 0, 0, "");
		peer_send(p);
		f = peer_next(p, WIRE_DONE);
		assert_int_equal(f->done.ticket, UINT64_MAX - i);
	}
}
