#include "token.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jwt.h>
#include <sodium.h>

#include "clock.h"
#include "json.h"
#include "mem.h"
#include "secret.h"

#define HS256_SECRET_MIN 32 /* RFC 7518 section 3.2 */
#define SIG_MAX 1024        /* RS256 with a key of 8192 bits */

/* What is accepted as a signature. With ES256 the length pins the curve, which libjwt does not. */
static const struct scheme {
	const char *name;
	jwt_alg_t alg;
	size_t sig_min, sig_max;
	bool is_pem;
} schemes[] = {
	{"HS256", JWT_ALG_HS256, 32, 32, false},
	{"RS256", JWT_ALG_RS256, 256, SIG_MAX, true},
	{"ES256", JWT_ALG_ES256, 64, 64, true},
};

struct key_bytes {
	char *p;
	size_t len;
};

struct token_key {
	const struct scheme *scheme;
	struct key_bytes sign, verify; /* HS256: verify is empty, sign does both */
	char *issuer, *audience;
	int64_t leeway_s;
};

void token_key_free(struct token_key *k)
{
	if (!k)
		return;
	secret_wipe(k->sign.p, k->sign.len);
	free(k->sign.p);
	free(k->verify.p);
	free(k->issuer);
	free(k->audience);
	free(k);
}

/* ---- loading ---- */

static bool load_secret(struct token_key *k, const char *file, struct str *why)
{
	const char *problem;

	k->sign.p = secret_read_file(file, &k->sign.len, &problem);
	if (!k->sign.p) {
		str_addf(why, "auth.key_file %s: %s", file, problem);
		return false;
	}
	/* A file written by a shell or an editor ends in a line break that nobody means. */
	while (k->sign.len > 0 && strchr("\r\n", k->sign.p[k->sign.len - 1]))
		k->sign.len--;
	if (k->sign.len < HS256_SECRET_MIN) {
		str_addf(why,
			"auth.key_file %s: HS256 needs a secret of at least %d bytes "
			"(cure: openssl rand -base64 48)",
			file, HS256_SECRET_MIN);
		return false;
	}
	return true;
}

static bool load_private(struct token_key *k, const char *file, struct str *why)
{
	const char *problem;

	k->sign.p = secret_read_file(file, &k->sign.len, &problem);
	if (k->sign.p && !strstr(k->sign.p, "PRIVATE KEY-----"))
		problem = "it is not a private key in PEM";
	/* OpenSSL would ask for the passphrase on the terminal. */
	else if (k->sign.p && strstr(k->sign.p, "ENCRYPTED"))
		problem = "the key has a passphrase (cure: openssl pkey -in FILE -out NEW)";
	if (problem)
		str_addf(why, "auth.key_file %s: %s", file, problem);
	return !problem;
}

static bool load_public(struct token_key *k, const char *file, struct str *why)
{
	const char *problem;

	k->verify.p = secret_read_public_file(file, &k->verify.len, &problem);
	if (k->verify.p && !strstr(k->verify.p, "-----BEGIN PUBLIC KEY-----"))
		problem = "it is not a public key in PEM (cure: openssl pkey -pubout)";
	if (problem)
		str_addf(why, "auth.public_key_file %s: %s", file, problem);
	return !problem;
}

/* Does what the private key signs pass the public one? Also finds a key of another kind, curve or
 * too few bits. */
static bool keys_fit(const struct token_key *k)
{
	char jti[] = "00000000000000000000000000000000", name[] = "probe";
	struct principal p = {.user_id = 1, .tenant_id = 1, .username = name, .jti = jti};
	struct token_claims claims;
	struct str token = STR_INIT;
	bool ok = token_issue(k, &p, 1000, 60, &token) == ERR_OK &&
		  token_verify(k, token.p, token.len, 1000, &claims) == ERR_OK;

	str_fini(&token);
	return ok;
}

struct token_key *token_key_load(const struct config *cfg, struct str *why)
{
	const char *key_file = cfg->auth.key_file, *public_file = cfg->auth.public_key_file;
	struct token_key *k = xcalloc(1, sizeof(*k));
	bool ok;

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (strcmp(schemes[i].name, cfg->auth.algorithm) == 0)
			k->scheme = &schemes[i];
	k->issuer = xstrdup(cfg->auth.issuer);
	k->audience = xstrdup(cfg->auth.audience);
	k->leeway_s = cfg->auth.leeway_s;

	if (!k->scheme) {
		str_addf(why, "auth.algorithm %s: use HS256, RS256 or ES256", cfg->auth.algorithm);
		ok = false;
	} else if (!k->scheme->is_pem) {
		ok = load_secret(k, key_file, why);
	} else {
		ok = load_public(k, public_file, why) &&
		     (!*key_file || load_private(k, key_file, why));
	}
	if (ok && k->sign.p && !keys_fit(k)) {
		str_addf(why,
			"auth.key_file %s and auth.public_key_file %s: not a pair of %s keys "
			"(RS256: 2048 bits or more; ES256: curve P-256)",
			key_file, public_file, k->scheme->name);
		ok = false;
	}
	if (ok)
		return k;
	token_key_free(k);
	return NULL;
}

/* ---- signing ---- */

static void token_add_list(struct str *s, const char *claim, const struct strlist *l)
{
	str_addf(s, ",\"%s\":[", claim);
	for (size_t i = 0; i < l->n; i++) {
		if (i > 0)
			str_addc(s, ',');
		str_add_json(s, l->v[i]);
	}
	str_addc(s, ']');
}

static void add_claims(struct str *s, const struct token_key *k, const struct principal *p,
	int64_t now_s, int64_t ttl_s)
{
	str_addf(s, "{\"sub\":\"%llu\",\"tenant\":%lu,\"name\":", (unsigned long long)p->user_id,
		(unsigned long)p->tenant_id);
	str_add_json(s, p->username);
	token_add_list(s, "roles", &p->roles);
	token_add_list(s, "departments", &p->departments);
	str_adds(s, ",\"jti\":");
	str_add_json(s, p->jti);
	str_adds(s, ",\"iss\":");
	str_add_json(s, k->issuer);
	str_adds(s, ",\"aud\":");
	str_add_json(s, k->audience);
	str_addf(s, ",\"iat\":%lld,\"nbf\":%lld,\"exp\":%lld}", (long long)now_s, (long long)now_s,
		(long long)(now_s + ttl_s));
}

enum err token_issue(const struct token_key *k, const struct principal *p, int64_t now_s,
	int64_t ttl_s, struct str *out)
{
	struct str claims = STR_INIT;
	jwt_t *jwt = NULL;
	char *text = NULL;
	enum err e = ERR_INTERNAL;

	add_claims(&claims, k, p, now_s, ttl_s);
	if (jwt_new(&jwt) != 0 || !k->sign.p ||
		jwt_set_alg(jwt, k->scheme->alg, (const unsigned char *)k->sign.p,
			(int)k->sign.len) != 0 ||
		jwt_add_grants_json(jwt, claims.p) != 0)
		goto out;
	text = jwt_encode_str(jwt);
	if (!text || strlen(text) > TOKEN_MAX)
		goto out;
	str_adds(out, text);
	e = ERR_OK;
out:
	free(text);
	jwt_free(jwt);
	str_fini(&claims);
	return e;
}

/* ---- verifying ---- */

/* A token cut at its dots; each part decoded. */
struct parts {
	struct json_object *head, *body;
	size_t sig_len;
};

/* base64url as RFC 7515 section 2 has it: no padding, no other characters, no loose bits. */
static bool decode_part(const char *p, size_t len, unsigned char *out, size_t size, size_t *out_len)
{
	return sodium_base642bin(out, size, p, len, NULL, out_len, NULL,
		       sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0;
}

static struct json_object *decode_object(const char *p, size_t len)
{
	unsigned char text[TOKEN_MAX];
	struct json_object *o = NULL;
	const char *why;
	size_t text_len, offset;

	if (!decode_part(p, len, text, sizeof(text), &text_len))
		return NULL;
	o = json_parse((const char *)text, text_len, &why, &offset);
	if (o && !json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		o = NULL;
	}
	return o;
}

static bool parts_split(const char *token, size_t len, struct parts *out)
{
	unsigned char sig[SIG_MAX];
	const char *end = token + len;
	const char *dot1 = memchr(token, '.', len);
	const char *dot2 = dot1 ? memchr(dot1 + 1, '.', (size_t)(end - dot1 - 1)) : NULL;

	*out = (struct parts){0};
	if (!dot2 ||
		!decode_part(dot2 + 1, (size_t)(end - dot2 - 1), sig, sizeof(sig), &out->sig_len))
		return false;
	out->head = decode_object(token, (size_t)(dot1 - token));
	if (!out->head)
		return false;
	out->body = decode_object(dot1 + 1, (size_t)(dot2 - dot1 - 1));
	return out->body != NULL;
}

/* RFC 7515 section 4.1. libjwt 1.10.2 compares alg without regard to case and passes over crit. */
static bool head_is_good(const struct token_key *k, struct json_object *head)
{
	struct json_object *typ = NULL;
	const char *alg = json_get_str(head, "alg");

	if (!alg || strcmp(alg, k->scheme->name) != 0)
		return false;
	if (json_object_object_get_ex(head, "typ", &typ) &&
		(!json_object_is_type(typ, json_type_string) ||
			strcasecmp(json_object_get_string(typ), "JWT") != 0))
		return false;
	return !json_object_object_get_ex(head, "crit", NULL);
}

/* libjwt takes the algorithm from the token, so it may see only one whose head was found good. Its
 * base64 decoder stops at the first strange byte and its buffers are alloca()ed: it may see only
 * well-formed parts of bounded size. */
static bool signature_is_good(const struct token_key *k, const char *token, size_t len)
{
	const struct key_bytes *key = k->scheme->is_pem ? &k->verify : &k->sign;
	char text[TOKEN_MAX + 1];
	jwt_t *jwt = NULL;
	bool ok;

	memcpy(text, token, len);
	text[len] = '\0';
	ok = jwt_decode(&jwt, text, (const unsigned char *)key->p, (int)key->len) == 0 && jwt &&
	     jwt_get_alg(jwt) == k->scheme->alg;
	jwt_free(jwt);
	return ok;
}

static bool is_string_list(struct json_object *o)
{
	if (!json_object_is_type(o, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(o); i++)
		if (!json_object_is_type(json_object_array_get_idx(o, i), json_type_string))
			return false;
	return true;
}

/* aud is a text or a list of texts (RFC 7519 section 4.1.3). */
static bool audience_has(struct json_object *aud, const char *want)
{
	if (json_object_is_type(aud, json_type_string))
		return strcmp(json_object_get_string(aud), want) == 0;
	if (!is_string_list(aud))
		return false;
	for (size_t i = 0; i < json_object_array_length(aud); i++)
		if (strcmp(json_object_get_string(json_object_array_get_idx(aud, i)), want) == 0)
			return true;
	return false;
}

static bool get_int(
	struct json_object *o, const char *claim, int64_t min, int64_t max, int64_t *out)
{
	struct json_object *v = json_get(o, claim);

	if (!json_object_is_type(v, json_type_int))
		return false;
	*out = json_object_get_int64(v);
	return *out >= min && *out <= max;
}

/* The decimal text of an id as token_issue() writes it: no sign, no leading zero. */
static bool get_subject(struct json_object *o, uint64_t *out)
{
	const char *sub = json_get_str(o, "sub");
	size_t len = sub ? strlen(sub) : 0;

	if (len == 0 || len > 19 || sub[0] == '0' || strspn(sub, "0123456789") != len)
		return false;
	*out = strtoull(sub, NULL, 10);
	return *out <= INT64_MAX;
}

static bool get_jti(struct json_object *o, char out[33])
{
	const char *jti = json_get_str(o, "jti");

	if (!jti || strlen(jti) != 32 || strspn(jti, "0123456789abcdef") != 32)
		return false;
	memcpy(out, jti, 33);
	return true;
}

static enum err claims_read(
	const struct token_key *k, struct json_object *o, int64_t now_s, struct token_claims *out)
{
	const char *iss = json_get_str(o, "iss");
	int64_t tenant, nbf_s;

	if (!iss || strcmp(iss, k->issuer) != 0 || !audience_has(json_get(o, "aud"), k->audience) ||
		!get_subject(o, &out->user_id) || !get_jti(o, out->jti) ||
		!get_int(o, "tenant", 1, UINT32_MAX, &tenant) ||
		!get_int(o, "iat", 0, CLOCK_S_MAX, &out->iat_s) ||
		!get_int(o, "nbf", 0, CLOCK_S_MAX, &nbf_s) ||
		!get_int(o, "exp", 0, CLOCK_S_MAX, &out->exp_s) || !json_get_str(o, "name") ||
		!is_string_list(json_get(o, "roles")) ||
		!is_string_list(json_get(o, "departments")))
		return ERR_TOKEN_INVALID;
	if (nbf_s > now_s + k->leeway_s || out->iat_s > now_s + k->leeway_s)
		return ERR_TOKEN_INVALID;
	out->tenant_id = (uint32_t)tenant;
	return out->exp_s > now_s ? ERR_OK : ERR_TOKEN_EXPIRED;
}

enum err token_verify(const struct token_key *k, const char *token, size_t len, int64_t now_s,
	struct token_claims *out)
{
	struct parts parts = {0};
	enum err e = ERR_TOKEN_INVALID;

	memset(out, 0, sizeof(*out));
	if (len <= TOKEN_MAX && parts_split(token, len, &parts) &&
		parts.sig_len >= k->scheme->sig_min && parts.sig_len <= k->scheme->sig_max &&
		head_is_good(k, parts.head) && signature_is_good(k, token, len))
		e = claims_read(k, parts.body, now_s, out);
	json_object_put(parts.head);
	json_object_put(parts.body);
	return e;
}
