/*
 * Writes sessions behind, into ws_sessions: one thread with one connection. The loop says what has
 * become of a session and goes on; the thread writes what has gathered, many rows in a transaction.
 * While the database is away rows wait, the latest of each session; how much may wait is bounded,
 * and what is above that is dropped and counted: the table is a copy to go on from elsewhere, the
 * journal is what this host goes on from.
 *
 * A live session's row has to be put again at least every few hours, with a new seen_at_ms:
 * `cmdbctl events prune` takes what nobody has seen for a day for left behind.
 */
#ifndef CMDB_SAVER_H
#define CMDB_SAVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "mailbox.h"
#include "saver_row.h"

#define SAVER_BYTES_MAX (64u * 1024 * 1024) /* that wait to be taken up by the thread */

/* The answer to saver_load(): the rows, ordered by id. */
struct saver_mail {
	struct mail mail;
	size_t n;
	struct saver_row **rows; /* as saver_row_dup() makes them */
};
void saver_mail_free(struct saver_mail *m); /* with the rows; takes NULL for one that was taken */

/* Written by the thread and saver_put(), read by any. */
struct saver_stats {
	_Atomic uint64_t written; /* rows: each upsert or deletion */
	_Atomic uint64_t dropped; /* rows above the bound, or of a record too large */
	_Atomic uint64_t refused; /* rows that the database does not take as they are */
	_Atomic uint64_t pending; /* rows that wait or are being written */
	_Atomic bool is_db_up;
};

/* Something that is asked of the table besides: work() in the thread, with e what became of the
 * connection (ERR_OK: it is there); then it is a mail to the loop. */
struct saver_question {
	struct mail mail;
	void (*work)(struct saver_question *q, struct db *db, int64_t node_id, enum err e);
};

struct saver;

/* sets: saver_row_sql and what is asked besides; they end with NULL, and are borrowed. */
struct saver *saver_new(const struct config *cfg, struct mailbox *to,
	void (*open_loaded)(struct mail *, void *), const struct db_set *const *sets);
void saver_run(struct saver *s);
/* Writes what waits, if the database answers, and joins the thread. */
void saver_stop(struct saver *s);
void saver_free(struct saver *s);
const struct saver_stats *saver_stats(const struct saver *s);

/* From the loop thread; none blocks. */
void saver_put(struct saver *s, const struct saver_row *rows, size_t n); /* copies */
/* Asks for the rows of this node whose session has not ended, or ended within the last
 * ended_within_ms. Answered by one mail, once the database has answered; rows put before may be in
 * it or not. */
void saver_load(struct saver *s, int64_t ended_within_ms);
void saver_ask(struct saver *s, struct saver_question *q); /* takes it */
/* Deletes the rows of this node whose session ended longer ago than that. */
void saver_prune(struct saver *s, int64_t ended_before_ms);

#endif
