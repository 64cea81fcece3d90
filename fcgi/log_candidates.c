#include "log_candidates.h"

#include <stdlib.h>

#include "mem.h"

const struct db_set log_candidates_sql = {
	"log_candidates", (const struct db_stmt *const[]){NULL}, true};

struct log_candidates {
	struct db *db;
	const struct log_search *s;
};

struct log_candidates *log_candidates_new(struct db *db, const struct log_search *s)
{
	struct log_candidates *c = xcalloc(1, sizeof(*c));

	c->db = db;
	c->s = s;
	return c;
}

void log_candidates_free(struct log_candidates *c)
{
	free(c);
}

enum err log_candidates_next(struct log_candidates *c, struct id_range *r, bool *is_empty)
{
	*is_empty = false;
	return ERR_OK;
}
