#include "token.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "event.h"
#include "mem.h"
#include "people.h"
#include "rows.h"
#include "secret.h"

#define TTL_MAX_S (366 * 86400)
#define TOKEN_MAX 8192
#define JTI_LEN 32

static const struct db_stmt get_user = {
	.name = "token.user",
	.sql = "SELECT u.username, u.display_name, u.tenant_id, t.name,"
	       " u.status = 'active' AND t.status = 'active'"
	       " FROM users u JOIN tenants t ON t.id = u.tenant_id WHERE u.id = ?",
	.params_n = 1,
	.cols_n = 5,
};
static const struct db_stmt get_roles = {
	.name = "token.roles",
	.sql = "SELECT r.name FROM user_roles ur JOIN roles r ON r.id = ur.role_id"
	       " WHERE ur.user_id = ? ORDER BY r.name LIMIT 1000",
	.params_n = 1,
	.cols_n = 1,
};
static const struct db_stmt get_departments = {
	.name = "token.departments",
	.sql = "SELECT d.name FROM user_departments ud "
	       " JOIN departments d ON d.id = ud.department_id"
	       " WHERE ud.user_id = ? ORDER BY d.name LIMIT 1000",
	.params_n = 1,
	.cols_n = 1,
};
static const struct db_stmt get_revoked = {
	.name = "token.revoked",
	.sql = "SELECT COUNT(*) FROM revoked_tokens WHERE jti = ?",
	.params_n = 1,
	.cols_n = 1,
};
static const struct db_stmt revoke_jti = {
	.name = "token.revoke",
	.sql = "INSERT INTO revoked_tokens (jti, expires_at)"
	       " VALUES (?, TIMESTAMP('1970-01-01') + INTERVAL ? SECOND)" /* goes past 2038 */
	       " ON DUPLICATE KEY UPDATE expires_at = GREATEST(expires_at, VALUES(expires_at))",
	.params_n = 2,
};
static const struct db_set sql = {
	.name = "cmd_token",
	.stmts = (const struct db_stmt *const[]){&get_user, &get_roles, &get_departments,
		&get_revoked, &revoke_jti, NULL},
	.is_lazy = true,
};
static const struct db_set *const sets[] = {&sql, &change_sql, &people_sql, &event_sql, NULL};

static struct token_key *load_key(const struct call *call)
{
	struct str why = STR_INIT;
	struct token_key *k = token_key_load(call->cfg, &why);

	if (!k)
		cmd_fail(CTL_FAILED, "%s", str_c(&why));
	str_fini(&why);
	return k;
}

/* The first argument, or for "-" the first line of standard input: what is on the command line
 * shows in the list of processes. */
static char *token_text(const struct call *call)
{
	char line[TOKEN_MAX + 2];

	if (strcmp(call->args.v[0], "-"))
		return xstrdup(call->args.v[0]);
	if (!fgets(line, sizeof(line), stdin)) {
		cmd_fail(CTL_USAGE, "no token on standard input");
		return NULL;
	}
	line[strcspn(line, "\r\n")] = '\0';
	return xstrdup(line);
}

/* ---- issue ---- */

static enum err get_names(
	struct db *db, const struct db_stmt *st, uint64_t user_id, struct strlist *out)
{
	struct db_val in[1] = {DBV_U(user_id)};
	const struct db_val *row;
	enum err e = db_query(db, st, in, 1);

	while (e == ERR_OK && (row = db_fetch(db)))
		strlist_add(out, row[0].s.p, row[0].s.len);
	db_done(db);
	return e;
}

static enum err get_principal(struct change *ch, uint64_t id, struct principal *p)
{
	struct db_val in[1] = {DBV_U(id)};
	const struct db_val *row;
	enum err e = db_one(ch->db, &get_user, in, 1, &row);

	if (e != ERR_OK)
		return e;
	if (!row || !dbv_u(&row[4]))
		return change_problem(ch, ERR_CONFLICT, "the user %s, or its tenant, is disabled",
			ch->call->args.v[0]);
	p->user_id = id;
	p->username = xstrdup(dbv_text(&row[0]));
	p->display_name = xstrdup(dbv_text(&row[1]));
	p->tenant_id = (uint32_t)dbv_u(&row[2]);
	p->tenant = xstrdup(dbv_text(&row[3]));
	if ((e = get_names(ch->db, &get_roles, id, &p->roles)))
		return e;
	return get_names(ch->db, &get_departments, id, &p->departments);
}

static enum err issue(struct change *ch)
{
	int64_t now_s = clock_wall_ms() / 1000;
	int64_t ttl_s = opt_number(ch->call, "ttl", ch->call->cfg->auth.access_ttl_s);
	const char *name = ch->call->args.v[0];
	struct principal *p = principal_new();
	struct str token = STR_INIT;
	struct person who;
	enum err e;

	p->jti = xmalloc(JTI_LEN + 1);
	secret_random_hex(p->jti, JTI_LEN / 2);
	if ((e = people_user(ch, name, &who)) || (e = get_principal(ch, who.id, p)))
		goto out;
	e = token_issue(ch->arg, p, now_s, ttl_s, &token);
	if (e != ERR_OK) {
		change_problem(ch, e,
			"signing failed: does this machine have the private key, auth.key_file?");
		goto out;
	}
	ch->result = rows_object("access_token:s jti:s expires_in:u",
		(const struct db_val[]){dbv_s(str_c(&token)), dbv_s(p->jti), DBV_I(ttl_s)}, 3);
	str_addf(&ch->target, "%s ", p->jti);
	e = change_did(ch, who.tenant_id, "token.issue", name, "%s", str_c(&token));
out:
	secret_wipe(token.p, token.len);
	str_fini(&token);
	principal_unref(p);
	return e;
}

static enum ctl_exit cmd_issue(struct call *call)
{
	struct token_key *key = load_key(call);
	enum ctl_exit status = key ? change_run(call, sets, issue, key) : CTL_FAILED;

	token_key_free(key);
	return status;
}

/* ---- check ---- */

static void add_time(struct json_object *o, const char *name, int64_t at_s)
{
	char text[CLOCK_RFC3339_SIZE];

	clock_rfc3339(at_s * 1000, text);
	json_object_object_add(o, name, json_object_new_string(text));
}

/* Why a token with good claims is not taken all the same; NULL: it is. */
static enum err look_up(
	struct db *db, const struct token_claims *c, struct json_object *o, const char **reason)
{
	struct db_val jti[1] = {dbv_s(c->jti)}, id[1] = {DBV_U(c->user_id)};
	const struct db_val *row;
	enum err e = db_one(db, &get_revoked, jti, 1, &row);

	if (e != ERR_OK)
		return e;
	if (row && dbv_u(&row[0]))
		*reason = "it was revoked";
	if ((e = db_one(db, &get_user, id, 1, &row)))
		return e;
	if (!row)
		*reason = "its user is gone";
	else if (!dbv_u(&row[4]))
		*reason = "its user or tenant is disabled";
	else if (dbv_u(&row[2]) != c->tenant_id)
		*reason = "its user belongs to another tenant now";
	if (row)
		json_object_object_add(o, "username", json_object_new_string(dbv_text(&row[0])));
	return ERR_OK;
}

static enum ctl_exit cmd_token_check(
	struct call *call, const struct token_key *key, const char *token)
{
	struct json_object *o = json_object_new_object();
	const char *reason = NULL;
	struct token_claims c;
	enum ctl_exit status = CTL_OK;
	enum err e = token_verify(key, token, strlen(token), clock_wall_ms() / 1000, &c);

	if (e != ERR_OK) {
		reason = err_text(e);
	} else {
		if ((status = cmd_db(call, sets)) != CTL_OK)
			goto out;
		json_object_object_add(o, "user_id", json_object_new_uint64(c.user_id));
		e = look_up(call->db, &c, o, &reason);
		if (e != ERR_OK) {
			status = cmd_fail_db(call, e, "cannot look the token up");
			goto out;
		}
		json_object_object_add(o, "tenant_id", json_object_new_uint64(c.tenant_id));
		json_object_object_add(o, "jti", json_object_new_string(c.jti));
		add_time(o, "issued_at", c.iat_s);
		add_time(o, "expires_at", c.exp_s);
	}
	json_object_object_add(o, "valid", json_object_new_boolean(!reason));
	if (reason)
		json_object_object_add(o, "reason", json_object_new_string(reason));
	rows_print_one(call, o);
	status = reason ? CTL_FAILED : CTL_OK;
out:
	json_object_put(o);
	return status;
}

static enum ctl_exit cmd_check(struct call *call)
{
	struct token_key *key = load_key(call);
	char *token = key ? token_text(call) : NULL;
	enum ctl_exit status = key ? CTL_USAGE : CTL_FAILED;

	if (token)
		status = cmd_token_check(call, key, token);
	free(token);
	token_key_free(key);
	return status;
}

/* ---- revoke ---- */

struct revocation {
	char jti[JTI_LEN + 1];
	int64_t expires_at_s;
};

static enum err cmd_token_revoke(struct change *ch)
{
	const struct revocation *r = ch->arg;
	struct db_val in[2] = {dbv_s(r->jti), DBV_I(r->expires_at_s)};
	enum err e = db_exec(ch->db, &revoke_jti, in, 2, NULL, NULL);

	if (e != ERR_OK)
		return e;
	change_tell_token(ch, r->jti);
	return change_did(ch, 1, "token.revoke", r->jti, "token %s revoked", r->jti);
}

static bool is_jti(const char *text)
{
	return strlen(text) == JTI_LEN && strspn(text, "0123456789abcdef") == JTI_LEN;
}

/* Of a bare jti the end of life is not known: the row stays as long as any token may live. */
static enum ctl_exit what_to_revoke(struct call *call, const char *text, struct revocation *r)
{
	struct token_claims c;
	struct token_key *key;
	enum err e;

	if (is_jti(text)) {
		memcpy(r->jti, text, JTI_LEN + 1);
		r->expires_at_s = clock_wall_ms() / 1000 + TTL_MAX_S;
		return CTL_OK;
	}
	key = load_key(call);
	if (!key)
		return CTL_FAILED;
	e = token_verify(key, text, strlen(text), clock_wall_ms() / 1000, &c);
	token_key_free(key);
	if (e == ERR_TOKEN_EXPIRED)
		return cmd_fail(CTL_FAILED, "the token has expired: there is nothing to revoke");
	if (e != ERR_OK)
		return cmd_fail(CTL_USAGE,
			"this is neither a token of this installation nor a jti of 32 hex digits");
	memcpy(r->jti, c.jti, sizeof(r->jti));
	/* Servers take it for so long after its end. */
	r->expires_at_s = c.exp_s + call->cfg->auth.leeway_s;
	return CTL_OK;
}

static enum ctl_exit cmd_revoke(struct call *call)
{
	char *text = token_text(call);
	struct revocation r;
	enum ctl_exit status = text ? what_to_revoke(call, text, &r) : CTL_USAGE;

	if (status == CTL_OK)
		status = change_run(call, sets, cmd_token_revoke, &r);
	free(text);
	return status;
}

static const struct opt issue_opts[] = {
	{"ttl", OPT_NUMBER, "SECONDS", "how long it is good for (auth.access_ttl_s)", 1, TTL_MAX_S},
	{0},
};

const struct cmd cmd_token = {
	"token",
	"access tokens",
	(const struct verb[]){
		{"issue", "USER", 1, 1, issue_opts, cmd_issue, "sign a token for a user", false},
		{"check", "TOKEN|-", 1, 1, NULL, cmd_check, "is it good, and whose is it", false},
		{"revoke", "TOKEN|JTI|-", 1, 1, NULL, cmd_revoke, "end it before its time", false},
		{0},
	},
};
