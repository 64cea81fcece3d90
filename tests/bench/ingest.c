/*
 * Logs as they come: so many connections, each with one request or transaction after the other
 * until the time is over. Prints one JSON object; exits 1 if anything went wrong.
 *
 *   ingest post    POST /api/logs, --rows entries a request (1: an object)
 *   ingest bare    the same rows into the same two tables, logs and ws_events, by the same prepared
 *                  statements and nothing besides: what the database itself can do
 *   ingest create  POST /api/v1/line-groups/create, a plain resource: what a single entry's post is
 *                  held against
 *
 * A thread for each connection, which blocks: the requests are large and few.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answer.h"
#include "client.h"
#include "clock.h"
#include "db.h"
#include "event.h"
#include "log.h"
#include "log_entry.h"
#include "log_store.h"
#include "mem.h"
#include "options.h"
#include "str.h"

#define WARM_UP_MS 500
#define DEVICES 50 /* a gateway's */

struct options {
	const char *socket, *db, *url, *header;
	long rows, connections, seconds, tenant;
};

static struct options opt = {.rows = 1000, .connections = 4, .seconds = 5, .tenant = 1};
static int64_t begin_us, end_us;
static atomic_ulong done_n, wrong_n;

struct connection {
	unsigned number, seq;
	pthread_t thread;
	struct str text; /* of the request, or the event */
	/* post, create */
	int fd;
	struct sockaddr_in at;
	const char *path;
	struct str got;
	/* bare */
	struct db *db;
	struct log_entry *entries;
	struct str *messages;
};

/* ---- what is sent ---- */

static const char tags[] = "[\"net\",\"rack-7\"]";
static const char meta[] = "{\"port\":17,\"pps\":48211,\"peer\":\"198.51.100.7\"}";

static void put_message(struct str *out, const struct connection *c, unsigned i)
{
	str_addf(out,
		"link %u.%u: carrier lost for %u ms, 3 of 48 queues stalled, restarting "
		"autonegotiation",
		c->seq, i, i * 7 % 1000);
}

static void put_device(char out[32], const struct connection *c, unsigned i)
{
	snprintf(out, 32, "edge-%u-%u", c->number, i % DEVICES);
}

static void put_entry(struct str *out, const struct connection *c, unsigned i)
{
	char device[32];
	struct str message = STR_INIT;

	put_device(device, c, i);
	put_message(&message, c, i);
	str_addf(out,
		"{\"deviceId\":\"%s\",\"timestamp\":\"2026-11-22T19:35:00.123+01:00\","
		"\"level\":\"%s\",\"message\":\"%s\",\"tags\":%s,\"source\":\"kernel\",\"meta\":%"
		"s}",
		device, entry_level_name(1 + i % 5), str_c(&message), tags, meta);
	str_fini(&message);
}

static void put_logs(struct str *out, const struct connection *c)
{
	if (opt.rows == 1) {
		put_entry(out, c, 0);
		return;
	}
	for (unsigned i = 0; i < (unsigned)opt.rows; i++) {
		str_addc(out, i ? ',' : '[');
		put_entry(out, c, i);
	}
	str_addc(out, ']');
}

static void put_group(struct str *out, const struct connection *c)
{
	str_addf(out, "{\"name\":\"bench-%d-%lld-%u-%u\",\"description\":\"a line group\"}",
		(int)getpid(), (long long)begin_us, c->number, c->seq);
}

/* ---- by HTTP ---- */

static bool connect_it(struct connection *c)
{
	if (c->fd >= 0)
		return true;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return c->fd >= 0 && !connect(c->fd, (struct sockaddr *)&c->at, sizeof(c->at));
}

static bool send_all(int fd, const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* The status; 0: none came. */
static int receive(struct connection *c)
{
	struct answer a;

	str_clear(&c->got);
	for (;;) {
		ssize_t n;

		str_reserve(&c->got, 65536);
		n = recv(c->fd, c->got.p + c->got.len, 65535, 0);
		if (n <= 0)
			return 0;
		c->got.len += (size_t)n;
		c->got.p[c->got.len] = '\0';
		switch (answer_parse(c->got.p, c->got.len, &a)) {
		case ANSWER_MORE:
			continue;
		case ANSWER_BAD:
			return 0;
		case ANSWER_WHOLE:
			break;
		}
		if (a.is_last) {
			close(c->fd);
			c->fd = -1;
		}
		return a.status;
	}
}

static bool request(struct connection *c, const char *path,
	void (*put)(struct str *, const struct connection *))
{
	struct str body = STR_INIT;
	bool is_good;

	put(&body, c);
	str_clear(&c->text);
	str_addf(&c->text,
		"POST %s HTTP/1.1\r\nHost: bench\r\n%s\r\nContent-Type: application/json\r\n"
		"Content-Length: %zu\r\n\r\n",
		path, opt.header, body.len);
	str_add(&c->text, body.p, body.len);
	is_good = connect_it(c) && send_all(c->fd, c->text.p, c->text.len) && receive(c) == 201;
	str_fini(&body);
	if (!is_good && c->fd >= 0) {
		close(c->fd);
		c->fd = -1;
	}
	return is_good;
}

static bool post_logs(struct connection *c)
{
	return request(c, "/api/logs", put_logs);
}

static bool post_group(struct connection *c)
{
	return request(c, "/api/v1/line-groups/create", put_group);
}

/* ---- by SQL ---- */

static void make_entries(struct connection *c)
{
	for (unsigned i = 0; i < (unsigned)opt.rows; i++) {
		struct log_entry *e = &c->entries[i];
		char device[32];

		put_device(device, c, i);
		str_clear(&c->messages[i]);
		str_adds(&c->messages[i], device);
		put_message(&c->messages[i], c, i);
		*e = (struct log_entry){.device = {c->messages[i].p, strlen(device)},
			.level = 1 + i % 5,
			.logged_ms = 1795372500123,
			.received_ms = clock_wall_ms(),
			.message = {c->messages[i].p + strlen(device),
				c->messages[i].len - strlen(device)},
			.tags = slice_of(tags),
			.source = slice_of("kernel"),
			.meta = slice_of(meta)};
	}
}

static enum err insert_all(struct connection *c)
{
	enum err e = db_begin(c->db);

	if (e == ERR_OK)
		e = log_store_rows(c->db, (uint32_t)opt.tenant, c->entries, (size_t)opt.rows, 1);
	if (e != ERR_OK)
		return e;
	str_clear(&c->text);
	for (long i = 0; i < opt.rows; i++) {
		str_addc(&c->text, i ? ',' : '[');
		log_entry_put(&c->text, &c->entries[i]);
	}
	str_addc(&c->text, ']');
	e = event_insert(c->db,
		&(struct event_out){.tenant_id = (uint32_t)opt.tenant,
			.topic = "logs",
			.type = EVENT_ADD,
			.payload = str_c(&c->text)},
		NULL);
	return e == ERR_OK ? db_commit(c->db) : e;
}

static bool insert_bare(struct connection *c)
{
	enum err e;

	make_entries(c);
	e = db_ensure(c->db);
	if (e == ERR_OK)
		e = insert_all(c);
	if (e == ERR_OK)
		return true;
	log_error("bare", "%s", db_errmsg(c->db));
	db_rollback(c->db);
	return false;
}

/* ---- start and end ---- */

static const struct mode {
	const char *name;
	bool (*turn)(struct connection *c);
	bool is_sql, has_rows;
} modes[] = {
	{"post", post_logs, false, true},
	{"bare", insert_bare, true, true},
	{"create", post_group, false, false},
};

static const struct mode *mode;

static void *run(void *arg)
{
	struct connection *c = arg;
	int64_t now = clock_us();

	for (; now < end_us; c->seq++) {
		bool is_good = mode->turn(c);

		now = clock_us();
		if (!is_good)
			atomic_fetch_add(&wrong_n, 1);
		else if (now >= begin_us && now < end_us)
			atomic_fetch_add(&done_n, 1);
	}
	return NULL;
}

static const char usage[] =
	"usage: ingest post|create --url http://ADDRESS:PORT --header 'NAME: VALUE'\n"
	"       ingest bare --socket PATH --db NAME\n"
	"  [--rows N] [--connections N] [--seconds N] [--tenant N]";

static const struct option_row option_rows[] = {
	{"socket", offsetof(struct options, socket), OPTION_TEXT, 0, 0},
	{"db", offsetof(struct options, db), OPTION_TEXT, 0, 0},
	{"url", offsetof(struct options, url), OPTION_TEXT, 0, 0},
	{"header", offsetof(struct options, header), OPTION_TEXT, 0, 0},
	{"rows", offsetof(struct options, rows), OPTION_NUMBER, 1, 1000},
	{"connections", offsetof(struct options, connections), OPTION_NUMBER, 1, 1000},
	{"seconds", offsetof(struct options, seconds), OPTION_NUMBER, 1, 3600},
	{"tenant", offsetof(struct options, tenant), OPTION_NUMBER, 1, INT32_MAX},
	{0},
};

static void open_connection(struct connection *c, unsigned number)
{
	static const struct db_set *sets[] = {NULL, &event_sql, NULL};
	const struct db_login login = {.socket = opt.socket,
		.host = "",
		.name = opt.db,
		.user = "",
		.password = "",
		.tls_ca = "",
		.connect_timeout_ms = 5000,
		.io_timeout_ms = 60000};

	c->number = number;
	c->fd = -1;
	if (!mode->is_sql) {
		if (!opt.url || !opt.header || !client_parse_url(opt.url, &c->at))
			log_fatal(2, "%s", usage);
		return;
	}
	if (!opt.socket || !opt.db)
		log_fatal(2, "%s", usage);
	sets[0] = log_store_sql();
	c->db = db_new(&login, sets);
	c->entries = xcalloc((size_t)opt.rows, sizeof(*c->entries));
	c->messages = xcalloc((size_t)opt.rows, sizeof(*c->messages));
}

static void close_connection(struct connection *c)
{
	if (c->fd >= 0)
		close(c->fd);
	for (long i = 0; c->messages && i < opt.rows; i++)
		str_fini(&c->messages[i]);
	free(c->messages);
	free(c->entries);
	db_free(c->db);
	str_fini(&c->text);
	str_fini(&c->got);
}

int main(int argc, char **argv)
{
	struct connection *connections;
	size_t rows;

	log_init("ingest", LOG_INFO, LOG_TEXT);
	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(modes[i].name, argv[1]) == 0)
			mode = &modes[i];
	if (!mode)
		log_fatal(2, "%s", usage);
	options_parse(option_rows, &opt, argc - 1, argv + 1, usage);
	db_library_init();
	connections = xcalloc((size_t)opt.connections, sizeof(*connections));
	begin_us = clock_us() + WARM_UP_MS * 1000;
	end_us = begin_us + opt.seconds * 1000000;
	for (long i = 0; i < opt.connections; i++)
		open_connection(&connections[i], (unsigned)i);
	for (long i = 0; i < opt.connections; i++)
		if (pthread_create(&connections[i].thread, NULL, run, &connections[i]) != 0)
			log_fatal(1, "cannot start a thread");
	for (long i = 0; i < opt.connections; i++) {
		pthread_join(connections[i].thread, NULL);
		close_connection(&connections[i]);
	}
	free(connections);
	rows = mode->has_rows ? (size_t)opt.rows : 1;
	printf("{\"mode\":\"%s\",\"connections\":%ld,\"rows\":%zu,\"per_s\":%.1f,\"wrong\":%lu}\n",
		mode->name, opt.connections, rows,
		(double)(atomic_load(&done_n) * rows) / (double)opt.seconds, atomic_load(&wrong_n));
	db_library_fini();
	return atomic_load(&wrong_n) > 0;
}
