/*
 * The verbs of `cmdbctl user` that change what a user belongs to: roles and departments.
 */
#ifndef CMDB_CLI_USER_H
#define CMDB_CLI_USER_H

#include "cmd.h"

enum ctl_exit user_grant_role(struct call *call);
enum ctl_exit user_revoke_role(struct call *call);
enum ctl_exit user_add_department(struct call *call);
enum ctl_exit user_remove_department(struct call *call);

#endif
