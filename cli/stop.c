#include "stop.h"

#include <poll.h>
#include <signal.h>
#include <stddef.h>

#include "clock.h"
#include "out.h"

#define GRACE_MS 5000

static volatile sig_atomic_t asked_by;

static void on_signal(int sig)
{
	asked_by = sig;
}

void stop_catch(void)
{
	struct sigaction act = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
}

bool stop_is_asked(void)
{
	return asked_by != 0;
}

bool stop_leaves_time(void *unused)
{
	static _Atomic int64_t until_ms;

	(void)unused;
	if (!asked_by)
		return true;
	if (!until_ms)
		until_ms = clock_ms() + GRACE_MS;
	return clock_ms() < until_ms;
}

void stop_wait(int64_t ms)
{
	if (!asked_by)
		poll(NULL, 0, (int)ms);
}

void stop_now(void)
{
	if (!asked_by)
		return;
	out_flush();
	raise(asked_by); /* as it was before, by SA_RESETHAND */
}
