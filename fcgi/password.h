/*
 * Checking passwords without letting them take the machine: an Argon2id run needs much memory, so a
 * process does at most auth.argon2_parallel at a time and others wait a little. Who has no password
 * (an unknown user) is checked against one that nothing matches, in the same time. Worker threads;
 * blocks.
 */
#ifndef CMDB_PASSWORD_H
#define CMDB_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"
#include "err.h"
#include "secret.h"

/* Takes a place among those that may hash. Time may have passed: look again whether there is still
 * reason to. ERR_BUSY when none came free within PASSWORD_WAIT_MS. */
#define PASSWORD_WAIT_MS 2000
enum err password_enter(const struct config *cfg) __attribute__((warn_unused_result));
void password_leave(void);
/* Is it the one that phc was made of? phc "": no, and it takes as long. In a place only. */
bool password_is_right(const struct config *cfg, const char *phc, const char *password, size_t len);

#endif
