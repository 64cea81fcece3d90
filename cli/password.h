/*
 * A password for an account: read from standard input or made up. Nothing is asked for on a
 * terminal.
 */
#ifndef CMDB_CLI_PASSWORD_H
#define CMDB_CLI_PASSWORD_H

#include "cmd.h"
#include "secret.h"

#define PASSWORD_MIN 8 /* bytes */

struct password {
	char text[SECRET_PASSWORD_MAX + 1]; /* what was made up; wiped when it was read */
	char phc[SECRET_PHC_SIZE];          /* Argon2id hash */
	bool is_generated;
};

/* Reads one line of standard input if from_stdin, else makes a password up; hashes it with the
 * parameters of the configuration. CTL_OK, or the status after having said what is wrong.
 * password_wipe() afterwards in any case. */
enum ctl_exit password_take(const struct call *call, bool from_stdin, struct password *p);
void password_wipe(struct password *p);

#endif
