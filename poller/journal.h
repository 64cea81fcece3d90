/*
 * An append-only file of records that outlives the process: what was flushed is there again after
 * kill -9 (it is in the kernel by then), not after a power cut (nothing waits for the disk). The
 * loop thread's; a flush blocks as long as write(2) into the page cache takes, a rewrite as long as
 * writing all of it.
 *
 *     header: 8 bytes magic | u32 version | u32 n, n bytes epoch | u64 checksum of all that
 *     batch:  u32 length of what follows the checksum, > 0 | u64 checksum of it | records
 *     record: u32 length | bytes
 *
 * Integers are little-endian, checksums SipHash-2-4 (libsodium's crypto_shorthash) under a fixed
 * key: against damage, not against forgers, whom the file's owner and mode keep away.
 *
 * One that cannot be read is set aside, as <path>.bad, for whoever wants to know why, and a new one
 * is begun. So is one whose reading nobody survives: each process that opens it says so beside it,
 * in <path>.tries, until it has come over that (journal_settled()); after JOURNAL_TRIES that
 * did not, it is taken for bad.
 *
 * Invariant: the file is a header and whole batches, in the order they were flushed; behind them
 * may be the torn rest of a flush that did not end, which nobody reads. A process holds a lock on
 * the file it has open.
 */
#ifndef CMDB_JOURNAL_H
#define CMDB_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

#define JOURNAL_VERSION 4u /* of this layout and of what the records say */
#define JOURNAL_TRIES 5
#define JOURNAL_BUFFER_MAX (16u * 1024 * 1024) /* bytes not yet written, about */

struct journal;

/* Opens path, or makes it with mode 0600, and calls replay for every record of every whole batch;
 * what follows the last of them is cut off. A journal of another epoch or version is emptied. One
 * that is none, or that JOURNAL_TRIES processes did not survive, is set aside. note
 * gets one sentence on what was found, for the log. NULL with the reason in note: it is a symbolic
 * link, no plain file, of another owner, writable by others, open in another process, or the
 * system said no. rewrite_size: see journal_wants_rewrite(). */
struct journal *journal_open(const char *path, const char *epoch, size_t rewrite_size,
	void (*replay)(const void *rec, size_t len, void *arg), void *arg, struct str *note);
/* Was there one that had to be set aside? */
bool journal_was_bad(const struct journal *j);
/* What was in it can be lived with. */
void journal_settled(struct journal *j);
/* Flushes; takes NULL. The file stays. */
void journal_close(struct journal *j);

/* Buffers a record; no system call (but for one of JOURNAL_BUFFER_MAX bytes in wait). */
void journal_add(struct journal *j, const void *rec, size_t len);
/* Writes what is buffered as one batch, so that it is replayed whole or not at all; with nothing
 * buffered it costs nothing. false: it is not written (the disk is full, ...) and stays buffered, a
 * later flush tries again. The log has a line when that begins and when it ends. */
bool journal_flush(struct journal *j);
/* Records had to be dropped because flushes failed for too long: nothing is taken any more until a
 * rewrite succeeds. */
bool journal_is_broken(const struct journal *j);

/* Looks whether the file is there still, with all that was written: if somebody removed it or cut
 * it off, it is broken. */
void journal_check(struct journal *j);

size_t journal_size(const struct journal *j); /* bytes in the file */
/* Is it time to begin anew: the file has more than rewrite_size bytes and more than twice what the
 * last rewrite left, or it is broken. After a rewrite that failed, not before a second is over. */
bool journal_wants_rewrite(const struct journal *j);
/* What is written from the next rewrite on is of this epoch; until it succeeds, nothing is. */
void journal_set_epoch(struct journal *j, const char *epoch);
/* Replaces the file by what dump adds with journal_add(), which has to be all that counts, what is
 * still buffered included. Written beside it as <path>.new and renamed, so that whoever is killed
 * leaves the old one or the new one. false: the old one is in use as before. */
bool journal_rewrite(struct journal *j, void (*dump)(struct journal *j, void *arg), void *arg);

#endif
