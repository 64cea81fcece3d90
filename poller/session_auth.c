#include "session_auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "err.h"
#include "hub.h"
#include "log.h"
#include "mem.h"
#include "reader.h"
#include "revoked.h"
#include "session.h"
#include "session_poll.h"
#include "session_queue.h"
#include "session_store.h"
#include "session_wants.h"
#include "sessions.h"

#define WARN_MS 60000 /* how long before its end a token's holder is told */

/* ---- time ---- */

static int64_t left_ms(const struct sock *k)
{
	return k->caller->expires_s * 1000 - clock_wall_ms();
}

static bool expires(const struct sock *k)
{
	return k->caller && k->caller->expires_s > 0;
}

int64_t session_token_ms(const struct session *s, int64_t now)
{
	int64_t at = INT64_MAX;

	if (s->state != SESSION_JOINED)
		return at;
	for (size_t i = 0; i < s->socks_n; i++) {
		const struct sock *k = &s->socks[i];
		int64_t then;

		if (!expires(k))
			continue;
		then = now + left_ms(k) - (k->is_warned ? 0 : WARN_MS);
		at = then < at ? then : at;
	}
	return at > now ? at : now + 1;
}

static bool warn(struct session *s, struct sock *k)
{
	struct str args = STR_INIT;
	char expires_at[CLOCK_RFC3339_SIZE];
	int64_t left = left_ms(k);
	bool ok;

	k->is_warned = true;
	store_session(s);
	clock_rfc3339(k->caller->expires_s * 1000, expires_at);
	str_addf(&args, "\"token_expiring\",{\"expires_in\":%lld,\"expires_at\":\"%s\"}",
		(long long)(left / 1000), expires_at);
	/* With the wish to hear that it was understood: the status counts it. */
	ok = session_emit(s, k, (struct slice){args.p, args.len}, session_cursor(s), true);
	str_fini(&args);
	if (ok)
		session_flush(s);
	return ok;
}

bool session_check_tokens(struct session *s, int64_t now)
{
	if (s->state != SESSION_JOINED)
		return true;
	for (size_t i = 0; i < s->socks_n; i++) {
		struct sock *k = &s->socks[i];

		if (!expires(k))
			continue;
		if (left_ms(k) <= 0) {
			session_end(s, k, err_code(ERR_TOKEN_EXPIRED), err_text(ERR_TOKEN_EXPIRED));
			return false;
		}
		if (!k->is_warned && left_ms(k) <= WARN_MS && !warn(s, k))
			return false;
	}
	return true;
}

/* ---- the end ---- */

void session_end(struct session *s, struct sock *k, const char *code, const char *message)
{
	struct str args = STR_INIT, packet = STR_INIT;
	bool ok;

	str_adds(&args, "\"error\",{\"code\":");
	str_add_json(&args, code);
	str_adds(&args, ",\"message\":");
	str_add_json(&args, message);
	str_addc(&args, '}');
	log_info("session_end", "socket %s of %s: %s", k->id,
		k->caller ? k->caller->username : "nobody", code);
	/* Socket.IO protocol, "Disconnection from a namespace". */
	str_adds(&packet, "41");
	if (strcmp(k->nsp, NSP_MAIN) != 0)
		str_addf(&packet, "%s,", k->nsp);
	ok = session_emit(s, k, (struct slice){args.p, args.len}, session_cursor(s), false) &&
	     session_queue(s, packet.p, packet.len);
	str_fini(&args);
	str_fini(&packet);
	if (ok)
		session_close(s, END_SERVER_DISCONNECT);
}

/* ---- revocation ---- */

#define LATELY_MS 30000 /* a request may have been at work for as long since it was judged */

static bool holds(const struct caller *c, const struct revoked *r)
{
	struct caller_view v = caller_view(c);

	return c && revoked_concerns(r, &v);
}

static bool is_held(const struct session *s, const struct revoked *r)
{
	for (size_t i = 0; i < s->socks_n; i++)
		if (holds(s->socks[i].caller, r))
			return true;
	return holds(s->caller, r);
}

static void end_for(struct session *s, struct sock *k, enum err why)
{
	if (k)
		session_end(s, k, err_code(why), err_text(why));
	else
		session_close(s, END_SERVER_DISCONNECT); /* handshake done, no namespace yet */
}

/* The socket that a caller's end ends; NULL: there is none yet. */
static struct sock *sock_of(struct session *s, const struct caller *p)
{
	for (size_t i = 0; i < s->socks_n; i++)
		if (s->socks[i].caller == p)
			return &s->socks[i];
	return s->socks_n ? &s->socks[0] : NULL;
}

static void ask_about(struct hub *hub, const struct caller *c)
{
	struct caller_view who = caller_view(c);

	reader_ask_principal(hub->reader, &who);
}

static bool is_same_token(const struct caller *a, const struct caller *b)
{
	struct caller_view va = caller_view(a), vb = caller_view(b);

	return a && b && caller_is_same_token(&va, &vb);
}

/* Have we asked about c for an earlier session of this round? */
static bool is_asked(const struct caller **asked, size_t n, const struct caller *c)
{
	for (size_t i = 0; i < n; i++)
		if (is_same_token(asked[i], c))
			return true;
	return false;
}

#define ASKED_MAX 1024

static void recheck(struct sessions *ss, const struct revoked *r)
{
	const struct caller **asked = xcalloc(ASKED_MAX, sizeof(*asked));
	struct session *s;
	uint32_t num = 0;
	size_t n = 0;

	while ((s = sessions_next(ss, &num))) {
		for (size_t i = 0; i <= s->socks_n; i++) {
			struct caller *p = i < s->socks_n ? s->socks[i].caller : s->caller;

			if (!holds(p, r) || is_asked(asked, n, p))
				continue;
			ask_about(ss->hub, p);
			if (n < ASKED_MAX)
				asked[n++] = p;
		}
	}
	free(asked);
}

static void end_token(struct sessions *ss, const struct revoked *r)
{
	struct session *s;
	uint32_t num = 0;

	while ((s = sessions_next(ss, &num))) {
		if (s->state == SESSION_CLOSING || !is_held(s, r))
			continue;
		for (size_t i = 0; i <= s->socks_n; i++) {
			struct caller *p = i < s->socks_n ? s->socks[i].caller : s->caller;

			if (!holds(p, r))
				continue;
			end_for(s, sock_of(s, p), ERR_TOKEN_REVOKED);
			break;
		}
	}
}

void sessions_revoke(struct sessions *ss, const struct record *r)
{
	struct revoked it;

	if (!revoked_parse(&it, r->json, r->json_len))
		return;
	/* A CONNECT whose token was looked at before may come after it. */
	revocations_add(&ss->lately, &it, clock_ms());
	if (it.what == WIRE_REVOKE_JTI)
		end_token(ss, &it);
	else
		recheck(ss, &it); /* whether it is less or more that they may */
}

void session_ask_rights(struct session *s, const struct sock *k)
{
	if (k->caller)
		ask_about(s->hub, k->caller);
}

void session_recheck(struct session *s, const struct sock *k)
{
	struct caller_view c = caller_view(k->caller);

	if (revocations_find(&s->hub->sessions->lately, &c, clock_ms() - LATELY_MS) != REVOKED_NO)
		session_ask_rights(s, k);
}

/* ---- what the database said ---- */

/* false: s was closed. */
static bool set_rights(struct session *s, const struct principal *now)
{
	struct str rights = STR_INIT;
	bool is_alive;

	perm_rights_put(&rights, now);
	is_alive = session_set_rights(s, (struct slice){rights.p, rights.len});
	str_fini(&rights);
	return is_alive;
}

/* false: s was closed. */
static bool judge(struct session *s, struct sock *k, const struct reader_mail *m)
{
	if (m->err != ERR_OK || m->principal->tenant_id != k->caller->tenant_id) {
		end_for(s, k, m->err == ERR_OK ? ERR_TOKEN_REVOKED : m->err);
		return false;
	}
	if (sock_is_main(k))
		return set_rights(s, m->principal);
	if (strcmp(k->nsp, "/admin") == 0 && !perm_has(m->principal, "ws:admin")) {
		end_for(s, k, ERR_FORBIDDEN);
		return false;
	}
	return true;
}

void session_principal_came(struct hub *hub, struct reader_mail *m)
{
	struct session *s;
	uint32_t num = 0;

	if (!m->is_done) {
		ask_about(hub, m->who);
		return;
	}
	while ((s = sessions_next(hub->sessions, &num))) {
		bool is_alive = s->state != SESSION_CLOSING;

		for (size_t i = 0; is_alive && i < s->socks_n; i++)
			if (is_same_token(s->socks[i].caller, m->who))
				is_alive = judge(s, &s->socks[i], m);
		if (is_alive && !s->socks_n && is_same_token(s->caller, m->who) && m->err != ERR_OK)
			end_for(s, NULL, m->err);
	}
}
