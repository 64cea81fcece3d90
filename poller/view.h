/*
 * What of an event a group is shown, and by which of its views (stream.h): one *hit* for each view
 * that the event matches. Pure; the loop thread's for its scratch alone.
 */
#ifndef CMDB_VIEW_H
#define CMDB_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "str.h"
#include "stream.h"
#include "wire.h"

struct record;

/* A view on asking. */
struct asked_view {
	const struct stream *stream;
	const struct stream_view *row;
	struct slice filter; /* borrowed from the interest; empty: all entries */
	unsigned looks;      /* how often it looks through an entry */
};

#define HIT_ALL UINT32_MAX

/* Compared as bytes: what makes the same hits is shown the same. */
struct hit {
	const struct record *record;
	const struct stream_view *row; /* NULL: by right, or for its room */
	uint32_t first, n; /* which of its entries: in the hits' entries; n HIT_ALL: all of them */
};

/* {0} is none. */
struct hits {
	struct hit *v;
	size_t n, cap;
	uint32_t *entries;
	size_t entries_n, entries_cap;
};

/* Does its filter look through entries more than once (stream.h)? */
bool view_is_costly(const struct stream *st, size_t view, struct slice filter);
/* The views on asking of an interest that there are: *out is the caller's to free. */
size_t views_of(const struct wire_interest *want, struct asked_view **out);

void hits_add(struct hits *h, const struct record *r);
/* Adds the event if the view shows something of it. */
void hits_add_view(struct hits *h, const struct asked_view *v, const struct record *r);
/* Adds one entry of it, behind those that were added before. */
void hits_add_entry(struct hits *h, const struct asked_view *v, const struct record *r, uint32_t i);
void hits_clear(struct hits *h);
void hits_fini(struct hits *h);

bool hit_is_paced(const struct hit *hit);
uint32_t hit_entries_n(const struct hit *hit);
/* By number, i < hit_entries_n(). */
struct slice hit_entry(const struct hits *h, const struct hit *hit, uint32_t i);
/* As clients name it. */
uint64_t hit_entry_id(const struct hits *h, const struct hit *hit, uint32_t i);
/* Appends the inside of the array of its Socket.IO packet; it is not paced. */
void hit_put(const struct hits *h, const struct hit *hit, struct str *out);
/* Appends the event as /events has it, with those entries in it that the view shows. */
void hit_put_json(const struct hits *h, const struct hit *hit, struct str *out);

#endif
