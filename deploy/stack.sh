# What up, down and supervise share; sourced with $dir set to the stack's absolute directory.
# shellcheck shell=sh

# The order in which they start. They stop in another: see down.
programs='mariadb poller fcgi-1 fcgi-2 lighttpd'

die() {
	echo "deploy/${0##*/}: $*" >&2
	exit 1
}

# Is this pid alive and one of this stack's? A pid file may be older than the machine's last boot,
# and the number given to somebody else since.
is_ours() {
	[ -n "$1" ] && grep -qzxF "CMDB_STACK=$dir" "/proc/$1/environ" 2>/dev/null
}

# Stops a process of this stack, with KILL after so many seconds.
stop_pid() {
	is_ours "$1" || return 0
	kill -TERM "$1" 2>/dev/null
	tenths=$(($2 * 10))
	while is_ours "$1" && [ "$tenths" -gt 0 ]; do
		sleep 0.1
		tenths=$((tenths - 1))
	done
	if is_ours "$1"; then
		kill -KILL "$1" 2>/dev/null
	fi
}

is_supervised() {
	is_ours "$(cat "$dir/run/$1.super" 2>/dev/null)"
}

# Every process of this stack, supervisors too.
stack_pids() {
	grep -lzxF "CMDB_STACK=$dir" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3
}

# The directory as an absolute path without symlinks. Its name goes into several programs'
# configuration files, so only characters that need no quoting anywhere are taken.
stack_dir() {
	case $1 in
	'' | *[!A-Za-z0-9/._+-]*) die "--dir '$1': use letters, digits and / . _ + - only" ;;
	esac
	realpath -m -- "$1"
}
