/*
 * A session as a row of ws_sessions: in memory, and the statements that write and read it. The
 * calls with a db block; whichever thread owns that.
 */
#ifndef CMDB_SAVER_ROW_H
#define CMDB_SAVER_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "db.h"
#include "secret.h"

#define SAVER_ID_SIZE SECRET_SHORT_SIZE
#define SAVER_RECORD_MAX (8u * 1024 * 1024)

/* A row of ws_sessions; its columns say more. Texts may be NULL for "". Times are wall-clock
 * milliseconds since 1970, 0 for NULL. */
struct saver_row {
	uint8_t id[SAVER_ID_SIZE]; /* secret_hash_short() of the sid */
	bool is_gone;              /* to be deleted: the rest does not count */
	bool is_over;              /* nobody may go on from the pid */
	bool has_pid;
	uint8_t pid[SAVER_ID_SIZE];
	const char *socket_id, *username, *jti, *topics, *address, *client_id;
	const char *subscription; /* JSON */
	const char *epoch;        /* what cursor_id is of; "": of none */
	uint32_t tenant_id;
	uint64_t user_id, apikey_id, cursor_id;
	int64_t token_expires_at_ms, connected_at_ms, seen_at_ms, ended_at_ms;
	struct slice record;
};

/* A copy in one piece of memory with all it points to, the texts never NULL: free() frees it. */
struct saver_row *saver_row_dup(const struct saver_row *r);
size_t saver_row_size(const struct saver_row *r); /* of that piece */

extern const struct db_set saver_row_sql;

/* Inserts, replaces or deletes (a row that another node has taken over stays). ERR_DB: the server
 * does not take it, and would not the next time. */
enum err saver_row_write(struct db *db, int64_t node_id, const struct saver_row *r)
	__attribute__((warn_unused_result));
/* The next rows of the node after the id `after` (NULL: the first), at most max, whose session has
 * not ended or ended later than that. *n of them are put into rows, the caller's. */
enum err saver_row_page(struct db *db, int64_t node_id, const uint8_t *after,
	int64_t ended_after_ms, struct saver_row **rows, size_t max, size_t *n)
	__attribute__((warn_unused_result));
/* Deletes rows of the node whose session ended before that. */
enum err saver_row_prune(struct db *db, int64_t node_id, int64_t ended_before_ms)
	__attribute__((warn_unused_result));

#endif
