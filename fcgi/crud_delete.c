#include "crud_engine.h"

#define AUDIT_IDS_MAX 10

/* Rows on their way out. */
struct removal {
	struct ctx *ctx;
	const struct crud *c;
	struct ids ids;
	struct ids owners; /* of parts: locked */
};

static void crud_delete_note_missing(struct removal *r, uint64_t id)
{
	ctx_problem(
		r->ctx, "ids", "%s %llu does not exist", r->c->res->noun, (unsigned long long)id);
}

/* Locks the owners of all rows. Each row's owner is looked at again once the row is locked. */
static enum err lock_owners(struct removal *r)
{
	struct ids found = {0};
	enum err e = ERR_OK;
	for (size_t i = 0; i < r->ids.n && e == ERR_OK; i++)
		e = crud_ids(r->ctx, &r->c->owner_of, r->ids.v[i], &r->owners);
	ids_sort(&r->owners);
	if (e == ERR_OK)
		e = crud_lock_all(r->ctx, r->c->owner, &r->owners, &found);
	/* One may be gone between the two, and its parts with it. */
	if (e == ERR_OK && found.n < r->owners.n)
		e = ERR_DB_RETRY;
	ids_fini(&found);
	return e;
}

static enum err check_owner(struct removal *r, uint64_t id)
{
	struct ids owner = {0};
	enum err e = crud_ids(r->ctx, &r->c->owner_of, id, &owner);
	if (e == ERR_OK && (owner.n == 0 || !ids_has(&r->owners, owner.v[0])))
		e = ERR_DB_RETRY;
	ids_fini(&owner);
	return e;
}

/* ERR_NOT_FOUND, noted, if one of the rows is not there. */
static enum err lock_rows(struct removal *r)
{
	struct ids found = {0};
	enum err e = r->c->owner ? lock_owners(r) : ERR_OK;
	if (e == ERR_OK)
		e = crud_lock_all(r->ctx, r->c, &r->ids, &found);
	for (size_t i = 0; i < found.n && e == ERR_OK && r->c->owner; i++)
		e = check_owner(r, found.v[i]);
	if (e == ERR_OK && found.n < r->ids.n) {
		e = ERR_NOT_FOUND;
		for (size_t i = 0; i < r->ids.n; i++)
			if (!ids_has(&found, r->ids.v[i]))
				crud_delete_note_missing(r, r->ids.v[i]);
	}
	ids_fini(&found);
	return e;
}

/* Their parts go with the rows (ON DELETE CASCADE): the events of both. */
static enum err delete_parts(struct removal *r, uint64_t id)
{
	struct ids parts = {0};
	enum err e = ERR_OK;
	for (size_t i = 0; i < r->c->users_n && e == ERR_OK; i++) {
		const struct crud_user *u = &r->c->users[i];
		if (!(u->field->flags & FIELD_OWNER))
			continue;
		parts.n = 0;
		e = crud_ids(r->ctx, &u->rows, id, &parts);
		for (size_t j = 0; e == ERR_OK && j < parts.n; j++)
			e = crud_emit_deleted(r->ctx, u->from, parts.v[j]);
	}
	ids_fini(&parts);
	return e;
}

static enum err delete_rows(struct removal *r)
{
	enum err e = ERR_OK;
	for (size_t i = 0; i < r->ids.n && e == ERR_OK; i++) {
		const struct db_val in[] = {DBV_U(r->ctx->task.who->tenant_id), DBV_U(r->ids.v[i])};
		e = crud_emit_deleted(r->ctx, r->c, r->ids.v[i]);
		if (e == ERR_OK)
			e = delete_parts(r, r->ids.v[i]);
		if (e == ERR_OK)
			e = db_exec(r->ctx->task.db, &r->c->del, in, 2, NULL, NULL);
	}
	if (e == ERR_OK && r->c->owner)
		e = crud_touch_owners(r->ctx, r->c, &r->owners);
	return e;
}

static void crud_delete_answer(struct removal *r)
{
	struct str data = STR_INIT, audit = STR_INIT;
	str_addf(&data, "{\"deleted\":%zu,\"ids\":", r->ids.n);
	ids_json(r->ids.v, r->ids.n, &data);
	str_addc(&data, '}');
	for (size_t i = 0; i < r->ids.n && i < AUDIT_IDS_MAX; i++)
		str_addf(&audit, "%s%llu", i ? "," : "", (unsigned long long)r->ids.v[i]);
	if (r->ids.n > AUDIT_IDS_MAX)
		str_addf(&audit, " and %zu more", r->ids.n - AUDIT_IDS_MAX);
	ctx_audit(r->ctx, "%s/%s", r->c->res->name, str_c(&audit));
	ctx_ok(r->ctx, 200, &data);
	str_fini(&data);
	str_fini(&audit);
}

void crud_delete(struct ctx *ctx)
{
	struct removal r = {.ctx = ctx, .c = ctx->route->arg};
	enum err e;

	input_ids(ctx, &r.ids);
	e = ctx->problems_n ? ERR_VALIDATION : lock_rows(&r);
	if (e == ERR_OK)
		e = crud_find_uses(ctx, r.c, &r.ids);
	if (e == ERR_OK && ctx->problems_n)
		e = ERR_IN_USE;
	if (e == ERR_OK)
		e = delete_rows(&r);

	if (e == ERR_OK)
		crud_delete_answer(&r);
	else if (e == ERR_NOT_FOUND)
		ctx_fail(ctx, e, "Nothing was deleted: not all of them exist.");
	else if (e == ERR_IN_USE || e == ERR_CONFLICT || e == ERR_VALIDATION)
		ctx_fail(ctx, e, NULL);
	else
		ctx_fail_db(ctx, e, "delete");
	ids_fini(&r.ids);
	ids_fini(&r.owners);
}
