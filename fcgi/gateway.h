/*
 * The door to the web server: the only module that sees fcgiapp.h. A gateway is the socket (or the
 * CGI environment) of this process; a conn is what one worker thread takes requests from, one at a
 * time: accept, read, write, and then finish, or take the descriptor away to park it.
 *
 * Connections are accepted here and handed to libfcgi 2.4.2 by its public fields ipcFd,
 * keepConnection and listen_sock, because its own accept loop (OS_Accept) can neither be stopped
 * nor left safely: a signal during its two seconds' poll() closes the new connection and then goes
 * round for ever closing a descriptor number that may be someone else's by then.
 */
#ifndef CMDB_GATEWAY_H
#define CMDB_GATEWAY_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sink.h"
#include "str.h"

/* Makes a worker that sleeps in accept() look whether the gateway is stopping. Its handler does
 * nothing. To be blocked in all threads: a worker lets it in while it accepts and never while it
 * works, for libfcgi takes an interrupted read() or write() for the end of the connection. */
#define GATEWAY_KICK SIGUSR2

struct gateway {
	int sock; /* listening; -1 for CGI */
	bool is_cgi;
	bool is_unix;
	char *path; /* of a UNIX socket that was made here, else NULL */
	dev_t dev;  /* which file path was then */
	ino_t ino;
	atomic_bool is_stopping;
};

/* Finds out how the process was started: listen ("/path.sock" or "host:port") if not NULL, else a
 * systemd socket, a listening socket as descriptor 0, or CGI. false with *why saying what is wrong
 * and the cure. */
bool gateway_open(struct gateway *g, const char *listen, struct str *why);
/* Closes the socket and removes its file if that is still ours. */
void gateway_close(struct gateway *g);

struct conn;
struct conn *conn_new(struct gateway *g);
void conn_free(struct conn *c);
/* Waits for the next request. false: the gateway is stopping, or its socket is broken. */
bool conn_accept(struct conn *c);
/* "NAME=value" texts, ends with NULL; borrowed until finish or take. */
char *const *conn_env(const struct conn *c);
/* Reads the body's next bytes. 0 at its end, -1 if the web server broke off or sent nothing for
 * long. */
ssize_t conn_read(struct conn *c, void *p, size_t size);
/* Reads the whole body into out, which is cleared first. content_length is the variable of that
 * name. */
enum conn_body {
	CONN_BODY_WHOLE,
	CONN_BODY_TOO_LARGE, /* more than max bytes; the rest is not read */
	CONN_BODY_SHORT,     /* it ended before its length */
	CONN_BODY_BAD_LENGTH
};
enum conn_body conn_read_body(
	struct conn *c, const char *content_length, size_t max, struct str *out);
/* Reads and forgets what is left of the body, at most `most` bytes. true if its end was reached. */
bool conn_drain(struct conn *c, size_t most);
/* Writes the whole answer, at once; false if the web server is gone. Then finish. */
bool conn_write(
	struct conn *c, const void *head, size_t head_len, const void *body, size_t body_len);
void conn_finish(struct conn *c);
/* Takes the connection out of the request at hand, whose buffers are freed: the descriptor, now
 * non-blocking, is the sink's. The body must have been read to its end. */
void conn_take(struct conn *c, struct sink *s);

#endif
