#include "throttle.h"

#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "txn.h"

#define SUBJECT_SIZE (INET6_ADDRSTRLEN + 4)

static const struct db_stmt select_wait = {
	.name = "throttle.wait",
	.sql = "SELECT MAX((TIMESTAMPDIFF(MICROSECOND, NOW(3), window_ends) + 999999) DIV 1000000)"
	       " FROM auth_failures WHERE window_ends > NOW(3)"
	       " AND ((kind = 'account' AND subject = ? AND failures >= ?)"
	       " OR (kind = 'address' AND subject = ? AND failures >= ?))",
	.params_n = 4,
	.cols_n = 1,
};
/* Assignments are evaluated from left to right: failures still sees the old window. */
static const struct db_stmt count_one = {
	.name = "throttle.count",
	.sql = "INSERT INTO auth_failures (kind, subject, window_ends, failures)"
	       " VALUES (?, ?, NOW(3) + INTERVAL ? SECOND, 1) ON DUPLICATE KEY UPDATE"
	       " failures = IF(window_ends <= NOW(3), 1, failures + 1),"
	       " window_ends = IF(window_ends <= NOW(3), VALUES(window_ends), window_ends)",
	.params_n = 3,
};
static const struct db_stmt clear_account = {
	.name = "throttle.clear",
	.sql = "DELETE FROM auth_failures WHERE kind = 'account' AND subject = ?",
	.params_n = 1,
};
/* More rows than a failure adds, so the table stays as small as its windows are. */
static const struct db_stmt sweep = {
	.name = "throttle.sweep",
	.sql = "DELETE FROM auth_failures WHERE window_ends < NOW(3) - INTERVAL 1 MINUTE"
	       " ORDER BY window_ends LIMIT 8",
};

const struct db_set throttle_sql = {
	.name = "throttle",
	.stmts = (const struct db_stmt *const[]){&select_wait, &count_one, &clear_account, &sweep,
		NULL},
};

/* The text an address is counted under. */
static void address_subject(const char *remote_addr, char out[SUBJECT_SIZE])
{
	struct in6_addr six;
	struct in_addr four;

	out[0] = '\0';
	if (inet_pton(AF_INET, remote_addr, &four) == 1) {
		inet_ntop(AF_INET, &four, out, SUBJECT_SIZE);
	} else if (inet_pton(AF_INET6, remote_addr, &six) == 1) {
		if (IN6_IS_ADDR_V4MAPPED(&six)) {
			inet_ntop(AF_INET, &six.s6_addr[12], out, SUBJECT_SIZE);
			return;
		}
		memset(&six.s6_addr[8], 0, 8);
		inet_ntop(AF_INET6, &six, out, SUBJECT_SIZE);
		memcpy(out + strlen(out), "/64", 4);
	}
}

static enum err check(struct task *task, const char *account, const char *address)
{
	const struct db_val in[] = {dbv_s(account), DBV_I(task->cfg->auth.login_failures),
		dbv_s(address), DBV_I(task->cfg->auth.address_failures)};
	const struct db_val *row;
	enum err e = db_one(task->db, &select_wait, in, 4, &row);

	if (e != ERR_OK)
		return e;
	if (!row || row[0].type == DB_NULL)
		return ERR_OK;
	task->retry_s = dbv_i(&row[0]);
	return ERR_RATE_LIMITED;
}

struct failure {
	struct db *db;
	struct db_val in[3]; /* kind, subject, window */
};

static enum err count_once(void *arg)
{
	const struct failure *f = arg;

	return db_exec(f->db, &count_one, f->in, 3, NULL, NULL);
}

/* Outside any transaction: a failure counts whatever becomes of the request. */
static enum err count(struct task *task, const char *kind, const char *subject)
{
	struct failure f = {
		task->db, {dbv_s(kind), dbv_s(subject), DBV_I(task->cfg->auth.login_window_s)}};
	enum err e;

	if (!*subject)
		return ERR_OK;
	e = txn_retry(task->db, count_once, &f);
	if (e == ERR_OK && db_exec(task->db, &sweep, NULL, 0, NULL, NULL) == ERR_DB_LOST)
		e = ERR_DB_LOST;
	return e;
}

enum err throttle_check(struct task *task, const char *account)
{
	char address[SUBJECT_SIZE];

	address_subject(task->address, address);
	return check(task, account, address);
}

enum err throttle_failed(struct task *task, const char *account)
{
	char address[SUBJECT_SIZE];
	enum err e = count(task, "account", account);

	address_subject(task->address, address);
	return e == ERR_OK ? count(task, "address", address) : e;
}

enum err throttle_clear(struct task *task, const char *account)
{
	const struct db_val in[] = {dbv_s(account)};

	return db_exec(task->db, &clear_account, in, 1, NULL, NULL);
}

enum err throttle_bad_token(struct task *task)
{
	char address[SUBJECT_SIZE];
	enum err e;

	address_subject(task->address, address);
	e = check(task, "", address);
	return e == ERR_OK ? count(task, "address", address) : e;
}
