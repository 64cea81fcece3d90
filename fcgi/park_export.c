#include "park_export.h"

#include "app.h"
#include "clock.h"
#include "http.h"
#include "log.h"
#include "worker.h"

#define PIECE_BYTES (256u * 1024)
#define PIECE_ROWS 50000
#define PIECE_MS 200 /* others want the thread, too */

static struct park_export *park_export_of(const struct park *p)
{
	return (struct park_export *)p;
}

static void park_export_fini(struct park *p)
{
	log_search_fini(&park_export_of(p)->search);
	str_fini(&park_export_of(p)->piece);
}

/* ---- on a job thread ---- */

static enum err find_piece(struct park_export *x, struct db *db)
{
	const struct log_step step = {.entries = x->left,
		.bytes = PIECE_BYTES,
		.rows = PIECE_ROWS,
		.deadline_ms = clock_ms() + PIECE_MS,
		.separator = "\n"};
	uint64_t n = 0;
	enum err e = db_ensure(db);

	if (e == ERR_OK)
		e = log_search_step(db, &x->search, &step, &x->piece, &n);
	if (n)
		str_addc(&x->piece, '\n');
	x->left -= n;
	return e;
}

static bool park_export_work(struct park *p, struct worker *w)
{
	struct park_export *x = park_export_of(p);
	enum err e;

	w->needs = NULL;
	if (w->pool && w->pool != w->app->searches) {
		w->needs = w->app->searches;
		return false;
	}
	str_clear(&x->piece);
	e = find_piece(x, w->db);
	/* The cursor is behind what was found, so that going on is right after a failure, too. */
	if (e == ERR_DB_LOST || e == ERR_DB_RETRY)
		e = find_piece(x, w->db);
	x->failed = e;
	if (e != ERR_OK)
		log_error("logs", "an export fails: %s: request_id=%s", db_errmsg(w->db),
			p->request_id);
	return true;
}

/* ---- on the loop ---- */

static void send_piece(struct park_export *x, bool is_last)
{
	struct park *p = &x->park;
	struct str head = STR_INIT;
	struct body *body = body_new(str_c(&x->piece), x->piece.len);

	if (!x->has_head)
		park_put_head(p, &head, 200, PARK_EXPORT_TYPE, "X-Accel-Buffering: no\r\n", -1);
	x->has_head = true;
	p->is_last = is_last;
	park_sent(p, sink_send(&p->sink, head.len ? &head : NULL, body, is_last));
	body_put(body);
	str_fini(&head);
}

/* The answer, or its last line. */
static void break_off(struct park_export *x, enum err e)
{
	if (!x->has_head) {
		park_fail(&x->park, e, NULL, "");
		return;
	}
	str_adds(&x->piece, "{\"error\":{\"code\":");
	str_add_json(&x->piece, err_code(e));
	str_adds(&x->piece, ",\"message\":");
	str_add_json(&x->piece, err_text(e));
	str_addf(
		&x->piece, ",\"next\":%llu}}\n", (unsigned long long)log_search_cursor(&x->search));
	send_piece(x, true);
}

static void park_export_on_worked(struct park *p)
{
	struct park_export *x = park_export_of(p);
	enum err refused = park_refused(p);

	park_set_state(p, PARK_ANSWERING);
	if (refused != ERR_OK || x->failed != ERR_OK || park_is_stopping(p))
		break_off(x, refused != ERR_OK     ? refused
			     : x->failed != ERR_OK ? x->failed
						   : ERR_UNAVAILABLE);
	else
		send_piece(x, x->search.is_done || x->left == 0);
}

static void park_export_on_written(struct park *p)
{
	str_clear(&park_export_of(p)->piece);
	park_work(p);
}

static void park_export_start(struct park *p)
{
	park_work(p);
}

/* It is never held: it works or it writes. */
static int64_t park_export_deadline(const struct park *p)
{
	return INT64_MAX;
}

static void park_export_nothing(struct park *p)
{
}

static void park_export_on_up(struct park *p, const char *old_epoch)
{
}

static void park_export_on_reply(struct park *p, const struct wire_frame *f, struct body *body)
{
}

static void park_export_refuse(struct park *p, enum err e)
{
	str_clear(&park_export_of(p)->piece);
	break_off(park_export_of(p), e);
}

static const struct park_kind export_kind = {
	.start = park_export_start,
	.deadline = park_export_deadline,
	.on_deadline = park_export_nothing,
	.on_hang_up = park_end,
	.on_written = park_export_on_written,
	.on_up = park_export_on_up,
	.on_reply = park_export_on_reply,
	.release = park_export_nothing,
	.give_up = park_export_nothing,
	.refuse = park_export_refuse,
	.work = park_export_work,
	.on_worked = park_export_on_worked,
	.fini = park_export_fini,
};

struct park_export *park_export_new(void)
{
	return park_export_of(park_new(&export_kind, sizeof(struct park_export)));
}
