#include "fleet.h"

#include <stdlib.h>
#include <string.h>

#include "log_entry.h"
#include "mem.h"

#define BURST_ONE_IN 2000
#define BURST_MIN 20
#define BURST_MAX 150
#define BURST_TROUBLE 80 /* of 100 of its lines */
#define SITES_N 4
#define META_ONE_IN 8

/* A message of a kind: %n number, %h one below 100, %t ms, %i address, %o port of a client, %r the
 * request's id, %p path, %u user, %d another device. */
struct line {
	enum entry_level level;
	const char *source, *text;
};

/* shares: of 1000 lines, DEBUG to FATAL. */
static const struct kind {
	const char *name, *tag;
	unsigned weight; /* of a fleet */
	unsigned shares[ENTRY_LEVEL_N];
	const struct line *lines;
} kinds[] = {
	{"web", "http", 5, {0, 60, 870, 50, 19, 1},
		(const struct line[]){
			{ENTRY_DEBUG, "nginx",
				"keep-alive connection from %i closed after %n requests"},
			{ENTRY_DEBUG, "app", "[%r] cache miss for %p, asking origin"},
			{ENTRY_INFO, "nginx", "%i \"GET %p HTTP/1.1\" 200 %n %t ms req=%r"},
			{ENTRY_INFO, "nginx", "%i \"POST %p HTTP/1.1\" 201 %n %t ms req=%r"},
			{ENTRY_INFO, "app", "[%r] user %u signed in from %i"},
			{ENTRY_INFO, "app", "[%r] rendered %p in %t ms"},
			{ENTRY_WARN, "nginx",
				"upstream answered after %t ms, buffered to disk req=%r"},
			{ENTRY_WARN, "app", "[%r] slow query: %t ms for %p"},
			{ENTRY_ERROR, "nginx",
				"upstream timed out (110: Connection timed out), client: %i, "
				"request: \"GET %p\" req=%r"},
			{ENTRY_ERROR, "app",
				"[%r] unhandled exception in %p: connection reset by %d"},
			{ENTRY_FATAL, "app", "out of memory: killed worker %n"}, {0}}},
	{"db", "sql", 2, {0, 30, 880, 70, 18, 2},
		(const struct line[]){
			{ENTRY_DEBUG, "mariadbd", "purge: %n undo records, history list %n"},
			{ENTRY_INFO, "mariadbd", "checkpoint complete: %n pages in %t ms"},
			{ENTRY_INFO, "backup", "copied %n MiB to %d in %t ms"},
			{ENTRY_WARN, "mariadbd", "aborted connection %n to db 'shop' from %i"},
			{ENTRY_WARN, "replica", "%t ms behind %d"},
			{ENTRY_ERROR, "mariadbd", "deadlock found, transaction %n rolled back"},
			{ENTRY_ERROR, "replica", "lost connection to %d, retrying in %n s"},
			{ENTRY_FATAL, "mariadbd", "InnoDB: assertion failure in thread %n"}, {0}}},
	{"sw", "network", 3, {0, 20, 830, 120, 27, 3},
		(const struct line[]){{ENTRY_DEBUG, "lldpd", "neighbour %d seen on port %h"},
			{ENTRY_INFO, "ifmgr", "port %h: link up, 10 Gbit/s full duplex"},
			{ENTRY_INFO, "sshd", "accepted publickey for %u from %i port %o"},
			{ENTRY_WARN, "ifmgr", "port %h: %n input errors within 5 s"},
			{ENTRY_WARN, "stp", "topology change on port %h by %d"},
			{ENTRY_ERROR, "ifmgr", "port %h: link down"},
			{ENTRY_ERROR, "bgpd", "neighbour %i: hold timer expired"},
			{ENTRY_FATAL, "psu", "power supply 2 failed, %h W left"}, {0}}},
	{"sensor", "iot", 4, {0, 250, 720, 25, 5, 0},
		(const struct line[]){{ENTRY_DEBUG, "radio", "rssi -%h dBm, frame %n"},
			{ENTRY_INFO, "reading", "temperature=%h.%h humidity=%h"},
			{ENTRY_INFO, "reading", "Außenfühler: %h,%h °C"},
			{ENTRY_WARN, "power", "battery at %h %%"},
			{ENTRY_ERROR, "reading", "no answer from the probe within %t ms"}, {0}}},
	{"build", "ci", 1, {0, 300, 620, 60, 18, 2},
		(const struct line[]){
			{ENTRY_DEBUG, "runner", "[%r] step %n: cc -O2 -c src/module_%n.c"},
			{ENTRY_INFO, "runner", "[%r] job %n for %u passed in %t ms"},
			{ENTRY_INFO, "runner", "[%r] fetched %n objects from %d"},
			{ENTRY_WARN, "runner", "[%r] test took %t ms, more than usual"},
			{ENTRY_ERROR, "runner", "[%r] job %n failed: 3 of 1%h tests"},
			{ENTRY_FATAL, "runner", "disk full: cannot write artifact of job %n"},
			{0}}},
};
#define KINDS_N (sizeof(kinds) / sizeof(kinds[0]))

static const char *const sites[SITES_N] = {"fra", "ams", "sin", "nyc"};
static const char *const paths[] = {"/", "/api/v1/orders", "/login", "/static/app.js",
	"/search?q=socks", "/cart", "/health", "/img/42.webp"};
static const char *const users[] = {"anna", "bo", "chen", "dora", "ünal", "root", "deploy"};
#define N_OF(a) (sizeof(a) / sizeof((a)[0]))

struct fleet {
	uint64_t dice;
	unsigned devices_n, part, parts_n, mine_n;
	unsigned weights; /* of all kinds */
	/* The burst under way. */
	unsigned burst_left, burst_device;
	uint32_t burst_request;
};

/* splitmix64: the same everywhere. */
static uint64_t roll(struct fleet *f)
{
	uint64_t z = f->dice += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static unsigned below(struct fleet *f, unsigned n)
{
	return (unsigned)(roll(f) % n);
}

struct fleet *fleet_new(uint64_t seed, unsigned devices_n, unsigned part, unsigned parts_n)
{
	struct fleet *f = xcalloc(1, sizeof(*f));

	*f = (struct fleet){.dice = seed * 1000003 + part,
		.devices_n = devices_n,
		.part = part,
		.parts_n = parts_n,
		.mine_n = part < devices_n ? (devices_n - part - 1) / parts_n + 1 : 1};
	for (size_t i = 0; i < KINDS_N; i++)
		f->weights += kinds[i].weight;
	return f;
}

void fleet_free(struct fleet *f)
{
	free(f);
}

/* ---- devices ---- */

/* A device is the same in every fleet that has it. */
static const struct kind *kind_of(const struct fleet *f, unsigned device)
{
	/* Kinds alternate, so that a fleet of a few has several. */
	unsigned at = device * 7 % f->weights;
	size_t i = 0;

	while (at >= kinds[i].weight)
		at -= kinds[i++].weight;
	return &kinds[i];
}

static void put_device(struct str *out, const struct kind *k, unsigned device)
{
	str_addf(out, "%s-%s-%03u", k->name, sites[device / 5 % SITES_N], device + 1);
}

/* Few say much: the square of an even chance. */
static unsigned pick_device(struct fleet *f)
{
	uint64_t u = roll(f) >> 40; /* 24 bits */
	unsigned mine = (unsigned)((u * u >> 24) * f->mine_n >> 24);

	return mine * f->parts_n + f->part;
}

/* ---- lines ---- */

static enum entry_level pick_level(struct fleet *f, const struct kind *k)
{
	unsigned at = below(f, 1000), level = ENTRY_DEBUG;

	while (at >= k->shares[level])
		at -= k->shares[level++];
	return (enum entry_level)level;
}

/* One of its lines of that level. */
static const struct line *pick_line(struct fleet *f, const struct kind *k, enum entry_level level)
{
	const struct line *of_level[16];
	unsigned n = 0;

	for (const struct line *l = k->lines; l->text && n < N_OF(of_level); l++)
		if (l->level == level)
			of_level[n++] = l;
	return of_level[below(f, n)];
}

static void put_word(struct fleet *f, char what, unsigned device, uint32_t request, struct str *out)
{
	unsigned u = below(f, 1000);

	switch (what) {
	case 'n':
		str_addu(out, below(f, u < 900 ? 100 : 100000));
		break;
	case 'h': /* of a hundred */
		str_addu(out, below(f, 100));
		break;
	case 'o': /* a client's port */
		str_addu(out, 32768 + below(f, 28232));
		break;
	case 't': /* ms: mostly few */
		str_addu(out, u < 950 ? 1 + below(f, 80) : 500 + below(f, 9500));
		break;
	case 'i':
		str_addf(out, "10.%u.%u.%u", below(f, 4), below(f, 256), 1 + below(f, 254));
		break;
	case 'r':
		str_addf(out, "%08x", request);
		break;
	case 'p':
		str_adds(out, paths[u % N_OF(paths)]);
		break;
	case 'u':
		str_adds(out, users[u % N_OF(users)]);
		break;
	case 'd':
		device = below(f, f->devices_n);
		put_device(out, kind_of(f, device), device);
		break;
	default:
		str_addc(out, what);
	}
}

static void put_message(
	struct fleet *f, const char *text, unsigned device, uint32_t request, struct str *out)
{
	for (; *text; text++) {
		if (*text == '%' && text[1])
			put_word(f, *++text, device, request, out);
		else
			str_addc(out, *text);
	}
}

void fleet_next(struct fleet *f, int64_t wall_ms, struct str *out)
{
	bool is_burst = f->burst_left > 0;
	unsigned device = is_burst ? f->burst_device : pick_device(f);
	const struct kind *k = kind_of(f, device);
	uint32_t request = is_burst ? f->burst_request : (uint32_t)roll(f);
	enum entry_level level = pick_level(f, k);
	struct str message = STR_INIT;
	const struct line *line;

	if (is_burst) {
		f->burst_left--;
		if (below(f, 100) < BURST_TROUBLE)
			level = below(f, 3) ? ENTRY_ERROR : ENTRY_WARN;
	} else if (below(f, BURST_ONE_IN) == 0) {
		f->burst_left = BURST_MIN + below(f, BURST_MAX - BURST_MIN);
		f->burst_device = device;
		f->burst_request = request;
	}
	line = pick_line(f, k, level);
	put_message(f, line->text, device, request, &message);
	str_adds(out, "{\"deviceId\":\"");
	put_device(out, k, device);
	str_addf(out, "\",\"timestamp\":%lld,\"level\":\"%s\",\"message\":", (long long)wall_ms,
		entry_level_name(level));
	str_add_json_n(out, message.p, message.len);
	str_addf(out, ",\"tags\":[\"%s\",\"%s\"%s],\"source\":\"%s\"", k->tag,
		sites[device / 5 % SITES_N], is_burst ? ",\"burst\"" : "", line->source);
	if (below(f, META_ONE_IN) == 0)
		str_addf(out, ",\"meta\":{\"requestId\":\"%08x\",\"attempt\":%u}", request,
			1 + below(f, 3));
	str_addc(out, '}');
	str_fini(&message);
}
