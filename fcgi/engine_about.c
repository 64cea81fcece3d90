#include "engine.h"

#include <string.h>
#include <strings.h>

#include "clock.h"
#include "json.h"

#define VALUE_MAX 256 /* bytes of a header or parameter; what is longer is cut */
#define URL_MAX 512

/* Headers that may be shown. */
static const struct {
	const char *variable, *header;
} shown[] = {
	{"HTTP_HOST=", "host"},
	{"HTTP_USER_AGENT=", "user-agent"},
	{"HTTP_ORIGIN=", "origin"},
	{"HTTP_REFERER=", "referer"},
	{"HTTP_X_FORWARDED_FOR=", "x-forwarded-for"},
	{"HTTP_X_FORWARDED_PROTO=", "x-forwarded-proto"},
	{"HTTP_ACCEPT_LANGUAGE=", "accept-language"},
	{"HTTP_ACCEPT=", "accept"},
	{"HTTP_ACCEPT_ENCODING=", "accept-encoding"},
	{"HTTP_CONNECTION=", "connection"},
};
#define SHOWN_N (sizeof(shown) / sizeof(shown[0]))

/* Parameters that let one in, or name a session. */
static bool is_secret(const char *key)
{
	static const char *const secrets[] = {"token", "sid", "apiKey", "api_key", "access_token",
		"refresh_token", "key", "jwt", "auth", "authorization", "cookie", "password",
		"secret", "session", "sessionId"};

	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
		if (strcasecmp(key, secrets[i]) == 0)
			return true;
	return false;
}

static const char *engine_about_find(char *const *env, const char *variable)
{
	size_t len = strlen(variable);

	for (; *env; env++)
		if (strncmp(*env, variable, len) == 0)
			return *env + len;
	return NULL;
}

/* An object that is filled as far as there is room. */
struct object {
	struct str *out;
	size_t members_n;
	size_t most; /* length of out that is not to be passed */
};

static void engine_about_put(struct object *o, const char *key, const char *value)
{
	size_t len = strlen(value), was = o->out->len;

	if (len > VALUE_MAX)
		len = VALUE_MAX;
	while (len > 0 && ((unsigned char)value[len] & 0xc0) == 0x80)
		len--;
	if (!json_is_utf8(value, len))
		return;
	str_adds(o->out, o->members_n ? "," : "");
	str_add_json(o->out, key);
	str_addc(o->out, ':');
	str_add_json_n(o->out, value, len);
	if (o->out->len > o->most) {
		o->out->len = was;
		o->out->p[was] = '\0';
	} else {
		o->members_n++;
	}
}

static void put_parameter(const char *key, const char *value, void *arg)
{
	if (!is_secret(key))
		engine_about_put(arg, key, value);
}

/* A referer's query may have anything in it. */
static void put_referer(struct object *o, const char *value)
{
	struct str page = STR_INIT;

	str_add(&page, value, strcspn(value, "?#"));
	engine_about_put(o, "referer", str_c(&page));
	str_fini(&page);
}

static void add_escaped(struct str *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("%&=+# ", *text) || (unsigned char)*text < ' ')
			str_addf(out, "%%%02X", (unsigned char)*text);
		else
			str_addc(out, *text);
	}
}

static void add_to_url(const char *key, const char *value, void *arg)
{
	struct str *url = arg;

	if (is_secret(key))
		return;
	str_addc(url, strchr(str_c(url), '?') ? '&' : '?');
	add_escaped(url, key);
	str_addc(url, '=');
	add_escaped(url, value);
}

static void put_url(struct str *out, const struct http_req *req)
{
	struct str url = STR_INIT;

	str_adds(&url, req->path);
	query_each(req->query, add_to_url, &url);
	str_adds(out, ",\"url\":");
	str_add_json(out, url.len <= URL_MAX ? str_c(&url) : req->path);
	str_fini(&url);
}

void engine_put_about(struct str *out, const struct http_req *req, char *const *env)
{
	const char *https = engine_about_find(env, "HTTPS="),
		   *proto = engine_about_find(env, "HTTP_X_FORWARDED_PROTO=");
	bool is_secure = (https && strcmp(https, "on") == 0) || (proto && !strcmp(proto, "https"));
	struct object o = {.out = out, .most = out->len + ENGINE_ABOUT_MAX - 2};
	char time[CLOCK_RFC3339_SIZE];
	int64_t now_ms = clock_wall_ms();

	clock_rfc3339(now_ms, time);
	str_addf(out, "{\"time\":\"%s\",\"issued\":%lld,\"secure\":%s,\"xdomain\":%s", time,
		(long long)now_ms, is_secure ? "true" : "false", req->origin[0] ? "true" : "false");
	put_url(out, req);
	str_adds(out, ",\"query\":{");
	o.most -= ENGINE_ABOUT_MAX / 2; /* the headers say more */
	query_each(req->query, put_parameter, &o);
	str_adds(out, "},\"headers\":{");
	o.most += ENGINE_ABOUT_MAX / 2;
	o.members_n = 0;
	for (size_t i = 0; i < SHOWN_N; i++) {
		const char *value = engine_about_find(env, shown[i].variable);

		if (value && strcmp(shown[i].header, "referer") == 0)
			put_referer(&o, value);
		else if (value)
			engine_about_put(&o, shown[i].header, value);
	}
	str_adds(out, "}}");
}
