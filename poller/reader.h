/*
 * The database work that is not following the tail: pages of old events for cursors that lie before
 * the ring, retention's floors, who the holder of a token or API key is by now (which goes before
 * all else), and noting how far this poller has come. One thread, one connection, a queue of jobs
 * in order; answers are mails to the loop.
 */
#ifndef CMDB_READER_H
#define CMDB_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "caller.h"
#include "config.h"
#include "err.h"
#include "floors.h"
#include "mailbox.h"
#include "perm.h"
#include "record.h"

/* LASTING: a page without the events of topics that are kept briefly (stream.h), but for those that
 * go to rooms: what PAGE is to who wants no such topic. A flood of logs costs him next to nothing.
 */
enum reader_job { READER_PAGE, READER_LASTING, READER_FLOORS, READER_SAVE, READER_PRINCIPAL };
#define READER_ROWS_MAX 256 /* of one page */

/* A job, and its answer. */
struct reader_mail {
	struct mail mail;
	enum reader_job job;
	char epoch[33];       /* that was when it was asked: an answer about another is void */
	uint64_t after, upto; /* PAGE, LASTING: the ids wanted, after < id <= upto; in the answer
			       * upto is less where the rows up to there are large or many enough
			       * for one. SAVE: upto is the tail */
	bool is_done;         /* false: the database did not answer; ask again */
	struct floors floors; /* PAGE, LASTING, FLOORS: read after the rows: they are complete for
			       * every cursor that is not below those of what it wants */
	uint64_t next_id;     /* PAGE, LASTING without records: the next id after upto, 0: none */
	size_t n;
	struct record **records; /* PAGE, LASTING: the opener takes them */
	/* PRINCIPAL: of whose token or API key. err, when is_done: ERR_OK with the principal, which
	 * the opener takes (and puts NULL there), or ERR_TOKEN_REVOKED, ERR_TOKEN_EXPIRED or
	 * ERR_TOKEN_INVALID without. */
	struct caller *who;
	enum err err;
	struct principal *principal;
};

struct reader;

struct reader *reader_new(
	const struct config *cfg, struct mailbox *to, void (*open_answer)(struct mail *, void *));
void reader_run(struct reader *r);
void reader_stop(struct reader *r); /* what is queued before it is done, if the database answers */
void reader_free(struct reader *r);

/* From the loop thread; none blocks. */
void reader_set_epoch(struct reader *r, const char *epoch); /* of what is asked from now on */
void reader_ask(struct reader *r, enum reader_job job, uint64_t after, uint64_t upto);
void reader_ask_principal(struct reader *r, const struct caller_view *who); /* copied */
void reader_mail_free(struct reader_mail *m); /* with its records and principal */

#endif
