/*
 * The shape LOG: `log:new` with one line, `log:batch` with several, `log:dropped` for those that
 * are not sent, by the ids of the first and the last of them.
 */
#include "stream.h"

static void put_log_new(struct str *out, const struct event_row *e, struct slice payload)
{
	str_adds(out, "\"log:new\",");
	str_add(out, payload.p, payload.len);
}

static void put_line(struct str *out, const struct event_row *e, struct slice entry)
{
	str_add(out, entry.p, entry.len);
}

static void put_lines(struct str *out, struct slice entries, size_t n)
{
	if (n == 1) {
		put_log_new(out, NULL, entries);
		return;
	}
	str_adds(out, "\"log:batch\",{\"logs\":[");
	str_add(out, entries.p, entries.len);
	str_addf(out, "],\"count\":%zu}", n);
}

static void put_gap(struct str *out, uint64_t n, uint64_t from, uint64_t to)
{
	str_addf(out, "\"log:dropped\",{\"count\":%llu,\"from\":%llu,\"to\":%llu}",
		(unsigned long long)n, (unsigned long long)from, (unsigned long long)to);
}

const struct stream_shape stream_shape_log = {.name = "log",
	.put = put_log_new,
	.put_entry = put_line,
	.put_batch = put_lines,
	.put_dropped = put_gap};
