#include "rest.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "mem.h"

#define CONNECT_TIMEOUT_MS 5000L
#define BODY_MAX (64u * 1024 * 1024)

struct rest {
	CURL *curl;
	struct curl_slist *who; /* the header that says who asks */
	char *url;
};

/* Header texts hold a secret: they go to libcurl and nowhere else. */
static void add_header(struct curl_slist **headers, const char *name, const char *value)
{
	struct str line = STR_INIT;

	str_addf(&line, "%s: %s", name, value);
	*headers = curl_slist_append(*headers, str_c(&line));
	str_fini(&line);
}

/* The caller frees them. */
static struct curl_slist *headers_of(
	const struct rest *r, const struct rest_request *q, const char *accept)
{
	struct curl_slist *headers = NULL;

	for (const struct curl_slist *h = r->who; h; h = h->next)
		headers = curl_slist_append(headers, h->data);
	add_header(&headers, "Accept", accept);
	if (q->body || strcmp(q->method, "GET"))
		add_header(&headers, "Content-Type",
			q->content_type ? q->content_type : "application/json");
	if (q->content_encoding)
		add_header(&headers, "Content-Encoding", q->content_encoding);
	if (q->idempotency_key)
		add_header(&headers, "Idempotency-Key", q->idempotency_key);
	/* libcurl waits a second for leave to send what is large, and not every server gives it. */
	return curl_slist_append(headers, "Expect:");
}

struct rest *rest_new(const char *url, const char *api_key, const char *token)
{
	struct rest *r = xcalloc(1, sizeof(*r));
	size_t len = strlen(url);

	while (len > 0 && url[len - 1] == '/')
		len--;
	r->url = xstrndup(url, len);
	r->curl = curl_easy_init();
	if (!r->curl)
		abort();
	if (api_key)
		add_header(&r->who, "X-API-Key", api_key);
	if (token) {
		struct str bearer = STR_INIT;

		str_addf(&bearer, "Bearer %s", token);
		add_header(&r->who, "Authorization", str_c(&bearer));
		str_fini(&bearer);
	}
	return r;
}

void rest_free(struct rest *r)
{
	if (!r)
		return;
	curl_slist_free_all(r->who);
	curl_easy_cleanup(r->curl);
	free(r->url);
	free(r);
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct str *body = arg;

	if (body->len + size * n > BODY_MAX)
		return 0;
	str_add(body, p, size * n);
	return size * n;
}

static int on_progress(
	void *arg, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now)
{
	const struct rest_request *q = arg;

	(void)total;
	(void)now;
	(void)up_total;
	(void)up_now;
	return !q->is_wanted(q->arg);
}

/* Keeps the connections, forgets what the last request was. */
static void set_request(
	struct rest *r, const struct rest_request *q, const char *url, struct curl_slist *headers)
{
	curl_easy_reset(r->curl);
	curl_easy_setopt(r->curl, CURLOPT_URL, url);
	curl_easy_setopt(r->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(r->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(r->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(r->curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	curl_easy_setopt(r->curl, CURLOPT_TIMEOUT_MS, (long)q->timeout_ms);
	curl_easy_setopt(r->curl, CURLOPT_USERAGENT, "cmdbctl");
	if (q->body) {
		curl_easy_setopt(r->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_len);
		curl_easy_setopt(r->curl, CURLOPT_POSTFIELDS, q->body);
	}
	curl_easy_setopt(r->curl, CURLOPT_CUSTOMREQUEST, q->method);
	if (q->is_wanted) {
		curl_easy_setopt(r->curl, CURLOPT_NOPROGRESS, 0L);
		curl_easy_setopt(r->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
		curl_easy_setopt(r->curl, CURLOPT_XFERINFODATA, q);
	}
}

static void take_answer(struct rest *r, struct rest_answer *a)
{
	curl_off_t retry_after = 0;
	const char *bad = NULL;
	size_t at = 0;
	long status = 0;

	curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(r->curl, CURLINFO_RETRY_AFTER, &retry_after);
	a->status = (int)status;
	a->retry_after_s = retry_after > 0 && retry_after < 3600 ? (unsigned)retry_after : 0;
	a->json = json_parse_own(str_c(&a->body), a->body.len, &bad, &at);
}

bool rest_send(struct rest *r, const struct rest_request *q, struct rest_answer *a, struct str *why)
{
	struct curl_slist *headers = headers_of(r, q, "application/json");
	char text[CURL_ERROR_SIZE] = "";
	struct str url = STR_INIT;
	CURLcode code;

	*a = (struct rest_answer){0};
	str_addf(&url, "%s%s", r->url, q->path);
	set_request(r, q, str_c(&url), headers);
	curl_easy_setopt(r->curl, CURLOPT_ERRORBUFFER, text);
	curl_easy_setopt(r->curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(r->curl, CURLOPT_WRITEDATA, &a->body);
	code = curl_easy_perform(r->curl);
	curl_easy_setopt(r->curl, CURLOPT_ERRORBUFFER, NULL);
	if (code == CURLE_OK) {
		take_answer(r, a);
	} else {
		str_addf(why, "%s: %s", r->url, *text ? text : curl_easy_strerror(code));
		rest_answer_fini(a);
		a->is_timeout = code == CURLE_OPERATION_TIMEDOUT;
	}
	curl_slist_free_all(headers);
	str_fini(&url);
	return code == CURLE_OK;
}

bool rest_call(struct rest *r, const char *method, const char *path, const char *body,
	unsigned timeout_ms, struct rest_answer *a, struct str *why)
{
	const struct rest_request q = {.method = method,
		.path = path,
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.timeout_ms = timeout_ms};

	return rest_send(r, &q, a, why);
}

static size_t on_first_bytes(char *p, size_t size, size_t n, void *arg)
{
	(void)p;
	*(size_t *)arg += size * n;
	return 0; /* libcurl gives the transfer up */
}

bool rest_stream_begins(
	struct rest *r, const char *path, unsigned timeout_ms, int *status, struct str *why)
{
	const struct rest_request q = {.method = "GET", .path = path, .timeout_ms = timeout_ms};
	struct curl_slist *headers = headers_of(r, &q, "text/event-stream");
	struct str url = STR_INIT;
	size_t got = 0;
	long code = 0;
	CURLcode rc;

	str_addf(&url, "%s%s", r->url, path);
	set_request(r, &q, str_c(&url), headers);
	curl_easy_setopt(r->curl, CURLOPT_WRITEFUNCTION, on_first_bytes);
	curl_easy_setopt(r->curl, CURLOPT_WRITEDATA, &got);
	rc = curl_easy_perform(r->curl);
	curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &code);
	*status = (int)code;
	if (!got)
		str_adds(why, curl_easy_strerror(rc));
	curl_slist_free_all(headers);
	str_fini(&url);
	return got && code == 200;
}

void rest_answer_fini(struct rest_answer *a)
{
	str_fini(&a->body);
	json_object_put(a->json);
	a->json = NULL;
}

struct json_object *rest_data(const struct rest_answer *a)
{
	return json_get(a->json, "data");
}

void rest_details(struct json_object *details, struct str *out)
{
	if (!json_object_is_type(details, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(details); i++) {
		struct json_object *d = json_object_array_get_idx(details, i);
		const char *field = json_get_str(d, "field"), *problem = json_get_str(d, "problem");

		str_addf(out, "\n  %s: %s", field ? field : "?", problem ? problem : "?");
	}
}

void rest_problem(const struct rest_answer *a, struct str *out)
{
	struct json_object *error = json_get(a->json, "error");
	const char *message = json_get_str(error, "message");

	if (!message) {
		str_addf(out, "HTTP status %d from something that is not cmdb", a->status);
		return;
	}
	str_addf(out, "%s (%d %s)", message, a->status, json_get_str(error, "code"));
	rest_details(json_get(error, "details"), out);
}

void rest_escape(struct str *out, const char *text)
{
	static const char keep[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

	for (const char *p = text; *p; p++) {
		if (strchr(keep, *p))
			str_addc(out, *p);
		else
			str_addf(out, "%%%02X", (unsigned char)*p);
	}
}

void rest_query(struct str *path, const char *key, const char *value)
{
	str_addc(path, strchr(str_c(path), '?') ? '&' : '?');
	str_addf(path, "%s=", key);
	rest_escape(path, value);
}
