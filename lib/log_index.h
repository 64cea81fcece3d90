/*
 * The index by which keywords are found among many lines of logs: which blocks of lines cannot have
 * what is wanted. This is its arithmetic alone; cmdb-poller makes the index behind the lines
 * (poller/indexer.h), cmdb-fcgi asks it (fcgi/log_candidates.h). It costs who posts lines nothing.
 *
 * A block is the lines of LOG_BLOCK_IDS consecutive ids. Its signature has LOG_BITS bits. A line
 * sets one for each gram, that is each run of 3 and of 5 bytes, of its folded message, and one for
 * each of its tokens: tenant, device, level, tags. Whoever looks for a keyword needs only look at
 * blocks that have the bits of all its grams. By 5 bytes numbers and ids are told apart, of whose
 * runs of 3 every block has all; by 3 words.
 *
 * LOG_BLOCKS blocks are a superblock, whose signatures are stored turned by 90 degrees: of each bit
 * a bitmap, which blocks have it. LOG_PAGE_BITS bitmaps are a page, a row of the database. So one
 * small row for each bit says what there is among a quarter of a million lines.
 *
 * Signatures and questions are made of the same digest and the same filter (log_filter.h) as what
 * matches, so a line that matches is never in a block that is left out. LOG_INDEX_VERSION is to be
 * raised with whatever changes a bit: stored signatures of another version are made anew.
 *
 * Any thread; pure.
 */
#ifndef CMDB_LOG_INDEX_H
#define CMDB_LOG_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"

#define LOG_INDEX_VERSION 1
#define LOG_BLOCK_IDS 512
#define LOG_BITS 131072
#define LOG_SIGNATURE_SIZE (LOG_BITS / 8)
#define LOG_BLOCKS 512 /* of a superblock */
#define LOG_BITMAP_SIZE (LOG_BLOCKS / 8)
#define LOG_PAGE_BITS 64
#define LOG_PAGES (LOG_BITS / LOG_PAGE_BITS) /* of a superblock */
#define LOG_PAGE_SIZE (LOG_PAGE_BITS * LOG_BITMAP_SIZE)
#define LOG_SUPER_SIZE ((size_t)LOG_PAGES * LOG_PAGE_SIZE)

/* In SQL, of the row of log_index: is it of the lines there are? Not so if the log was replaced, as
 * by TRUNCATE or out of a backup, nor if the last line that is in it has been removed. */
#define LOG_INDEX_HOLDS                                                      \
	"(last_id = 0 OR EXISTS (SELECT 1 FROM logs WHERE id = last_id AND " \
	"TIMESTAMPDIFF(MICROSECOND, '1970-01-01', received_at) DIV 1000 = last_ms))"

/* ---- making it ---- */

/* Sets the bits of a line, of which log_filter_digest() made digest. */
void log_index_add(uint8_t *signature, uint32_t tenant_id, struct slice digest);
/* Puts the signature of the superblock's nth block into its pages, LOG_SUPER_SIZE bytes, one behind
 * the other. */
void log_index_turn(uint8_t *pages, unsigned nth, const uint8_t *signature);

/* ---- asking it ---- */

/* What a filter needs of a block. */
struct log_ask;
struct log_ask *log_ask_new(uint32_t tenant_id, struct slice filter);
void log_ask_free(struct log_ask *a); /* takes NULL */
/* Can lines of this block be wanted? */
bool log_ask_signature(const struct log_ask *a, const uint8_t *signature);
/* The pages that it needs, in order, each once. */
const uint16_t *log_ask_pages(const struct log_ask *a, size_t *n);
/* Which blocks of a superblock can have lines that are wanted: out has LOG_BITMAP_SIZE bytes. pages
 * has LOG_PAGE_SIZE bytes for each of those that it needs, in their order. */
void log_ask_super(const struct log_ask *a, const uint8_t *pages, uint8_t *out);

static inline bool log_bit(const uint8_t *bits, unsigned nth)
{
	return bits[nth / 8] >> nth % 8 & 1;
}

#endif
