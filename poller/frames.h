/*
 * What each frame of a connection does (lib/wire.h): a switch to who does it. The loop thread's.
 */
#ifndef CMDB_FRAMES_H
#define CMDB_FRAMES_H

#include "conn.h"

extern const struct conn_handler frames_handler;

#endif
