#include "crud.h"

#include <assert.h>
#include <string.h>

#include "crud_engine.h"
#include "mem.h"

static struct crud *look_up(const struct crud_set *set, const char *name)
{
	for (size_t i = 0; i < set->n; i++)
		if (strcmp(set->v[i].res->name, name) == 0)
			return &set->v[i];
	return NULL;
}

/* One that a descriptor names. */
static struct crud *find_crud(const struct crud_set *set, const char *name)
{
	struct crud *c = look_up(set, name);
	assert(c);
	return c;
}

static const struct field *crud_find_field(const struct resource *res, const char *name)
{
	for (size_t i = 0; i < res->fields_n; i++)
		if (strcmp(res->fields[i].name, name) == 0)
			return &res->fields[i];
	return NULL;
}

static void add_user(struct crud *to, struct crud *from, const struct field *field)
{
	from->refs[field - from->res->fields] = to;
	to->users = xreallocarray(to->users, to->users_n + 1, sizeof(*to->users));
	to->users[to->users_n++] = (struct crud_user){.from = from, .field = field};
}

static void link_field(struct crud_set *set, struct crud *c, size_t i)
{
	const struct field *f = &c->res->fields[i];
	assert(f->type != FIELD_ENUM || f->values);
	assert(!f->transitions || f->type == FIELD_ENUM);
	assert(!f->when.field || (f->flags & FIELD_NULL && crud_find_field(c->res, f->when.field)));
	if (f->flags & FIELD_UNIQUE) {
		assert(!c->unique);
		c->unique = f;
	}
	if (f->type == FIELD_LIST) {
		c->items[i].field = f;
		assert(!f->list->is_bare || f->list->items_n == 1);
		assert(!(f->flags & FIELD_FILTER) || (f->list->is_bare && f->list->filter));
		if (f->list->rows)
			c->items[i].rows = find_crud(set, f->list->rows);
		if (f->list->is_bare && f->list->items[0].type == FIELD_REF)
			add_user(find_crud(set, f->list->items[0].ref), c, f);
	} else if (f->type == FIELD_REF) {
		struct crud *to = find_crud(set, f->ref);
		add_user(to, c, f);
		for (size_t j = 0; j < CRUD_SHOWS_MAX && f->shows[j].json; j++)
			assert(crud_find_field(to->res, f->shows[j].column));
		if (f->flags & FIELD_OWNER) {
			c->owner = to;
			c->owner_field = i;
		}
	}
}

/* The owner's list of what c's rows are. */
static void link_owner(struct crud *c)
{
	for (size_t i = 0; c->owner && i < c->owner->res->fields_n; i++)
		if (c->owner->items[i].rows == c)
			c->of = &c->owner->items[i];
	assert(!c->owner || c->of);
	/* A part's row may be gone before its event. */
	assert(!c->owner || !(c->res->rooms || c->res->events[EVENT_DELETE].put));
}

/* Takes the text of perm. */
static void put_route(struct crud_set *set, const struct crud *c, const char *tail,
	struct str *perm, struct route r)
{
	struct str pattern = STR_INIT;
	str_addf(&pattern, "/api/v1/%s%s", c->res->name, tail);
	r.pattern = str_take(&pattern);
	r.perm = str_take(perm);
	r.topic = c->stream->topic;
	set->routes = xreallocarray(set->routes, set->routes_n + 1, sizeof(*set->routes));
	set->routes[set->routes_n++] = r;
}

static void add_route(struct crud_set *set, const struct crud *c, unsigned method, const char *tail,
	void (*handle)(struct ctx *ctx))
{
	struct str perm = STR_INIT;
	bool is_read = method == HTTP_GET;
	if (is_read)
		stream_put_perm(&perm, c->stream);
	else
		str_addf(&perm, "%s:write", c->res->name);
	put_route(set, c, tail, &perm,
		(struct route){
			.methods = method,
			.flags = is_read                 ? ROUTE_DB | ROUTE_CACHED
				 : method == HTTP_DELETE ? ROUTE_TXN
							 : ROUTE_JSON | ROUTE_TXN,
			.handle = handle,
			.arg = c,
		});
}

static void add_verbs(struct crud_set *set, struct crud *c)
{
	c->verbs = xcalloc(c->res->verbs_n + 1, sizeof(*c->verbs));
	for (size_t i = 0; i < c->res->verbs_n; i++) {
		const struct row_verb *verb = &c->res->verbs[i];
		struct str perm = STR_INIT, tail = STR_INIT;
		assert(verb->fields_n <= CRUD_FIELDS_MAX && !(verb->methods & HTTP_GET));
		c->verbs[i] = (struct crud_verb){c, verb};
		str_addf(&tail, "/{id}%s", verb->suffix);
		if (verb->perm)
			str_adds(&perm, verb->perm);
		else
			str_addf(&perm, "%s:write", c->res->name);
		put_route(set, c, tail.p, &perm,
			(struct route){
				.methods = verb->methods,
				.flags = verb->fields_n ? ROUTE_JSON | ROUTE_TXN : ROUTE_TXN,
				.handle = crud_verb,
				.arg = &c->verbs[i],
			});
		str_fini(&tail);
	}
}

const struct crud_set *crud_build(const struct resource *const *resources, size_t n)
{
	struct crud_set *set = xcalloc(1, sizeof(*set));
	set->v = xcalloc(n, sizeof(*set->v));
	set->n = n;
	for (size_t i = 0; i < n; i++) {
		set->v[i].res = resources[i];
		set->v[i].stream = stream_find(resources[i]->name);
		assert(set->v[i].stream);
		assert(resources[i]->fields_n <= CRUD_FIELDS_MAX);
	}
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < resources[i]->fields_n; j++)
			link_field(set, &set->v[i], j);
	for (size_t i = 0; i < n; i++)
		link_owner(&set->v[i]);

	for (size_t i = 0; i < n; i++) {
		const struct crud *c = &set->v[i];
		crud_sql_build(set, &set->v[i]);
		add_route(set, c, HTTP_POST, "/create", crud_create);
		add_route(set, c, HTTP_POST, "/update", crud_update);
		add_route(set, c, HTTP_POST, "/delete", crud_delete);
		add_route(set, c, HTTP_GET, "", crud_list);
		add_route(set, c, HTTP_GET, "/{id}", crud_get);
		add_route(set, c, HTTP_PUT, "/{id}", crud_update);
		add_route(set, c, HTTP_DELETE, "/{id}", crud_delete);
		add_verbs(set, &set->v[i]);
	}
	set->sql = (struct db_set){.name = "resources", .stmts = set->stmts, .is_lazy = true};
	return set;
}

const struct route *crud_routes(const struct crud_set *set, size_t *n)
{
	*n = set->routes_n;
	return set->routes;
}

const struct crud *crud_find(const struct crud_set *set, const char *name)
{
	return look_up(set, name);
}

const struct db_set *crud_sql(const struct crud_set *set)
{
	return &set->sql;
}
