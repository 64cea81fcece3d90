/*
 * Makes the index of logs (log_blocks.h) behind the lines: block after block, a second behind them,
 * in steps; behind by much, as after an import, it goes on turn after turn. How long ago an id was
 * given away is known by looking every second which one is the newest: each poller does so, so that
 * any can go on where another one has died.
 */
#include <stdlib.h>
#include <string.h>

#include "chore.h"
#include "clock.h"
#include "figure.h"
#include "log.h"
#include "log_blocks.h"
#include "mem.h"

#define EVERY_S 1
#define YOUNG_MS 1000 /* a full block is looked at no sooner */
#define TURN_MS 1000  /* of work: the other chores wait */
#define BLOCKS_MAX 16 /* of a unit of work */

/* The newest id as of some time ago: at most one sample a second is kept. */
#define SAMPLES_N 4096
struct sample {
	int64_t ms;
	uint64_t newest;
};

/* The chores' thread's; a poller has one. */
static struct {
	struct sample samples[SAMPLES_N];
	uint64_t samples_n; /* ever */
	struct log_index_state state;
	bool is_known, has_open;
} indexer;

static int64_t log_index_every_s(const struct config *cfg)
{
	return cfg->logs.index ? EVERY_S : 0;
}

static void take_sample(uint64_t newest)
{
	int64_t now = clock_ms();

	/* The log has been replaced: nothing is known of this one. */
	if (indexer.samples_n &&
		newest < indexer.samples[(indexer.samples_n - 1) % SAMPLES_N].newest)
		indexer.samples_n = 0;
	indexer.samples[indexer.samples_n++ % SAMPLES_N] = (struct sample){now, newest};
}

/* No id up to this has been given away in the last so many ms. */
static uint64_t newest_before(int64_t ms)
{
	int64_t then = clock_ms() - ms;

	for (uint64_t i = 1; i <= indexer.samples_n && i <= SAMPLES_N; i++) {
		const struct sample *s = &indexer.samples[(indexer.samples_n - i) % SAMPLES_N];

		if (s->ms <= then)
			return s->newest;
	}
	return 0;
}

static uint64_t newest_settled(struct chores *cs)
{
	return newest_before(chores_cfg(cs)->logs.index_settle_s * 1000);
}

static uint64_t end_of(uint64_t block)
{
	return block * LOG_BLOCK_IDS + LOG_BLOCK_IDS - 1;
}

/* Not so if it is of another version, or of a log that was replaced. */
static bool is_usable(void)
{
	return indexer.state.version == LOG_INDEX_VERSION && indexer.state.holds;
}

/* Costs one look at the end of the table, a second; only where there is work it is claimed. */
static enum err log_index_look(struct chores *cs, bool *has_work)
{
	uint64_t newest, made;
	enum err e = log_blocks_newest(chores_db(cs), &newest);

	if (e == ERR_OK)
		e = log_blocks_state(chores_db(cs), &indexer.state);
	if (e != ERR_OK)
		return e;
	take_sample(newest);
	made = indexer.state.next_block * LOG_BLOCK_IDS;
	figure_set(chores_figures(cs), FIGURE_LOG_INDEX_BEHIND, newest > made ? newest - made : 0);
	*has_work = !indexer.is_known || indexer.has_open || !is_usable() ||
		    end_of(indexer.state.next_block) <= newest_before(YOUNG_MS);
	return ERR_OK;
}

/* ---- steps ---- */

struct index_step {
	struct log_block *blocks; /* BLOCKS_MAX of them */
	size_t n;
	uint64_t from;             /* what next_block is */
	struct log_index_state to; /* what it and the last line are to be */
	uint64_t super;
	bool is_ours;
};

static enum err index_void(struct txn *t, void *arg)
{
	return log_blocks_void(t->db);
}

/* arg: is it all gone? */
static enum err index_clear(struct txn *t, void *arg)
{
	enum err e = log_blocks_clear(t->db, arg);

	return e == ERR_OK && *(bool *)arg ? log_blocks_begin(t->db) : e;
}

static enum err index_write(struct txn *t, void *arg)
{
	struct index_step *s = arg;
	enum err e = log_blocks_move(t->db, s->from, &s->to, &s->is_ours);

	if (e == ERR_OK && !s->is_ours)
		return ERR_CONFLICT;
	for (size_t i = 0; i < s->n && e == ERR_OK; i++)
		e = log_blocks_put(t->db, &s->blocks[i]);
	return e;
}

static enum err index_close(struct txn *t, void *arg)
{
	struct index_step *s = arg;

	return log_blocks_put(t->db, &s->blocks[0]);
}

static enum err index_turn(struct txn *t, void *arg)
{
	struct index_step *s = arg;
	enum err e = log_blocks_turn(t->db, s->from, s->super, &s->is_ours);

	return e == ERR_OK && !s->is_ours ? ERR_CONFLICT : e;
}

/* Makes sure that there is one to go on with; *is_ready false: it is still being taken away. */
static enum err see_state(struct chores *cs, int64_t until_ms, bool *is_ready)
{
	enum err e = log_blocks_state(chores_db(cs), &indexer.state);

	*is_ready = e == ERR_OK && is_usable();
	if (e != ERR_OK || *is_ready)
		return e;
	if (indexer.state.version)
		log_info("logs", "the index of lines is made anew");
	e = chore_unit(cs, index_void, NULL);
	while (e == ERR_OK && !*is_ready && clock_ms() < until_ms && !chores_is_stopping(cs))
		e = chore_unit(cs, index_clear, is_ready);
	return e == ERR_OK ? log_blocks_state(chores_db(cs), &indexer.state) : e;
}

/* Passes over ids that nobody has a line of. */
static enum err skip_empty(struct chores *cs, struct index_step *s, bool *can_go_on)
{
	uint64_t from = s->to.next_block * LOG_BLOCK_IDS, first;
	bool is_locked = false;
	enum err e = log_blocks_first_from(chores_db(cs), from, &first);

	*can_go_on = false;
	if (e != ERR_OK || first == UINT64_MAX)
		return e;
	if (first / LOG_BLOCK_IDS == s->to.next_block) {
		*can_go_on = true;
		return ERR_OK;
	}
	if (first > newest_settled(cs))
		return ERR_OK;
	e = log_blocks_is_locked(
		chores_db(cs), from, first / LOG_BLOCK_IDS * LOG_BLOCK_IDS - 1, &is_locked);
	if (e == ERR_OK && !is_locked) {
		s->to.next_block = first / LOG_BLOCK_IDS;
		*can_go_on = true;
	}
	return e;
}

/* The next block, if it can be made, or marked as open. */
static enum err take_block(struct chores *cs, struct index_step *s, bool *can_go_on)
{
	struct log_block *b = &s->blocks[s->n];
	enum err e = skip_empty(cs, s, can_go_on);

	if (e != ERR_OK || !*can_go_on)
		return e;
	*can_go_on = end_of(s->to.next_block) <= newest_before(YOUNG_MS);
	if (!*can_go_on)
		return ERR_OK;
	b->block = s->to.next_block;
	e = log_blocks_read(chores_db(cs), b);
	if (e != ERR_OK)
		return e;
	b->is_open = b->is_waited_for ||
		     (b->lines_n < LOG_BLOCK_IDS && end_of(b->block) > newest_settled(cs));
	indexer.has_open = indexer.has_open || b->is_open;
	if (b->lines_n) {
		s->to.last_id = b->last_id;
		s->to.last_ms = b->last_ms;
	}
	s->n++;
	s->to.next_block++;
	return ERR_OK;
}

/* false in *can_go_on: there is nothing more for now. */
static enum err make_blocks(struct chores *cs, struct index_step *s, bool *can_go_on)
{
	enum err e = ERR_OK;

	s->n = 0;
	s->to = indexer.state;
	s->from = s->to.next_block;
	*can_go_on = true;
	while (e == ERR_OK && *can_go_on && s->n < BLOCKS_MAX)
		e = take_block(cs, s, can_go_on);
	if (e == ERR_OK && s->n)
		e = chore_unit(cs, index_write, s);
	if (e == ERR_OK && s->n) {
		indexer.state = s->to;
		figure_add(chores_figures(cs), FIGURE_LOG_BLOCKS, s->n);
	}
	return e;
}

/* Those that were open when their time came. */
static enum err close_blocks(struct chores *cs, struct index_step *s)
{
	uint64_t open[BLOCKS_MAX], settled = newest_settled(cs);
	size_t n;
	enum err e = log_blocks_open(chores_db(cs), UINT64_MAX, open, BLOCKS_MAX, &n);

	indexer.has_open = n > 0;
	for (size_t i = 0; i < n && e == ERR_OK; i++) {
		struct log_block *b = &s->blocks[0];

		b->block = open[i];
		e = log_blocks_read(chores_db(cs), b);
		if (e != ERR_OK || b->is_waited_for ||
			(b->lines_n < LOG_BLOCK_IDS && end_of(b->block) > settled))
			continue;
		e = chore_unit(cs, index_close, s);
	}
	return e;
}

static enum err turn_supers(struct chores *cs, struct index_step *s, bool *has_more)
{
	struct log_index_state *st = &indexer.state;
	uint64_t first, end, open;
	size_t open_n;
	enum err e = log_blocks_next(chores_db(cs), st->next_super * LOG_BLOCKS, &first);

	*has_more = false;
	s->super = first / LOG_BLOCKS;
	end = (s->super + 1) * LOG_BLOCKS;
	if (e != ERR_OK || first == UINT64_MAX || st->next_block < end)
		return e;
	e = log_blocks_open(chores_db(cs), end, &open, 1, &open_n);
	if (e != ERR_OK || open_n)
		return e;
	s->from = st->next_super;
	e = chore_unit(cs, index_turn, s);
	if (e == ERR_OK)
		st->next_super = s->super + 1;
	*has_more = e == ERR_OK;
	return e;
}

static enum err make_index(struct chores *cs, int64_t until_ms)
{
	struct index_step s = {.blocks = xcalloc(BLOCKS_MAX, sizeof(*s.blocks))};
	bool can_go_on = true, has_turned = true;
	enum err e = close_blocks(cs, &s);

	while (e == ERR_OK && (can_go_on || has_turned) && clock_ms() < until_ms) {
		if (chores_is_stopping(cs))
			break;
		if (can_go_on)
			e = make_blocks(cs, &s, &can_go_on);
		if (e == ERR_OK)
			e = turn_supers(cs, &s, &has_turned);
	}
	free(s.blocks);
	if (e == ERR_OK && (can_go_on || has_turned))
		chore_goes_on(cs);
	return e;
}

static enum err log_index_run(struct chores *cs)
{
	int64_t until_ms = clock_ms() + TURN_MS;
	bool is_ready;
	enum err e = see_state(cs, until_ms, &is_ready);

	indexer.is_known = e == ERR_OK;
	if (e == ERR_OK && is_ready)
		e = make_index(cs, until_ms);
	else if (e == ERR_OK)
		chore_goes_on(cs);
	/* Another host's poller is at it. */
	return e == ERR_CONFLICT ? ERR_OK : e;
}

const struct chore chore_log_index = {.name = "log_index",
	.every_s = log_index_every_s,
	.run = log_index_run,
	.look = log_index_look};
