#include "floors.h"

const struct db_stmt floors_stmt = {
	"floors", "SELECT floor, brief_floor FROM ws_log", 0, RETENTION_N};

/* A floor that somebody has set by hand may be above that of a class that is kept less long. */
static void ascend(struct floors *f)
{
	for (int r = 1; r < RETENTION_N; r++)
		if (f->of[r] < f->of[r - 1])
			f->of[r] = f->of[r - 1];
}

struct floors floors_of_row(const struct db_val *row)
{
	struct floors f;

	for (int r = 0; r < RETENTION_N; r++)
		f.of[r] = dbv_u(&row[r]);
	ascend(&f);
	return f;
}

uint64_t floors_min(const struct floors *f, unsigned classes)
{
	uint64_t min = 0;

	for (int r = 0; r < RETENTION_N; r++)
		if ((classes & FLOORS_ONE(r)) && f->of[r] > min)
			min = f->of[r];
	return min;
}

bool floors_raise(struct floors *f, const struct floors *to)
{
	bool is_raised = false;

	for (int r = 0; r < RETENTION_N; r++) {
		if (to->of[r] <= f->of[r])
			continue;
		f->of[r] = to->of[r];
		is_raised = true;
	}
	ascend(f);
	return is_raised;
}

unsigned floors_classes(const struct wire_interest *want)
{
	unsigned classes = 0;

	if (want->all_topics)
		return FLOORS_ALL;
	for (size_t i = 0; i < want->topics.n; i++)
		classes |= FLOORS_ONE(want->format == WIRE_SOCKET
					      ? RETENTION_LASTING
					      : stream_retention(want->topics.v[i]));
	for (size_t i = 0; i < want->views_n; i++)
		classes |= FLOORS_ONE(stream_retention(want->views[i].topic));
	if (want->rooms_any_topic && (want->all_rooms || want->rooms.n > 0))
		classes |= FLOORS_ONE(RETENTION_LASTING);
	return classes;
}

struct floors floors_of_page(const struct shm *page)
{
	struct floors f;

	for (int r = 0; r < RETENTION_N; r++)
		f.of[r] = atomic_load(&page->floor[r]);
	ascend(&f);
	return f;
}

void floors_publish(struct shm *page, const struct floors *f)
{
	for (int r = 0; r < RETENTION_N; r++)
		atomic_store(&page->floor[r], f->of[r]);
}
