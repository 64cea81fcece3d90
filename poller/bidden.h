/*
 * What other hosts have this one do: events of the topic "_hosts" (hosts.h), as soon as they are
 * read. That a connection is to go is obeyed whenever it is read, also after a restart; a cast only
 * while this poller is at work: what it released before it died it would send again. The loop
 * thread's.
 */
#ifndef CMDB_BIDDEN_H
#define CMDB_BIDDEN_H

struct hub;
struct record;

void bidden_obey(struct hub *hub, const struct record *r);

#endif
