#include "bar.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"

#define DRAW_EVERY_MS 80
#define COLUMNS 80 /* of a terminal that does not say how many it has */
#define BAR_MAX 40
#define BAR_MIN 5
#define AROUND 9 /* "[] 100 % " */
#define LINE_SIZE 512

void bar_init(struct bar *b)
{
	*b = (struct bar){.is_on = isatty(STDERR_FILENO) != 0};
}

/* As it is now: it may have another size than a moment ago. */
static int columns_of_terminal(void)
{
	struct winsize size;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col
									       : COLUMNS;
}

void bar_draw(struct bar *b, uint64_t done, uint64_t total, const char *text)
{
	int percent = total && done < total ? (int)(done * 100.0 / (double)total) : 100;
	int columns, bar;
	char line[LINE_SIZE];
	int64_t now = clock_ms();

	if (!b->is_on || (b->drawn_ms && now - b->drawn_ms < DRAW_EVERY_MS && done < total))
		return;
	b->drawn_ms = now;
	columns = columns_of_terminal();
	bar = columns - 1 - AROUND - (int)strlen(text);
	if (bar > BAR_MAX)
		bar = BAR_MAX;
	if (total && bar >= BAR_MIN)
		snprintf(line, sizeof(line), "[%-*.*s] %3d %% %s", bar, percent * bar / 100,
			"########################################", percent, text);
	else if (total)
		snprintf(line, sizeof(line), "%3d %% %s", percent, text);
	else
		snprintf(line, sizeof(line), "%s", text);
	/* A line that is full would be two, of which the next one takes one back. */
	fprintf(stderr, "\r%.*s\033[K", columns - 1, line);
	fflush(stderr);
}

void bar_clear(struct bar *b)
{
	if (b->is_on && b->drawn_ms)
		fputs("\r\033[K", stderr);
	b->drawn_ms = 0;
}
