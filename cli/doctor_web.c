/* doctor: what the web server, or a proxy before it, does to requests and answers on their way. */
#include "doctor.h"

#include <string.h>
#include <time.h>

#include "json.h"
#include "token.h"

#define STREAM_FIRST_MS 3000
#define EXPIRED_S 3600
#define UPLOAD_TIMES 4
#define UPLOAD_MAX (64 * 1024 * 1024)
#define UPLOAD_MS 10000

/* A token that is ours and has expired: whoever gets it says so, and does not count it as a guess
 * of somebody. */
static bool make_expired(const struct doctor *d, struct str *token)
{
	struct str why = STR_INIT;
	struct token_key *key = token_key_load(d->cfg, &why);
	struct principal p = {.user_id = 1,
		.tenant_id = 1,
		.username = (char[]){"doctor"},
		.display_name = (char[]){""},
		.tenant = (char[]){"default"},
		.jti = (char[]){"00000000000000000000000000000000"}};
	bool is_made = key && token_issue(key, &p, (int64_t)time(NULL) - EXPIRED_S, EXPIRED_S / 2,
				      token) == ERR_OK;

	token_key_free(key);
	str_fini(&why);
	return is_made;
}

void check_authorization(struct doctor *d, struct finding *f)
{
	struct str token = STR_INIT, why = STR_INIT;
	struct rest *r = NULL;
	struct rest_answer a;
	const char *code;

	if (!make_expired(d, &token)) {
		finding_skip(f, "no token can be made to try it with");
		goto out;
	}
	r = rest_new(d->cfg->cli.url, NULL, str_c(&token));
	if (!rest_call(r, "GET", "/api/v1/auth/me", NULL, REST_TIMEOUT_MS, &a, &why)) {
		finding_skip(f, "the web server was not reached");
		goto out;
	}
	code = json_get_str(json_get(a.json, "error"), "code");
	if (code && !strcmp(code, "token_expired"))
		finding_ok(f, "it arrives");
	else if (code && !strcmp(code, "unauthenticated"))
		finding_bad(f, VERDICT_FAIL,
			"Apache: CGIPassAuth On; nginx: fastcgi_param HTTP_AUTHORIZATION "
			"$http_authorization; proxies: pass the header on",
			"the header Authorization does not reach cmdb-fcgi: nobody can log in");
	else if (code && !strcmp(code, "token_invalid"))
		finding_bad(f, VERDICT_FAIL,
			"give all programs the same [auth] algorithm, key_file, issuer and "
			"audience, and reload them; have proxies pass the header on as it is",
			"a token made with auth.key_file is not one that cmdb-fcgi knows");
	else
		finding_skip(f, "/api/v1/auth/me answers %d", a.status);
	rest_answer_fini(&a);
out:
	rest_free(r);
	str_fini(&token);
	str_fini(&why);
}

void check_stream(struct doctor *d, struct finding *f)
{
	struct str why = STR_INIT;
	int status = 0;

	if (!d->rest) {
		finding_skip(f, "there is no API key to ask with");
		return;
	}
	if (rest_stream_begins(d->rest, "/events", STREAM_FIRST_MS, &status, &why))
		finding_ok(f, "it begins at once");
	else if (status && status != 200)
		finding_skip(f, "/events answers %d", status);
	else
		finding_bad(f, VERDICT_FAIL,
			"lighttpd: server.stream-response-body = 1; nginx: fastcgi_buffering off; "
			"Apache: flushpackets=on, no mod_deflate for text/event-stream",
			"nothing of an event stream came within %d ms (%s): it is buffered on "
			"the way",
			STREAM_FIRST_MS, str_c(&why));
	str_fini(&why);
}

/* Bodies that nobody takes are refused by whoever would have to store them. */
void check_uploads(struct doctor *d, struct finding *f)
{
	const struct config *c = d->cfg;
	int64_t most = c->fcgi.max_body > c->socketio.max_payload ? c->fcgi.max_body
								  : c->socketio.max_payload;
	struct str body = STR_INIT, why = STR_INIT;
	struct rest_answer a;
	const char *code;

	if (!d->rest || most > UPLOAD_MAX / UPLOAD_TIMES) {
		finding_skip(f, d->rest ? "fcgi.max_body is too large to try it"
					: "there is no API key to ask with");
		return;
	}
	str_reserve(&body, (size_t)most * UPLOAD_TIMES);
	memset(body.p, ' ', (size_t)most * UPLOAD_TIMES);
	body.len = (size_t)most * UPLOAD_TIMES;
	body.p[body.len] = '\0';
	if (!rest_call(
		    d->rest, "POST", "/api/v1/auth/refresh", str_c(&body), UPLOAD_MS, &a, &why)) {
		finding_ok(f, "the web server does not take them");
		goto out;
	}
	code = json_get_str(json_get(a.json, "error"), "code");
	if (a.status == 413 && !code)
		finding_ok(f, "the web server refuses what is too large");
	else
		finding_bad(f, VERDICT_WARN,
			"lighttpd: server.max-request-size; nginx: client_max_body_size; Apache: "
			"LimitRequestBody; Caddy: request_body { max_size }: twice fcgi.max_body "
			"is enough",
			"the web server takes bodies of %d times fcgi.max_body from anybody, and "
			"may store them",
			UPLOAD_TIMES);
	rest_answer_fini(&a);
out:
	str_fini(&body);
	str_fini(&why);
}
