/* Which log it is that is followed, and where to begin. */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "tail_internal.h"

#define REWIND_MAX 200000 /* how far back a start goes to where the last run ended */
#define WARM_EVENTS 20000 /* the ring begins with about that many */

static const struct db_stmt sql_log = {"log", "SELECT epoch, floor FROM ws_log", 0, 2};
static const struct db_stmt sql_largest = {
	"largest", "SELECT id FROM ws_events ORDER BY id DESC LIMIT 1", 0, 1};
static const struct db_stmt sql_own_tail = {
	"own_tail", "SELECT tail FROM ws_pollers WHERE node_id = ?", 1, 1};

const struct db_set tail_log_sql = {"tail_log",
	(const struct db_stmt *const[]){&sql_log, &sql_largest, &sql_own_tail, NULL}, false};

static void discard_start(struct mail *mail)
{
	free(mail);
}

static enum err read_u64(struct tail *t, const struct db_stmt *st, const struct db_val *in,
	size_t in_n, uint64_t *out)
{
	const struct db_val *row;
	enum err e = db_one(t->db, st, in, in_n, &row);

	*out = !e && row ? dbv_u(&row[0]) : 0;
	return e;
}

/* Where to begin: at the tail of the last run, or further back so that the ring holds what clients
 * are likely to ask for. Going over settled ground again costs a probe per hole and nothing else.
 */
enum err tail_begin(struct tail *t)
{
	const struct db_val node = DBV_I(t->cfg->poller.node_id);
	const struct db_val *row;
	struct tail_start *s;
	uint64_t floor, largest, own, begin;
	char epoch[sizeof(t->epoch)] = "";
	enum err e = db_one(t->db, &sql_log, NULL, 0, &row);

	if (!e && !row)
		e = ERR_DB;
	if (e)
		return e;
	memccpy(epoch, dbv_text(&row[0]), '\0', sizeof(epoch) - 1);
	floor = dbv_u(&row[1]);
	if (t->is_started) {
		if (!strcmp(epoch, t->epoch))
			return ERR_OK;
		log_fatal(EX_TEMPFAIL,
			"the event log is another one now (epoch %s, was %s): "
			"starting again",
			epoch, t->epoch);
	}
	e = read_u64(t, &sql_largest, NULL, 0, &largest);
	if (!e)
		e = read_u64(t, &sql_own_tail, &node, 1, &own);
	if (e)
		return e;
	if (largest < floor)
		largest = floor;
	begin = largest > WARM_EVENTS ? largest - WARM_EVENTS : 0;
	if (own && own < begin)
		begin = own;
	if (largest > REWIND_MAX && begin < largest - REWIND_MAX)
		begin = largest - REWIND_MAX;
	if (begin < floor)
		begin = floor;
	memcpy(t->epoch, epoch, sizeof(epoch));
	order_init(&t->order, begin, t->cfg->poller.grace_ms, t->cfg->poller.hold_limit_ms);
	s = xcalloc(1, sizeof(*s));
	s->mail.open = t->open_start;
	s->mail.discard = discard_start;
	memcpy(s->epoch, epoch, sizeof(epoch));
	s->floor = floor;
	s->tail = begin;
	mailbox_post(t->to, &s->mail);
	t->is_started = true;
	t->started_ms = clock_ms();
	log_info("tail_start", "epoch %s, from event %llu, newest %llu, floor %llu", epoch,
		(unsigned long long)begin, (unsigned long long)largest, (unsigned long long)floor);
	return ERR_OK;
}
