#include "page.h"

#include <stdlib.h>
#include <string.h>

#include "grave.h"
#include "hub.h"
#include "mem.h"
#include "reader.h"
#include "record.h"

/* Ids that a page spans; behind one that was cut, for its rows are large or many, the next less. */
static const uint64_t spans[][3] = {
	[READER_PAGE] = {256, 16, 16},
	[READER_LASTING] = {16384, 256, 16},
};
#define SPANS_N 3

#define PAGES_KEPT_MAX 256
#define PAGES_BYTES_MAX (64u * 1024 * 1024)

struct page *page_find(struct hub *hub, uint64_t after, enum reader_job what)
{
	struct page_key key;
	struct page *p;

	memset(&key, 0, sizeof(key));
	key.after = after;
	key.what = what;
	HASH_FIND(hh, hub->pages, &key, sizeof(key), p);
	return p;
}

static void page_destroy(void *arg)
{
	struct page *p = arg;

	for (size_t i = 0; i < p->n; i++)
		record_free(p->records[i]);
	free(p->records);
	free(p);
}

void page_free(struct hub *hub, struct page *p)
{
	if (p->is_kept) {
		TAILQ_REMOVE(&hub->pages_lru, p, lru);
		hub->pages_kept--;
	}
	if (p->is_kept || p->is_loading)
		HASH_DEL(hub->pages, p);
	for (size_t i = 0; i < p->n; i++)
		hub->pages_bytes -= record_size(p->records[i]);
	grave_add(&hub->grave, p, page_destroy);
}

void page_touch(struct hub *hub, struct page *p)
{
	TAILQ_REMOVE(&hub->pages_lru, p, lru);
	TAILQ_INSERT_TAIL(&hub->pages_lru, p, lru);
}

uint64_t page_begin(struct hub *hub, uint64_t cursor, enum reader_job what)
{
	uint64_t after = 0;

	for (size_t i = 0; i < SPANS_N; i++) {
		struct page *p;

		after = cursor / spans[what][i] * spans[what][i];
		p = page_find(hub, after, what);
		if (!p || p->is_loading || p->upto > cursor)
			break;
		page_touch(hub, p);
	}
	return after;
}

static uint64_t span_at(uint64_t after, enum reader_job what)
{
	size_t i = 0;

	while (i + 1 < SPANS_N && after % spans[what][i])
		i++;
	return spans[what][i];
}

struct page *page_ask(struct hub *hub, uint64_t after, enum reader_job what)
{
	struct page *p = xcalloc(1, sizeof(*p));
	uint64_t span = span_at(after, what);

	p->key.after = after;
	p->key.what = what;
	/* Not by the sum, which the last page of all ids would take past their end. */
	p->is_whole = hub->tail - after >= span;
	p->upto = p->is_whole ? after + span : hub->tail;
	p->is_loading = true;
	TAILQ_INIT(&p->waiters);
	HASH_ADD(hh, hub->pages, key, sizeof(p->key), p);
	figure_add(hub->figures, FIGURE_PAGE_READS, 1);
	page_ask_again(hub, p);
	return p;
}

void page_ask_again(struct hub *hub, struct page *p)
{
	reader_ask(hub->reader, p->key.what, p->key.after, p->upto);
}

void pages_trim(struct hub *hub)
{
	while (hub->pages_kept > PAGES_KEPT_MAX ||
		(hub->pages_kept > 1 && hub->pages_bytes > PAGES_BYTES_MAX))
		page_free(hub, TAILQ_FIRST(&hub->pages_lru));
}

void page_fill(struct hub *hub, struct page *p, struct reader_mail *m)
{
	p->is_whole = p->is_whole || m->upto < p->upto;
	p->upto = m->upto;
	p->records = m->records;
	p->n = m->n;
	p->next_id = m->next_id;
	m->records = NULL;
	m->n = 0;
	for (size_t i = 0; i < p->n; i++)
		hub->pages_bytes += record_size(p->records[i]);
}

void page_keep(struct hub *hub, struct page *p)
{
	p->is_loading = false;
	if (p->is_whole) {
		p->is_kept = true;
		TAILQ_INSERT_TAIL(&hub->pages_lru, p, lru);
		hub->pages_kept++;
	} else {
		/* The tail was within it: more will come on this page. */
		HASH_DEL(hub->pages, p);
	}
}

void pages_forget(struct hub *hub)
{
	struct page *p, *next;

	HASH_ITER (hh, hub->pages, p, next)
		page_free(hub, p);
}
