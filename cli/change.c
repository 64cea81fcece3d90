#include "change.h"

#include <assert.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "event.h"
#include "poller.h"
#include "rows.h"
#include "txn.h"

static const struct db_stmt lock_roles = {
	.name = "change.lock",
	.sql = "SELECT COUNT(*) FROM roles FOR UPDATE",
	.cols_n = 1,
};
static const struct db_stmt count_admins = {
	.name = "change.admins",
	.sql = "SELECT COUNT(DISTINCT u.id) FROM users u"
	       " JOIN tenants t ON t.id = u.tenant_id AND t.status = 'active'"
	       " JOIN user_roles ur ON ur.user_id = u.id"
	       " JOIN role_permissions p ON p.role_id = ur.role_id AND p.permission = '*'"
	       " WHERE u.status = 'active'",
	.cols_n = 1,
};
static const struct db_stmt audit = {
	.name = "change.audit",
	.sql = "INSERT INTO audit_log (tenant_id, subject, action, target, address)"
	       " VALUES (?, ?, ?, LEFT(?, 255), 'local')",
	.params_n = 4,
};
/* Whom it concerns: the parameters are "revoke" or "changed", and an id. */
#define TELL                                                            \
	"INSERT INTO ws_events (topic, event_type, payload, tenant_id)" \
	" SELECT '" EVENT_TOPIC_AUTH "', 'update', "
static const struct db_stmt tell[] = {
	[CHANGE_USER] = {.name = "change.tell_user",
		.sql = TELL "JSON_OBJECT(?, 'user', 'user_id', ?), 0",
		.params_n = 2},
	[CHANGE_ROLE] = {.name = "change.tell_role",
		.sql = TELL "JSON_OBJECT(?, 'user', 'user_id', user_id), 0"
			    " FROM user_roles WHERE role_id = ?",
		.params_n = 2},
	[CHANGE_TENANT_USERS] = {.name = "change.tell_tenant_users",
		.sql = TELL "JSON_OBJECT(?, 'user', 'user_id', id), 0"
			    " FROM users WHERE tenant_id = ?",
		.params_n = 2},
	[CHANGE_TENANT_KEYS] = {.name = "change.tell_tenant_keys",
		.sql = TELL "JSON_OBJECT(?, 'apikey', 'apikey_id', id), 0"
			    " FROM api_keys WHERE tenant_id = ? AND status = 'active'",
		.params_n = 2},
	[CHANGE_KEY] = {.name = "change.tell_key",
		.sql = TELL "JSON_OBJECT(?, 'apikey', 'apikey_id', ?), 0",
		.params_n = 2},
	[CHANGE_TOKEN] = {.name = "change.tell_token",
		.sql = TELL "JSON_OBJECT(?, 'jti', 'jti', ?), 0",
		.params_n = 2},
};
const struct db_set change_sql = {
	.name = "change",
	.stmts = (const struct db_stmt *const[]){&lock_roles, &count_admins, &audit,
		&tell[CHANGE_USER], &tell[CHANGE_ROLE], &tell[CHANGE_TENANT_USERS],
		&tell[CHANGE_TENANT_KEYS], &tell[CHANGE_KEY], &tell[CHANGE_TOKEN], NULL},
	.is_lazy = true,
};

static void subject_of_os_user(struct str *out)
{
	const struct passwd *pw = getpwuid(getuid());

	if (pw)
		str_addf(out, "cmdbctl:%.64s", pw->pw_name);
	else
		str_addf(out, "cmdbctl:%lu", (unsigned long)getuid());
}

enum err change_problem(struct change *ch, enum err e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	str_addv(&ch->problem, fmt, ap);
	va_end(ap);
	return e;
}

enum err change_did(struct change *ch, uint32_t tenant_id, const char *action, const char *target,
	const char *fmt, ...)
{
	va_list ap;

	ch->tenant_id = tenant_id;
	ch->action = action;
	str_adds(&ch->target, target);
	va_start(ap, fmt);
	str_addv(&ch->done, fmt, ap);
	va_end(ap);
	return ERR_OK;
}

static void change_note(struct change *ch, enum change_whom whom, bool is_more, struct db_val id)
{
	assert(ch->told_n < CHANGE_TOLD_MAX);
	ch->told[ch->told_n++] = (struct change_told){whom, is_more, id};
}

void change_tell(struct change *ch, enum change_whom whom, uint64_t id)
{
	change_note(ch, whom, false, DBV_U(id));
}

void change_tell_more(struct change *ch, enum change_whom whom, uint64_t id)
{
	change_note(ch, whom, true, DBV_U(id));
}

void change_tell_token(struct change *ch, const char *jti)
{
	change_note(ch, CHANGE_TOKEN, false, dbv_s(jti));
}

static enum err tell_all(struct change *ch)
{
	enum err e = ERR_OK;

	for (size_t i = 0; i < ch->told_n && e == ERR_OK; i++) {
		const struct change_told *t = &ch->told[i];
		const struct db_val in[] = {dbv_s(t->is_more ? "changed" : "revoke"), t->id};

		e = db_exec(ch->db, &tell[t->whom], in, 2, NULL, NULL);
	}
	return e;
}

static enum err admins(struct db *db, uint64_t *n)
{
	const struct db_val *row;
	enum err e = db_one(db, &count_admins, NULL, 0, &row);

	if (e == ERR_OK)
		*n = row ? dbv_u(&row[0]) : 0;
	return e;
}

enum err change_audit(struct db *db, uint32_t tenant_id, const char *action, const char *target)
{
	struct str subject = STR_INIT;
	struct db_val in[4];
	enum err e;

	subject_of_os_user(&subject);
	in[0] = DBV_U(tenant_id);
	in[1] = dbv_s(str_c(&subject));
	in[2] = dbv_s(action);
	in[3] = dbv_s(target);
	e = db_exec(db, &audit, in, 4, NULL, NULL);
	str_fini(&subject);
	return e;
}

/* Everything between BEGIN and COMMIT. The events come last: their ids are waited for by others. */
static enum err work(struct change *ch, change_step step)
{
	const struct db_val *row;
	uint64_t before = 0, after = 0;
	enum err e;

	if ((e = db_one(ch->db, &lock_roles, NULL, 0, &row)) || (e = admins(ch->db, &before)) ||
		(e = step(ch)) || (e = admins(ch->db, &after)))
		return e;
	if (before > 0 && after == 0)
		return change_problem(ch, ERR_CONFLICT,
			"nobody would be left who may do everything: give another active user "
			"the role admin first");
	if (ch->action && (e = change_audit(ch->db, ch->tenant_id, ch->action, str_c(&ch->target))))
		return e;
	return tell_all(ch);
}

static void empty(struct change *ch)
{
	str_fini(&ch->target);
	str_fini(&ch->done);
	str_fini(&ch->problem);
	json_object_put(ch->result);
	*ch = (struct change){.call = ch->call, .db = ch->db, .arg = ch->arg};
}

struct transaction {
	struct change *ch;
	change_step step;
};

static enum err transact(void *arg)
{
	const struct transaction *t = arg;
	struct change *ch = t->ch;
	enum err e;

	empty(ch);
	e = db_begin(ch->db);
	if (e == ERR_OK)
		e = work(ch, t->step);
	return e == ERR_OK ? txn_commit(ch->db) : e;
}

static void change_print(struct change *ch)
{
	if (!ch->result)
		ch->result = rows_object("action:s target:s",
			(const struct db_val[]){dbv_s(ch->action), dbv_s(str_c(&ch->target))}, 2);
	rows_print_done(ch->call, ch->result, "%s", str_c(&ch->done));
}

enum ctl_exit change_run(
	struct call *call, const struct db_set *const *sets, change_step step, const void *arg)
{
	struct change ch = {.call = call, .arg = arg};
	enum ctl_exit status = cmd_db(call, sets);
	enum err e;

	if (status != CTL_OK)
		return status;
	ch.db = call->db;
	e = txn_retry(ch.db, transact, &(struct transaction){&ch, step});
	if (e == ERR_OK) {
		poller_ring(call->cfg->poller.socket);
		change_print(&ch);
	} else {
		status = ch.problem.len ? cmd_fail(cmd_exit_of(e), "%s", str_c(&ch.problem))
					: cmd_fail_db(call, e,
						  e == ERR_UNAVAILABLE
							  ? "the connection was lost while the "
							    "change was committed, so it is not "
							    "known whether it was made"
							  : "nothing was changed");
	}
	empty(&ch);
	return status;
}
