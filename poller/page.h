/*
 * Pages of old events between fixed ids, or of those alone that are not kept briefly, read once for
 * all who catch up there, and kept while they are used. All of it belongs to the loop thread; the
 * reader's thread reads (reader.h). A page is in hub->pages while it is loading or kept; one that
 * the tail cut short is used once and goes.
 */
#ifndef CMDB_PAGE_H
#define CMDB_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <uthash.h>

#include "hub.h"
#include "reader.h"

struct record;

struct page_key {
	uint64_t after;
	enum reader_job what; /* READER_PAGE, READER_LASTING */
};

struct page {
	struct page_key key;
	uint64_t upto;
	bool is_loading, is_kept;
	bool is_whole; /* all there will ever be between after and upto is on it */
	bool is_stale; /* loading, and what came meanwhile may not be in it */
	uint64_t next_id;
	size_t n;
	struct record **records;
	struct waiter_list waiters; /* while loading */
	TAILQ_ENTRY(page) lru;
	UT_hash_handle hh; /* by key */
};

/* Loading or kept; NULL: none. */
struct page *page_find(struct hub *hub, uint64_t after, enum reader_job what);
/* Where the page begins that a cursor needs next. */
uint64_t page_begin(struct hub *hub, uint64_t cursor, enum reader_job what);
void page_touch(struct hub *hub, struct page *p); /* a kept one was used */
/* A new one, loading: the reader is asked for its rows. It begins below the tail. */
struct page *page_ask(struct hub *hub, uint64_t after, enum reader_job what);
void page_ask_again(struct hub *hub, struct page *p);
/* Takes what was read into p; rows that are large are fewer than were asked for. */
void page_fill(struct hub *hub, struct page *p, struct reader_mail *m);
void page_keep(struct hub *hub, struct page *p); /* it is loaded: kept if it is whole */
void page_free(struct hub *hub, struct page *p); /* nobody waits for it; at the safe point */
void pages_trim(struct hub *hub);
void pages_forget(struct hub *hub); /* all; nobody waits for one */

#endif
