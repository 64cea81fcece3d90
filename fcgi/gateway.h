/*
 * How the process was started, and so where its requests come from: a listening socket, which the
 * loop accepts from (peer.h), or the one request of a CGI program (conn.h).
 */
#ifndef CMDB_GATEWAY_H
#define CMDB_GATEWAY_H

#include <stdbool.h>
#include <sys/types.h>

#include "str.h"

struct gateway {
	int sock; /* listening; -1 for CGI */
	bool is_cgi;
	bool is_unix;
	bool is_mod_fcgid; /* which gives a process one request at a time, and starts more for more
			    */
	char *path;        /* of a UNIX socket that was made here, else NULL */
	dev_t dev;         /* which file path was then */
	ino_t ino;
};

/* Finds out how the process was started: listen ("/path.sock" or "host:port") if not NULL, else a
 * systemd socket, a listening socket as descriptor 0, or CGI. false with *why saying what is wrong
 * and the cure. */
bool gateway_open(struct gateway *g, const char *listen, struct str *why);
/* Only makes the socket, for whoever is to keep it while processes come and go. */
bool gateway_listen(struct gateway *g, const char *listen, struct str *why);
/* Closes the socket and removes its file if that is still ours. */
void gateway_close(struct gateway *g);

#endif
