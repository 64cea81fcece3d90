#include "bar.h"

#include <stdio.h>
#include <unistd.h>

#include "clock.h"

#define DRAW_EVERY_MS 80

void bar_init(struct bar *b)
{
	*b = (struct bar){.is_on = isatty(STDERR_FILENO) != 0};
}

void bar_draw(struct bar *b, uint64_t done, uint64_t total, const char *text)
{
	int percent = total && done < total ? (int)(done * 100.0 / (double)total) : 100;
	int64_t now = clock_ms();

	if (!b->is_on || (b->drawn_ms && now - b->drawn_ms < DRAW_EVERY_MS && done < total))
		return;
	b->drawn_ms = now;
	if (total)
		fprintf(stderr, "\r[%-40.*s] %3d %% %s\033[K", percent * 2 / 5,
			"########################################", percent, text);
	else
		fprintf(stderr, "\r%s\033[K", text);
	fflush(stderr);
}

void bar_clear(struct bar *b)
{
	if (b->is_on && b->drawn_ms)
		fputs("\r\033[K", stderr);
	b->drawn_ms = 0;
}
