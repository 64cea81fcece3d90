#include "target.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/buffer.h>

#include "client.h"
#include "db.h"
#include "json.h"
#include "log.h"
#include "mem.h"
#include "str.h"
#include "wire.h"

#define BODY_SIZE 300
#define EVENT_FRAME 190  /* what cmdb puts around a payload */
#define SOCKET_FRAME 100 /* what an event for Socket.IO has around it, on cmdb and on Node.js */

struct target_kind {
	long (*waiters)(struct target *t);
	void (*fire)(struct target *t, unsigned seq);
};

struct target {
	const struct target_kind *kind;
	struct db *db;
	struct db_login login;
	const char *topic;
	size_t payload_size;
	int poller_fd;
	struct evbuffer *from_poller;
	struct sockaddr_storage at; /* of the control socket or the server */
	socklen_t at_len;
	const struct web *web;
	/* cmdb: where logs are posted to. */
	struct sockaddr_storage logs_at;
	const char *header;
	long entries;
};

static const struct db_stmt publish = {
	"bench_publish",
	"INSERT INTO ws_events (topic, event_type, payload) VALUES (?, 'update', ?)",
	2,
	0,
};
static const struct db_stmt *const statements[] = {&publish, NULL};
static const struct db_set target_sql = {"bench", statements, false};
static const struct db_set *const sets[] = {&target_sql, NULL};

/* {"bench_seq":N,"pad":"..."} of size bytes */
static void add_event(struct str *s, unsigned seq, size_t size)
{
	size_t start = s->len;

	str_addf(s, "{" TARGET_MARK "%u,\"pad\":\"", seq);
	while (s->len - start < size - 2)
		str_addc(s, 'x');
	str_adds(s, "\"}");
}

static int dial(const struct sockaddr_storage *at, socklen_t len)
{
	int fd = socket(at->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)at, len) != 0)
		log_fatal(1, "cannot connect to what is measured: %s", strerror(errno));
	return fd;
}

static void set_unix(struct target *t, const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(at.sun_path))
		log_fatal(2, "%s: too long for a socket", path);
	memcpy(at.sun_path, path, strlen(path) + 1);
	memcpy(&t->at, &at, sizeof(at));
	t->at_len = sizeof(at);
}

/* Sends request on a connection of its own and reads to its end. */
static void ask_at(const struct sockaddr_storage *at, socklen_t len, const struct str *request,
	struct str *reply)
{
	char part[4096];
	int fd = dial(at, len);
	ssize_t n;

	if (send(fd, request->p, request->len, MSG_NOSIGNAL) != (ssize_t)request->len)
		log_fatal(1, "what is measured does not listen: %s", strerror(errno));
	while ((n = recv(fd, part, sizeof(part), 0)) > 0)
		str_add(reply, part, (size_t)n);
	close(fd);
}

static void ask(const struct target *t, const struct str *request, struct str *reply)
{
	ask_at(&t->at, t->at_len, request, reply);
}

/* ---- cmdb ---- */

static void poller_send(struct target *t, struct evbuffer *frame)
{
	while (evbuffer_get_length(frame) > 0) {
		if (evbuffer_write(frame, t->poller_fd) < 0)
			log_fatal(1, "the poller has gone: %s", strerror(errno));
	}
	evbuffer_free(frame);
}

/* Waits for a frame of that type; others are dropped. It stays in from_poller until wire_drop(). */
static void poller_read(struct target *t, enum wire_type type, struct wire_frame *f)
{
	const char *why;
	enum wire_got got;

	for (;;) {
		got = wire_peek(t->from_poller, WIRE_FROM_POLLER_MAX, f, &why);
		if (got == WIRE_GOT_BAD || (got == WIRE_GOT_FRAME && f->type == WIRE_ERROR))
			log_fatal(1, "the poller refuses to talk");
		if (got == WIRE_GOT_FRAME && f->type == type)
			return;
		if (got == WIRE_GOT_FRAME)
			wire_drop(t->from_poller, f);
		else if (evbuffer_read(t->from_poller, t->poller_fd, -1) <= 0)
			log_fatal(1, "the poller has hung up");
	}
}

static long cmdb_waiters(struct target *t)
{
	static const struct str none = STR_INIT;
	struct evbuffer *out = evbuffer_new();
	struct json_object *status;
	struct wire_frame f;
	const char *why;
	size_t offset;
	long n;

	wire_put_ask(out, 1, "status", 0, &none);
	poller_send(t, out);
	poller_read(t, WIRE_ANSWER, &f);
	status = json_parse(f.answer.json.p, f.answer.json.len, &why, &offset);
	if (json_get(status, "waiters") == NULL)
		log_fatal(1, "the poller's status does not tell how many wait");
	n = (long)json_object_get_int64(json_get(status, "waiters"));
	json_object_put(status);
	wire_drop(t->from_poller, &f);
	return n;
}

static void cmdb_fire(struct target *t, unsigned seq)
{
	struct str payload = STR_INIT;
	struct db_val in[2];

	add_event(&payload, seq, t->payload_size);
	in[0] = dbv_s(t->topic);
	in[1] = dbv_b(payload.p, payload.len);
	if (db_exec(t->db, &publish, in, 2, NULL, NULL) != ERR_OK)
		log_fatal(1, "cannot publish: %s", db_errmsg(t->db));
	str_fini(&payload);
}

static const struct target_kind cmdb_kind = {cmdb_waiters, cmdb_fire};

/* Each entry carries the event's number. */
static void logs_fire(struct target *t, unsigned seq)
{
	struct str body = STR_INIT, request = STR_INIT, reply = STR_INIT;

	for (long i = 0; i < t->entries; i++)
		str_addf(&body,
			"%c{\"deviceId\":\"bench-%ld\",\"level\":\"WARN\",\"message\":\"load of %u "
			"is 0.%u after %u ms, request 7f3c\",\"tags\":[\"bench\"],"
			"\"source\":\"target\",\"meta\":{" TARGET_MARK "%u}}",
			i ? ',' : '[', i, seq, seq % 97, seq % 1013, seq);
	str_addf(&request,
		"POST /api/logs HTTP/1.0\r\n%s\r\nContent-Type: application/json\r\n"
		"Content-Length: %zu\r\n\r\n%s]",
		t->header, body.len + 1, str_c(&body));
	ask_at(&t->logs_at, sizeof(struct sockaddr_in), &request, &reply);
	if (!strstr(str_c(&reply), " 201 "))
		log_fatal(1, "logs are not taken: %s", str_c(&reply));
	str_fini(&body);
	str_fini(&request);
	str_fini(&reply);
}

static const struct target_kind logs_kind = {cmdb_waiters, logs_fire};

static void set_logs(struct target *t, const struct target_where *where)
{
	struct sockaddr_in at;

	if (!where->header || !client_parse_url(where->logs, &at))
		log_fatal(2, "--logs wants http://ADDRESS:PORT and --header");
	memcpy(&t->logs_at, &at, sizeof(at));
	t->kind = &logs_kind;
	t->header = where->header;
	t->entries = where->entries;
}

static struct target *open_cmdb(const struct target_where *where)
{
	struct target *t = xcalloc(1, sizeof(*t));
	struct evbuffer *out = evbuffer_new();
	struct wire_frame f;

	t->kind = &cmdb_kind;
	t->topic = where->topic;
	t->payload_size = BODY_SIZE - (where->is_socket ? SOCKET_FRAME : EVENT_FRAME);
	t->login = (struct db_login){.socket = where->db_socket,
		.host = "",
		.name = where->db_name,
		.user = "",
		.password = "",
		.tls_ca = "",
		.connect_timeout_ms = 5000,
		.io_timeout_ms = 10000};
	t->db = db_new(&t->login, sets);
	if (db_ensure(t->db) != ERR_OK)
		log_fatal(1, "%s: %s", where->db_socket, db_errmsg(t->db));
	set_unix(t, where->poller);
	t->poller_fd = dial(&t->at, t->at_len);
	t->from_poller = evbuffer_new();
	wire_put_hello(out, WIRE_ROLE_CLI, (uint32_t)getpid(), 0);
	poller_send(t, out);
	poller_read(t, WIRE_WELCOME, &f);
	wire_drop(t->from_poller, &f);
	if (where->logs)
		set_logs(t, where);
	return t;
}

/* ---- the floor ---- */

static long floor_waiters(struct target *t)
{
	struct str request = STR_INIT, reply = STR_INIT;
	long n;

	str_adds(&request, "count\n");
	ask(t, &request, &reply);
	n = strtol(str_c(&reply), NULL, 10);
	str_fini(&request);
	str_fini(&reply);
	return n;
}

static void floor_fire(struct target *t, unsigned seq)
{
	struct str request = STR_INIT, reply = STR_INIT;

	str_adds(&request, "wake ");
	add_event(&request, seq, BODY_SIZE);
	str_addc(&request, '\n');
	ask(t, &request, &reply);
	str_fini(&request);
	str_fini(&reply);
}

static const struct target_kind floor_kind = {floor_waiters, floor_fire};

static struct target *open_floor(const char *control_socket)
{
	struct target *t = xcalloc(1, sizeof(*t));

	t->kind = &floor_kind;
	set_unix(t, control_socket);
	floor_fire(t, 0); /* it does not see that a client has gone: those of an earlier run */
	return t;
}

/* ---- nchan, and Socket.IO's own server: both by HTTP ---- */

struct web {
	const char *publish, *label; /* label: what GET /status has before the number that wait */
	size_t payload_size;
};
static const struct web nchan_web = {"/publish", "subscribers: ", BODY_SIZE};
static const struct web node_web = {"/emit", "waiting: ", BODY_SIZE - SOCKET_FRAME};

static long web_waiters(struct target *t)
{
	struct str request = STR_INIT, reply = STR_INIT;
	const char *found;
	long n;

	str_adds(&request, "GET /status HTTP/1.0\r\n\r\n");
	ask(t, &request, &reply);
	found = strstr(str_c(&reply), t->web->label);
	if (!found)
		log_fatal(1, "the server's /status does not tell how many wait");
	n = strtol(found + strlen(t->web->label), NULL, 10);
	str_fini(&request);
	str_fini(&reply);
	return n;
}

static void web_fire(struct target *t, unsigned seq)
{
	struct str request = STR_INIT, reply = STR_INIT;

	str_addf(&request, "POST %s HTTP/1.0\r\nContent-Length: %zu\r\n\r\n", t->web->publish,
		t->web->payload_size);
	add_event(&request, seq, t->web->payload_size);
	ask(t, &request, &reply);
	str_fini(&request);
	str_fini(&reply);
}

static const struct target_kind web_kind = {web_waiters, web_fire};

static struct target *open_web(const struct web *web, const char *url)
{
	struct target *t = xcalloc(1, sizeof(*t));
	struct sockaddr_in at;

	t->kind = &web_kind;
	t->web = web;
	if (client_parse_url(url, &at) == NULL)
		log_fatal(2, "%s: want http://ADDRESS:PORT", url);
	memcpy(&t->at, &at, sizeof(at));
	t->at_len = sizeof(at);
	return t;
}

/* ---- all ---- */

struct target *target_open(const struct target_where *where)
{
	if (where->db_socket && where->db_name && where->poller)
		return open_cmdb(where);
	if (where->control)
		return open_floor(where->control);
	if (where->nchan)
		return open_web(&nchan_web, where->nchan);
	if (where->node)
		return open_web(&node_web, where->node);
	return NULL;
}

long target_waiters(struct target *t)
{
	return t->kind->waiters(t);
}

void target_fire(struct target *t, unsigned seq)
{
	t->kind->fire(t, seq);
}

void target_free(struct target *t)
{
	if (!t)
		return;
	if (t->from_poller) {
		evbuffer_free(t->from_poller);
		close(t->poller_fd);
	}
	db_free(t->db);
	free(t);
}
