#include "chore.h"
#include "clock.h"
#include "expired.h"
#include "figure.h"
#include "log.h"

#define STEP_ROWS 500 /* removed by one statement */
#define TURN_MS 2000  /* after that others have their turn */

struct expiry {
	struct chores *chores;
	const struct expired_kind *kind;
	uint64_t n;
};

static int64_t expired_every_s(const struct config *cfg)
{
	return cfg->poller.expire_s;
}

static enum err expired_step(struct txn *t, void *arg)
{
	struct expiry *x = arg;

	return expired_remove(t->db, x->kind, chores_cfg(x->chores), STEP_ROWS, &x->n);
}

static enum err expired_run_kind(
	struct chores *cs, const struct expired_kind *kind, int64_t until_ms)
{
	struct expiry x = {cs, kind, STEP_ROWS};
	uint64_t all = 0;
	enum err e = ERR_OK;

	while (e == ERR_OK && x.n == STEP_ROWS && !chores_is_stopping(cs) &&
		clock_ms() < until_ms) {
		e = chore_unit(cs, expired_step, &x);
		all += e == ERR_OK ? x.n : 0;
	}
	if (e == ERR_OK && x.n == STEP_ROWS)
		chore_goes_on(cs);
	figure_add(chores_figures(cs), FIGURE_CHORE_ROWS, all);
	if (all)
		log_info("chore", "removed %llu rows of %s whose time was over",
			(unsigned long long)all, kind->table);
	return e;
}

/* A table that cannot be worked on keeps no other from it. */
static enum err expired_run(struct chores *cs)
{
	int64_t until_ms = clock_ms() + TURN_MS;
	enum err first = ERR_OK, e;

	for (const struct expired_kind *kind = expired_kinds; kind->table; kind++) {
		e = expired_run_kind(cs, kind, until_ms);
		if (e == ERR_DB_LOST)
			return e;
		if (e != ERR_OK && first == ERR_OK) {
			first = e;
			chores_note_why(cs);
		}
	}
	return first;
}

const struct chore chore_expired = {
	.name = "expired", .every_s = expired_every_s, .run = expired_run};
