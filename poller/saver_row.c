#include "saver_row.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define PRUNE_MAX 1000

/* Microseconds since 1970, without FROM_UNIXTIME(), which ends in 2038. */
#define TO_TIME "TIMESTAMPADD(MICROSECOND, ?, '1970-01-01')"
#define MS(column) "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', " column ") DIV 1000"

enum {
	COL_ID,
	COL_PID,
	COL_SOCKET_ID,
	COL_TENANT,
	COL_USER,
	COL_APIKEY,
	COL_USERNAME,
	COL_JTI,
	COL_CURSOR,
	COL_TOPICS,
	COL_ADDRESS,
	COL_CLIENT,
	COL_SUBSCRIPTION,
	COL_EPOCH,
	COL_OVER,
	COL_RECORD,
	COL_TOKEN_EXPIRES,
	COL_CONNECTED,
	COL_SEEN,
	COL_ENDED,
	COL_N
};
#define COLUMNS                                                                                 \
	"id, pid, socket_id, tenant_id, user_id, api_key_id, username, jti, cursor_id, topics," \
	" address, client_id, subscription, epoch, is_over, record"

static const struct db_stmt sql_put = {
	.name = "session.put",
	.sql = "INSERT INTO ws_sessions (" COLUMNS
	       ", token_expires_at, connected_at, seen_at, ended_at, node_id)"
	       " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, " TO_TIME ", " TO_TIME
	       ", " TO_TIME ", " TO_TIME ", ?)"
	       " ON DUPLICATE KEY UPDATE pid = VALUES(pid), socket_id = VALUES(socket_id),"
	       " tenant_id = VALUES(tenant_id), user_id = VALUES(user_id),"
	       " api_key_id = VALUES(api_key_id), username = VALUES(username),"
	       " jti = VALUES(jti), cursor_id = VALUES(cursor_id), topics = VALUES(topics),"
	       " address = VALUES(address), client_id = VALUES(client_id),"
	       " subscription = VALUES(subscription), epoch = VALUES(epoch),"
	       " is_over = VALUES(is_over), record = VALUES(record),"
	       " token_expires_at = VALUES(token_expires_at),"
	       " connected_at = VALUES(connected_at), seen_at = VALUES(seen_at),"
	       " ended_at = VALUES(ended_at), node_id = VALUES(node_id)",
	.params_n = COL_N + 1,
};
static const struct db_stmt sql_delete = {
	.name = "session.delete",
	.sql = "DELETE FROM ws_sessions WHERE id = ? AND node_id = ?",
	.params_n = 2,
};
static const struct db_stmt sql_page = {
	.name = "session.page",
	.sql = "SELECT " COLUMNS ", " MS("token_expires_at") ", " MS("connected_at") ", " MS(
		"seen_at") ", " MS("ended_at") " FROM ws_sessions"
					       " WHERE node_id = ? AND id > ? AND (ended_at IS "
					       "NULL OR ended_at > " TO_TIME ")"
					       " ORDER BY id LIMIT ?",
	.params_n = 4,
	.cols_n = COL_N,
};
static const struct db_stmt sql_prune = {
	.name = "session.prune",
	.sql = "DELETE FROM ws_sessions WHERE node_id = ? AND ended_at < " TO_TIME " LIMIT ?",
	.params_n = 3,
};

const struct db_set saver_row_sql = {
	.name = "sessions",
	.stmts =
		(const struct db_stmt *const[]){&sql_put, &sql_delete, &sql_page, &sql_prune, NULL},
};

/* ---- in memory ---- */

static size_t text_len(const char *text)
{
	return text ? strlen(text) : 0;
}

size_t saver_row_size(const struct saver_row *r)
{
	if (r->is_gone)
		return sizeof(*r);
	return sizeof(*r) + text_len(r->socket_id) + text_len(r->username) + text_len(r->jti) +
	       text_len(r->topics) + text_len(r->address) + text_len(r->client_id) +
	       text_len(r->subscription) + text_len(r->epoch) + 8 + r->record.len;
}

static char *copy_text(char *at, const char **text)
{
	size_t len = text_len(*text);

	if (len)
		memcpy(at, *text, len);
	at[len] = '\0';
	*text = at;
	return at + len + 1;
}

struct saver_row *saver_row_dup(const struct saver_row *r)
{
	struct saver_row *copy = xmalloc(saver_row_size(r));
	char *at = (char *)(copy + 1);

	*copy = *r;
	if (r->is_gone)
		return copy;
	at = copy_text(at, &copy->socket_id);
	at = copy_text(at, &copy->username);
	at = copy_text(at, &copy->jti);
	at = copy_text(at, &copy->topics);
	at = copy_text(at, &copy->address);
	at = copy_text(at, &copy->client_id);
	at = copy_text(at, &copy->subscription);
	at = copy_text(at, &copy->epoch);
	if (r->record.len)
		memcpy(at, r->record.p, r->record.len);
	copy->record.p = at;
	return copy;
}

/* ---- in the table ---- */

static struct db_val text_val(const char *text)
{
	return dbv_s(text ? text : "");
}

static struct db_val time_val(int64_t wall_ms)
{
	return wall_ms ? DBV_I(wall_ms * 1000) : DBV_NULL;
}

enum err saver_row_write(struct db *db, int64_t node_id, const struct saver_row *r)
{
	const struct db_val id = dbv_b(r->id, SAVER_ID_SIZE);
	const struct db_val gone[] = {id, DBV_I(node_id)};
	const struct db_val in[COL_N + 1] = {
		[COL_ID] = id,
		[COL_PID] = r->has_pid ? dbv_b(r->pid, SAVER_ID_SIZE) : DBV_NULL,
		[COL_SOCKET_ID] = text_val(r->socket_id),
		[COL_TENANT] = DBV_U(r->tenant_id),
		[COL_USER] = DBV_U(r->user_id),
		[COL_APIKEY] = DBV_U(r->apikey_id),
		[COL_USERNAME] = text_val(r->username),
		[COL_JTI] = text_len(r->jti) ? dbv_s(r->jti) : DBV_NULL,
		[COL_CURSOR] = DBV_U(r->cursor_id),
		[COL_TOPICS] = text_val(r->topics),
		[COL_ADDRESS] = text_val(r->address),
		[COL_CLIENT] = text_val(r->client_id),
		[COL_SUBSCRIPTION] = text_len(r->subscription) ? dbv_s(r->subscription) : DBV_NULL,
		[COL_EPOCH] = text_val(r->epoch),
		[COL_OVER] = DBV_U(r->is_over),
		[COL_RECORD] = dbv_b(r->record.p, r->record.len),
		[COL_TOKEN_EXPIRES] = time_val(r->token_expires_at_ms),
		[COL_CONNECTED] = time_val(r->connected_at_ms),
		[COL_SEEN] = time_val(r->seen_at_ms),
		[COL_ENDED] = time_val(r->ended_at_ms),
		[COL_N] = DBV_I(node_id),
	};

	if (r->is_gone)
		return db_exec(db, &sql_delete, gone, 2, NULL, NULL);
	return db_exec(db, &sql_put, in, COL_N + 1, NULL, NULL);
}

static struct saver_row *read_row(const struct db_val *row)
{
	struct saver_row r = {
		.has_pid = row[COL_PID].type != DB_NULL,
		.socket_id = dbv_text(&row[COL_SOCKET_ID]),
		.tenant_id = (uint32_t)dbv_u(&row[COL_TENANT]),
		.user_id = dbv_u(&row[COL_USER]),
		.apikey_id = dbv_u(&row[COL_APIKEY]),
		.username = dbv_text(&row[COL_USERNAME]),
		.jti = dbv_text(&row[COL_JTI]),
		.cursor_id = dbv_u(&row[COL_CURSOR]),
		.topics = dbv_text(&row[COL_TOPICS]),
		.address = dbv_text(&row[COL_ADDRESS]),
		.client_id = dbv_text(&row[COL_CLIENT]),
		.subscription = dbv_text(&row[COL_SUBSCRIPTION]),
		.epoch = dbv_text(&row[COL_EPOCH]),
		.is_over = dbv_u(&row[COL_OVER]) != 0,
		.record = {row[COL_RECORD].s.p, row[COL_RECORD].s.len},
		.token_expires_at_ms = dbv_i(&row[COL_TOKEN_EXPIRES]),
		.connected_at_ms = dbv_i(&row[COL_CONNECTED]),
		.seen_at_ms = dbv_i(&row[COL_SEEN]),
		.ended_at_ms = dbv_i(&row[COL_ENDED]),
	};

	memcpy(r.id, row[COL_ID].s.p, SAVER_ID_SIZE);
	if (r.has_pid)
		memcpy(r.pid, row[COL_PID].s.p, SAVER_ID_SIZE);
	return saver_row_dup(&r);
}

enum err saver_row_page(struct db *db, int64_t node_id, const uint8_t *after,
	int64_t ended_after_ms, struct saver_row **rows, size_t max, size_t *n)
{
	static const uint8_t least[SAVER_ID_SIZE];
	const struct db_val in[] = {DBV_I(node_id), dbv_b(after ? after : least, SAVER_ID_SIZE),
		time_val(ended_after_ms), DBV_U(max)};
	const struct db_val *row;
	enum err e = db_query(db, &sql_page, in, 4);

	*n = 0;
	if (e != ERR_OK)
		return e;
	while ((row = db_fetch(db)))
		rows[(*n)++] = read_row(row);
	db_done(db);
	return ERR_OK;
}

enum err saver_row_prune(struct db *db, int64_t node_id, int64_t ended_before_ms)
{
	const struct db_val in[] = {DBV_I(node_id), time_val(ended_before_ms), DBV_U(PRUNE_MAX)};
	uint64_t n = PRUNE_MAX;
	enum err e = ERR_OK;

	while (e == ERR_OK && n == PRUNE_MAX)
		e = db_exec(db, &sql_prune, in, 3, &n, NULL);
	return e;
}
