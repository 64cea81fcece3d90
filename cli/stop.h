/*
 * Being asked to stop, by Ctrl-C or SIGTERM, where something is to be finished first: what was read
 * is sent, what was done is said. A second time ends the process at once.
 */
#ifndef CMDB_CLI_STOP_H
#define CMDB_CLI_STOP_H

#include <stdbool.h>
#include <stdint.h>

/* From now on the first signal only interrupts what blocks (EINTR). */
void stop_catch(void);
bool stop_is_asked(void);
/* For a rest_request's is_wanted: false once it was asked for some seconds ago. */
bool stop_leaves_time(void *unused);
/* Waits; less if it is asked meanwhile. */
void stop_wait(int64_t ms);
/* If it was asked: ends the process by that signal, as if it had not been caught. All is said. */
void stop_now(void);

#endif
