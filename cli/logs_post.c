#include "logs_post.h"

#define ZLIB_CONST
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "api.h"
#include "clock.h"
#include "json.h"
#include "secret.h"
#include "stop.h"

#define PATH "/api/logs"
#define ANSWER_TIMEOUT_MS 30000
#define KEY_BYTES 16
#define GZIP_WINDOW (15 + 16) /* zlib's: the largest window, and gzip's header and trailer */
#define GZIP_MEMORY 8
#define REFUSALS_SHOWN 20

/* ---- batches ---- */

void log_batch_add(struct log_batch *b, const char *json, size_t len, uint64_t line)
{
	b->spans[b->n++] = (struct log_span){b->text.len, len, line};
	str_add(&b->text, json, len);
	str_addc(&b->text, ',');
}

bool log_batch_is_full(const struct log_batch *b, size_t len)
{
	return b->n == LOG_BATCH_MAX || (b->n && b->text.len + len > LOG_BATCH_BYTES);
}

void log_batch_fini(struct log_batch *b)
{
	str_fini(&b->text);
	b->n = 0;
}

/* Keeps the entries from..to-1 that are not is_out (NULL: none is). */
static void batch_keep(struct log_batch *b, size_t from, size_t to, const bool *is_out)
{
	struct str text = b->text;

	b->text = (struct str)STR_INIT;
	b->n = 0;
	for (size_t i = from; i < to; i++)
		if (!is_out || !is_out[i])
			log_batch_add(
				b, text.p + b->spans[i].at, b->spans[i].len, b->spans[i].line);
	str_fini(&text);
}

/* The first n entries as a JSON array. */
static void batch_body(const struct log_batch *b, size_t n, struct str *out)
{
	size_t end = b->spans[n - 1].at + b->spans[n - 1].len;

	str_clear(out);
	str_addc(out, '[');
	str_add(out, b->text.p, end);
	str_addc(out, ']');
}

/* False: no memory, and out is as it was. */
static bool add_gzip(struct str *out, const struct str *in)
{
	z_stream z = {.next_in = (const Bytef *)in->p, .avail_in = (uInt)in->len};
	size_t room;
	int rc;

	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY,
		    Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	room = deflateBound(&z, in->len);
	str_reserve(out, room);
	z.next_out = (Bytef *)out->p + out->len;
	z.avail_out = (uInt)room;
	rc = deflate(&z, Z_FINISH);
	deflateEnd(&z);
	if (rc != Z_STREAM_END)
		return false;
	out->len += room - z.avail_out;
	return true;
}

/* ---- what the server refuses ---- */

static void tell(struct log_poster *p, const struct log_span *span, const char *text)
{
	if (p->bar)
		bar_clear(p->bar);
	if (p->refused++ < REFUSALS_SHOWN)
		cmd_fail(CTL_OK, "%s %llu is refused: %s", p->what, (unsigned long long)span->line,
			text);
	else if (p->refused == REFUSALS_SHOWN + 1)
		cmd_fail(CTL_OK, "more are refused; only their number is told at the end");
}

/* The index of the entry that a problem's field names, "[17].level"; n: none of these. */
static size_t entry_of(const char *field, size_t n, const char **member)
{
	char *end = NULL;
	unsigned long i;

	if (!field || field[0] != '[')
		return n;
	i = strtoul(field + 1, &end, 10);
	if (end == field + 1 || *end != ']' || i >= n)
		return n;
	*member = end[1] == '.' ? end + 2 : end + 1;
	return i;
}

/* Takes the entries out that the answer names, of the first n; false: it names none. */
static bool drop_refused(
	struct log_poster *p, struct log_batch *b, size_t n, const struct rest_answer *a)
{
	struct json_object *details = json_get(json_get(a->json, "error"), "details");
	bool is_out[LOG_BATCH_MAX] = {false}, any = false;

	if (!json_object_is_type(details, json_type_array))
		return false;
	for (size_t k = 0; k < json_object_array_length(details); k++) {
		struct json_object *d = json_object_array_get_idx(details, k);
		const char *member = "", *problem = json_get_str(d, "problem");
		size_t i = entry_of(json_get_str(d, "field"), n, &member);
		struct str text = STR_INIT;

		if (i == n || is_out[i])
			continue;
		str_addf(&text, "%s%s%s", member, *member ? ": " : "", problem ? problem : "?");
		tell(p, &b->spans[i], str_c(&text));
		str_fini(&text);
		any = is_out[i] = true;
	}
	if (any)
		batch_keep(b, 0, b->n, is_out);
	return any;
}

/* ---- sending ---- */

enum outcome { STORED, AGAIN, CHANGED, SMALLER, FATAL };

static enum outcome outcome_of(struct log_poster *p, struct log_batch *b, size_t n,
	const struct rest_answer *a, enum ctl_exit *status)
{
	if (a->status == 201)
		return STORED;
	if (backoff_is_passing(a))
		return AGAIN;
	if (a->status == 413 && n > 1)
		return SMALLER;
	if (a->status == 413) {
		tell(p, &b->spans[0], "the server takes nothing as large");
		batch_keep(b, 1, b->n, NULL);
		return CHANGED;
	}
	if (a->status == 422 && drop_refused(p, b, n, a))
		return CHANGED;
	if (p->bar)
		bar_clear(p->bar);
	*status = api_fail(a, PATH);
	return FATAL;
}

/* One request for the first n entries. */
static enum outcome post_once(struct log_poster *p, struct log_batch *b, size_t n,
	const struct rest_request *q, struct str *why, unsigned *retry_after_s,
	enum ctl_exit *status)
{
	int64_t began = clock_ms(), took;
	struct rest_answer a;
	enum outcome out;

	str_clear(why);
	str_adds(why, "the web server cannot be reached: ");
	*retry_after_s = 0;
	p->requests++;
	if (!rest_send(p->rest, q, &a, why))
		return AGAIN;
	str_clear(why);
	took = clock_ms() - began;
	p->all_ms += took;
	if (took > p->slowest_ms)
		p->slowest_ms = took;
	out = outcome_of(p, b, n, &a, status);
	if (out == AGAIN)
		rest_problem(&a, why);
	*retry_after_s = a.retry_after_s;
	rest_answer_fini(&a);
	return out;
}

/* The same request until it is answered for good. */
static enum outcome post_until(struct log_poster *p, struct log_batch *b, size_t n,
	const struct rest_request *q, enum ctl_exit *status)
{
	int64_t began = clock_ms();
	struct str why = STR_INIT;
	unsigned retry_after_s;
	enum outcome out;

	while ((out = post_once(p, b, n, q, &why, &retry_after_s, status)) == AGAIN) {
		bool is_over = p->patience_ms && clock_ms() - began >= p->patience_ms;

		if (p->bar)
			bar_clear(p->bar);
		if (is_over || stop_is_asked()) {
			*status = cmd_fail(CTL_UNREACHABLE,
				"given up: what was sent last may not have been stored: %s",
				str_c(&why));
			out = FATAL;
			break;
		}
		stop_wait(backoff_failed(&p->back, retry_after_s, str_c(&why)));
		p->retries++;
	}
	if (out != FATAL)
		backoff_went_well(&p->back);
	str_fini(&why);
	return out;
}

/* The first n entries, under a key of their own. */
static enum outcome post_some(
	struct log_poster *p, struct log_batch *b, size_t n, enum ctl_exit *status)
{
	char key[2 * KEY_BYTES + 1];
	struct str body = STR_INIT, packed = STR_INIT;
	bool is_packed;
	enum outcome out;

	batch_body(b, n, &body);
	is_packed = p->has_gzip && add_gzip(&packed, &body);
	secret_random_hex(key, KEY_BYTES);
	out = post_until(p, b, n,
		&(struct rest_request){.method = "POST",
			.path = PATH,
			.body = is_packed ? packed.p : body.p,
			.body_len = is_packed ? packed.len : body.len,
			.content_encoding = is_packed ? "gzip" : NULL,
			.idempotency_key = key,
			.timeout_ms = ANSWER_TIMEOUT_MS,
			.is_wanted = stop_leaves_time},
		status);
	str_fini(&body);
	str_fini(&packed);
	return out;
}

enum ctl_exit log_post(struct log_poster *p, struct log_batch *b)
{
	enum ctl_exit status = CTL_OK;
	size_t n = b->n;

	while (b->n) {
		switch (post_some(p, b, n, &status)) {
		case STORED:
			p->sent += n;
			batch_keep(b, n, b->n, NULL);
			break;
		case SMALLER:
			n = (n + 1) / 2;
			continue;
		case FATAL:
			return status;
		default:
			break;
		}
		n = b->n < n ? b->n : n;
	}
	return CTL_OK;
}
