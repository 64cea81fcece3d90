#include "polling.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "clock.h"
#include "mem.h"
#include "str.h"

#define SID_MAX 64
#define SEPARATOR '\x1e' /* between the packets of a payload */
#define WHY_SIZE 160

enum phase {
	PHASE_DOWN,
	PHASE_HANDSHAKE, /* a GET without sid is out */
	PHASE_CONNECT,   /* so is CONNECT, and a GET */
	PHASE_UP,
	PHASE_CLOSING, /* polls no more */
	PHASE_FAILED,  /* reported; what is still out is not looked at */
	PHASES
};

struct socket {
	enum phase phase;
	bool is_polling, is_posting; /* a GET, a POST is out */
	bool owes_pong, owes_close;
	struct str to_say; /* empty: nothing */
	char sid[SID_MAX + 1];
};

/* Client i's connections are i for GETs and n + i for POSTs. */
struct polling {
	struct polling_where where;
	const struct polling_on *on;
	void *arg;
	struct client *client;
	struct socket *sockets;
	size_t n, phase_n[PHASES], pongs_n;
	bool is_paused;
	uint64_t next_t;
	char host[INET_ADDRSTRLEN + 8];
	struct str request, connect;
};

static void on_answer(struct client *c, size_t conn, const struct answer *a, void *arg);

struct polling *polling_new(
	const struct polling_where *where, size_t n, const struct polling_on *on, void *arg)
{
	struct polling *p = xcalloc(1, sizeof(*p));
	char address[INET_ADDRSTRLEN];

	p->where = *where;
	p->on = on;
	p->arg = arg;
	p->n = n;
	p->phase_n[PHASE_DOWN] = n;
	p->sockets = xcalloc(n, sizeof(*p->sockets));
	p->client = client_new(&where->at, 2 * n, on_answer, p);
	p->next_t = (uint64_t)clock_us();
	inet_ntop(AF_INET, &where->at.sin_addr, address, sizeof(address));
	snprintf(p->host, sizeof(p->host), "%s:%u", address, (unsigned)ntohs(where->at.sin_port));
	str_adds(&p->connect, "40{\"token\":");
	str_add_json(&p->connect, where->token);
	str_addc(&p->connect, '}');
	return p;
}

void polling_free(struct polling *p)
{
	if (!p)
		return;
	client_free(p->client);
	for (size_t i = 0; i < p->n; i++)
		str_fini(&p->sockets[i].to_say);
	str_fini(&p->request);
	str_fini(&p->connect);
	free(p->sockets);
	free(p);
}

/* The one place that changes a phase; phase_n has how many are in each. */
static void set_phase(struct polling *p, struct socket *s, enum phase phase)
{
	p->phase_n[s->phase]--;
	p->phase_n[phase]++;
	s->phase = phase;
}

/* ---- requests ---- */

static void begin_request(struct polling *p, const struct socket *s, const char *method)
{
	str_clear(&p->request);
	str_addf(&p->request, "%s %s?EIO=4&transport=polling&t=%llx%s%s HTTP/1.1\r\nHost: %s\r\n",
		method, p->where.path, (unsigned long long)p->next_t++,
		s->sid[0] != '\0' ? "&sid=" : "", s->sid, p->host);
	str_adds(&p->request, "Accept: */*\r\n");
}

static void get(struct polling *p, size_t i)
{
	begin_request(p, &p->sockets[i], "GET");
	str_adds(&p->request, "\r\n");
	p->sockets[i].is_polling = true;
	client_send(p->client, i, p->request.p, p->request.len);
}

static void post(struct polling *p, size_t i, const char *body, size_t len)
{
	begin_request(p, &p->sockets[i], "POST");
	str_addf(&p->request,
		"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %zu\r\n\r\n", len);
	str_add(&p->request, body, len);
	p->sockets[i].is_posting = true;
	client_send(p->client, p->n + i, p->request.p, p->request.len);
}

/* Sends what client i owes, if its second connection is free. */
static void post_next(struct polling *p, size_t i)
{
	struct socket *s = &p->sockets[i];

	if (s->is_posting)
		return;
	if (s->owes_pong) {
		s->owes_pong = false;
		p->pongs_n++;
		post(p, i, "3", 1);
	} else if (s->to_say.len) {
		post(p, i, s->to_say.p, s->to_say.len);
		str_fini(&s->to_say);
	} else if (s->owes_close) {
		s->owes_close = false;
		post(p, i, "1", 1);
	}
}

static void go_down(struct polling *p, size_t i, const char *why)
{
	str_fini(&p->sockets[i].to_say);
	p->sockets[i] = (struct socket){.phase = p->sockets[i].phase};
	set_phase(p, &p->sockets[i], PHASE_DOWN);
	p->on->down(p->arg, i, why);
}

/* ---- answers ---- */

/* It stays in PHASE_FAILED while something of it is out. */
static void fail(struct polling *p, size_t i, const char *what, const char *text, size_t len)
{
	struct socket *s = &p->sockets[i];
	char why[WHY_SIZE];

	snprintf(why, sizeof(why), "%s: %.*s", what, (int)(len < 100 ? len : 100), text);
	if (!s->is_polling && !s->is_posting) {
		go_down(p, i, why);
		return;
	}
	set_phase(p, s, PHASE_FAILED);
	p->on->down(p->arg, i, why);
}

/* 0{"sid":"...",...}: false if it is anything else. */
static bool take_sid(struct socket *s, const struct answer *a)
{
	static const char label[] = "0{\"sid\":\"";
	const char *sid = a->body + sizeof(label) - 1, *end;

	if (a->body_len < sizeof(label) || memcmp(a->body, label, sizeof(label) - 1) != 0)
		return false;
	end = memchr(sid, '"', a->body_len - sizeof(label) + 1);
	if (!end || end - sid > SID_MAX || end == sid)
		return false;
	memcpy(s->sid, sid, (size_t)(end - sid));
	s->sid[end - sid] = '\0';
	return true;
}

static bool starts_with(const char *packet, size_t len, const char *text)
{
	size_t text_len = strlen(text);

	return len >= text_len && memcmp(packet, text, text_len) == 0;
}

/* false: it was one that ends the session. */
static bool take_packet(struct polling *p, size_t i, const char *packet, size_t len)
{
	struct socket *s = &p->sockets[i];

	if (starts_with(packet, len, "42[")) {
		if (s->phase == PHASE_UP)
			p->on->event(p->arg, i, packet + 2, len - 2);
	} else if (starts_with(packet, len, "40{")) {
		if (s->phase != PHASE_CONNECT)
			return false;
		set_phase(p, s, PHASE_UP);
		p->on->up(p->arg, i);
	} else if (len == 1 && packet[0] == '2') {
		s->owes_pong = s->phase != PHASE_CLOSING;
	} else if (len == 1 && packet[0] == '1') {
		return s->phase == PHASE_CLOSING;
	} else if (len != 1 || packet[0] != '6') {
		return false;
	}
	return true;
}

static void on_payload(struct polling *p, size_t i, const struct answer *a)
{
	struct socket *s = &p->sockets[i];
	const char *packet = a->body, *end = a->body + a->body_len, *next;

	for (; packet <= end; packet = next + 1) {
		next = memchr(packet, SEPARATOR, (size_t)(end - packet));
		if (!next)
			next = end;
		if (!take_packet(p, i, packet, (size_t)(next - packet))) {
			fail(p, i, "packet", packet, (size_t)(next - packet));
			return;
		}
	}
	post_next(p, i);
	if ((s->phase == PHASE_CONNECT || s->phase == PHASE_UP) && !p->is_paused)
		get(p, i);
}

static void on_get(struct polling *p, size_t i, const struct answer *a)
{
	struct socket *s = &p->sockets[i];

	if (s->phase != PHASE_HANDSHAKE) {
		on_payload(p, i, a);
	} else if (take_sid(s, a)) {
		set_phase(p, s, PHASE_CONNECT);
		post(p, i, p->connect.p, p->connect.len);
		get(p, i);
	} else {
		fail(p, i, "handshake", a->body, a->body_len);
	}
}

static void on_answer(struct client *c, size_t conn, const struct answer *a, void *arg)
{
	struct polling *p = arg;
	bool is_post = conn >= p->n;
	size_t i = is_post ? conn - p->n : conn;
	struct socket *s = &p->sockets[i];

	if (is_post)
		s->is_posting = false;
	else
		s->is_polling = false;
	if (is_post && a && !p->where.keep_posts)
		client_close(c, conn);
	if (s->phase == PHASE_FAILED) {
		if (!s->is_polling && !s->is_posting) {
			str_fini(&s->to_say);
			*s = (struct socket){.phase = PHASE_FAILED};
			set_phase(p, s, PHASE_DOWN);
		}
		return;
	}
	if (!a)
		fail(p, i, is_post ? "POST" : "GET", "the connection broke", 20);
	else if (a->status != 200)
		fail(p, i, is_post ? "POST refused" : "GET refused", a->body, a->body_len);
	else if (!is_post)
		on_get(p, i, a);
	else
		post_next(p, i);
	if (s->phase == PHASE_CLOSING && !s->is_polling && !s->is_posting && !s->owes_close)
		go_down(p, i, NULL);
}

/* ---- what callers do ---- */

void polling_open(struct polling *p, size_t i)
{
	set_phase(p, &p->sockets[i], PHASE_HANDSHAKE);
	get(p, i);
}

void polling_say(struct polling *p, size_t i, const char *packet, size_t len)
{
	str_add(&p->sockets[i].to_say, packet, len);
	post_next(p, i);
}

void polling_close(struct polling *p, size_t i)
{
	struct socket *s = &p->sockets[i];

	set_phase(p, s, PHASE_CLOSING);
	s->owes_close = true;
	post_next(p, i);
}

void polling_pause(struct polling *p, bool is_paused)
{
	p->is_paused = is_paused;
	for (size_t i = 0; i < p->n && !is_paused; i++) {
		if (p->sockets[i].phase == PHASE_UP && !p->sockets[i].is_polling)
			get(p, i);
	}
}

void polling_turn(struct polling *p, int timeout_ms)
{
	client_turn(p->client, timeout_ms);
}

size_t polling_up_n(const struct polling *p)
{
	return p->phase_n[PHASE_UP];
}

size_t polling_down_n(const struct polling *p)
{
	return p->phase_n[PHASE_DOWN];
}

size_t polling_pongs_n(const struct polling *p)
{
	return p->pongs_n;
}
