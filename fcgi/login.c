#include "login.h"

#include <string.h>

#include "family.h"
#include "log.h"
#include "password.h"
#include "secret.h"
#include "throttle.h"
#include "txn.h"
#include "worker.h"

static const struct db_stmt find_user = {
	.name = "login.find_user",
	.sql = "SELECT u.id, u.username, u.password_hash, u.status = 'active'"
	       " AND t.status = 'active'"
	       " FROM users u JOIN tenants t ON t.id = u.tenant_id WHERE u.username = ?",
	.params_n = 1,
	.cols_n = 4,
};
/* Only over the hash that was checked: somebody may have set another password meanwhile. */
static const struct db_stmt renew_hash = {
	.name = "login.renew_hash",
	.sql = "UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?",
	.params_n = 3,
};
static const struct db_stmt audit = {
	.name = "login.audit",
	.sql = "INSERT INTO audit_log (tenant_id, subject, action, target, request_id, address)"
	       " SELECT tenant_id, CONCAT('user:', username), ?, ?, ?, ? FROM users WHERE id = ?",
	.params_n = 5,
};

const struct db_set login_sql = {
	.name = "login",
	.stmts = (const struct db_stmt *const[]){&find_user, &renew_hash, &audit, NULL},
};

enum err login_note(struct task *task, uint64_t user_id, const char *action, const char *target)
{
	const struct db_val in[] = {dbv_s(action), dbv_s(target), dbv_s(task->request_id),
		dbv_s(task->address), DBV_U(user_id)};

	return db_exec(task->db, &audit, in, 5, NULL, NULL);
}

/* A login at work. */
struct work {
	struct task *task;
	const struct login *in;
	struct str account; /* username in lower case: what failures are counted under */
};

struct user {
	uint64_t id; /* 0: there is none that may log in */
	char phc[SECRET_PHC_SIZE];
	char renewed[SECRET_PHC_SIZE]; /* "": phc is as the configuration wants it */
};

static enum err user_find(struct db *db, const char *username, struct user *u)
{
	const struct db_val in[] = {dbv_s(username)}, *row;
	enum err e = db_one(db, &find_user, in, 1, &row);

	*u = (struct user){0};
	/* The collation of the column passes over blanks at the end. */
	if (e != ERR_OK || !row || strcmp(dbv_text(&row[1]), username) != 0)
		return e;
	if (row[2].s.len < sizeof(u->phc))
		memcpy(u->phc, row[2].s.p, row[2].s.len + 1);
	if (dbv_i(&row[3]))
		u->id = dbv_u(&row[0]);
	return ERR_OK;
}

/* ERR_BAD_CREDENTIALS: wrong password, or nobody; that has been counted. A hash with other
 * parameters is made anew. */
static enum err user_check(struct task *task, const struct work *work, struct user *u)
{
	uint64_t passes = (uint64_t)task->cfg->auth.argon2_passes;
	uint64_t memory_kib = (uint64_t)task->cfg->auth.argon2_memory_kib;
	const struct login *in = work->in;
	bool is_right;
	enum err e = password_enter(task->cfg);

	if (e != ERR_OK)
		return e;
	/* The limit is looked at and the failure counted inside the place: of many at once, no more
	 * than there are places can have looked before another's failure counted. */
	e = throttle_check(task, str_c(&work->account));
	if (e == ERR_OK) {
		is_right = password_is_right(task->cfg, u->phc, in->password, in->password_len);
		e = is_right && u->id ? ERR_OK : ERR_BAD_CREDENTIALS;
	}
	if (e == ERR_OK && secret_password_is_stale(u->phc, passes, memory_kib) &&
		!secret_password_hash(
			u->renewed, in->password, in->password_len, passes, memory_kib))
		u->renewed[0] = '\0';
	if (e == ERR_BAD_CREDENTIALS) {
		e = throttle_failed(task, str_c(&work->account));
		if (e == ERR_OK)
			e = ERR_BAD_CREDENTIALS;
	}
	password_leave();
	return e;
}

static enum err login_finish(struct task *task, const struct work *work, const struct user *u)
{
	const struct db_val renew[] = {dbv_s(u->renewed), DBV_U(u->id), dbv_s(u->phc)};
	enum err e = db_begin(task->db);

	if (e == ERR_OK)
		e = throttle_clear(task, str_c(&work->account));
	if (e == ERR_OK && u->renewed[0])
		e = db_exec(task->db, &renew_hash, renew, 3, NULL, NULL);
	if (e == ERR_OK)
		e = work->in->grant(task, u->id, work->in->arg);
	if (e == ERR_OK)
		e = login_note(task, u->id, "auth.login", work->in->target);
	return e == ERR_OK ? txn_commit(task->db) : e;
}

static enum err step(void *arg)
{
	const struct work *work = arg;
	struct task *task = work->task;
	struct user u;
	enum err e = throttle_check(task, str_c(&work->account));

	if (e == ERR_OK)
		e = user_find(task->db, work->in->username, &u);
	if (e == ERR_OK)
		e = user_check(task, work, &u);
	if (e == ERR_OK)
		e = login_finish(task, work, &u);
	if (e == ERR_OK)
		log_info("login", "user=%llu address=%s request_id=%s", (unsigned long long)u.id,
			task->address, task->request_id);
	return e;
}

enum err login_run(struct task *task, const struct login *in)
{
	struct work work = {.task = task, .in = in};
	enum err e;

	for (const char *p = in->username; *p; p++)
		str_addc(&work.account, *p >= 'A' && *p <= 'Z' ? (char)(*p + 'a' - 'A') : *p);
	e = txn_retry(task->db, step, &work);
	if (e == ERR_BAD_CREDENTIALS || e == ERR_FORBIDDEN)
		log_warn("login_refused", "address=%s request_id=%s", task->address,
			task->request_id);
	if (e == ERR_OK)
		family_sweep(task->db);
	str_fini(&work.account);
	return e;
}
