/*
 * dissect_sasl: what a client and a broker say to authenticate: PLAIN (RFC
 * 4616), SCRAM (RFC 5802), OAUTHBEARER (RFC 7628), piece by piece. The bytes
 * alone tell which it is. A password, a proof, a token never becomes text,
 * nor does anything that isn't understood.
 */
#include "proto/dissect/dissect_walk.h"

enum {
    KVSEP = 0x01 /* RFC 7628: ends each pair */
};

/* `prefix` bytes before what is shown, and `secret` at its end which are not. */
static void piece(struct kf__dissector *d, const char *name, size_t prefix, size_t size,
                  size_t secret)
{
    const uint8_t *at = kf__take(&d->in, prefix + size);
    if (secret < size || !secret)
        kf__text_string(&d->text, at + prefix, size - secret);
    if (secret)
        kf__text_secret(d, secret);
    kf__node_field(d, at, name, "text");
}

static size_t find(const struct kf__dissector *d, size_t from, uint8_t wanted)
{
    const uint8_t *at = memchr(d->in.at + from, wanted, kf__left(&d->in) - from);
    return at ? (size_t)(at - d->in.at) : kf__left(&d->in);
}

static bool begins(const struct kf__dissector *d, const char *text)
{
    size_t size = strlen(text);
    return kf__left(&d->in) >= size && memcmp(d->in.at, text, size) == 0;
}

static bool is_one_of(const struct kf__dissector *d, const char *const *texts)
{
    for (; *texts; texts++)
        if (begins(d, *texts))
            return true;
    return false;
}

/* [authzid] NUL authcid NUL passwd */
static bool is_plain(const struct kf__dissector *d)
{
    size_t size = kf__left(&d->in), first = find(d, 0, 0);
    size_t second = first < size ? find(d, first + 1, 0) : size;
    return second < size && second > first + 1 && find(d, second + 1, 0) == size;
}

static void read_plain(struct kf__dissector *d)
{
    piece(d, "authzid", 0, find(d, 0, 0), 0);
    piece(d, "authcid", 1, find(d, 1, 0) - 1, 0);
    size_t size = kf__left(&d->in) - 1;
    piece(d, "password", 1, size, size);
}

/* RFC 5802, 5.1; what isn't here (an extension) isn't shown. */
static const char *attribute_name(uint8_t letter)
{
    switch (letter) {
    case 'a':
        return "authzid";
    case 'n':
        return "user";
    case 'r':
        return "nonce";
    case 's':
        return "salt";
    case 'i':
        return "iterations";
    case 'c':
        return "channelBinding";
    case 'e':
        return "error";
    default:
        return NULL;
    }
}

/* k=value,k=value: `prefix` for the comma before the first. */
static void read_attributes(struct kf__dissector *d)
{
    for (size_t comma = 0; kf__left(&d->in); comma = 1) {
        size_t size = find(d, comma, ',') - comma;
        const uint8_t *at = d->in.at + comma;
        bool pair = size >= 2 && at[1] == '=';
        const char *name = pair ? attribute_name(at[0]) : NULL;
        if (name)
            piece(d, name, comma + 2, size - 2, 0);
        else if (pair && (at[0] == 'p' || at[0] == 'v')) /* each would do to guess passwords by */
            piece(d, at[0] == 'p' ? "proof" : "serverSignature", comma + 2, size - 2, size - 2);
        else
            piece(d, "extension", comma, size, size);
    }
}

/* "n,a=…," before the first message of SCRAM and OAUTHBEARER; 0: there is none. */
static size_t gs2_header(const struct kf__dissector *d)
{
    static const char *const flags[] = {"n,", "y,", NULL};
    if (!is_one_of(d, flags))
        return 0;
    size_t end = find(d, 2, ',');
    return end < kf__left(&d->in) ? end + 1 : 0;
}

/* key=value, each ended by KVSEP, and one more at the end */
static void read_pairs(struct kf__dissector *d)
{
    static const char auth[] = "auth=";
    while (kf__left(&d->in) > 2) {
        size_t size = find(d, 1, KVSEP) - 1;
        struct kf__dissector value = *d;
        value.in.at++;
        if (!begins(&value, auth)) {
            piece(d, "extension", 1, size, 0);
            continue;
        }
        value.in.at += sizeof auth - 1;
        size_t scheme = find(&value, 0, ' ') + 1, token = size - (sizeof auth - 1);
        piece(d, "auth", sizeof auth, token, scheme < token ? token - scheme : token);
    }
    if (kf__left(&d->in))
        piece(d, "end", 0, kf__left(&d->in), 0);
}

static void read_unknown(struct kf__dissector *d, const char *name)
{
    size_t size = kf__left(&d->in);
    piece(d, name, 0, size, size);
}

const char *kf__sasl_name(const struct kf__dissector *d, bool from_client)
{
    static const char *const scram_client[] = {"c=", NULL};
    static const char *const scram_server[] = {"r=", "v=", "e=", NULL};
    size_t header = gs2_header(d);
    if (kf__left(&d->in) == 0)
        return "no SASL message";
    if (!from_client)
        return begins(d, "{")               ? "SASL OAUTHBEARER"
               : is_one_of(d, scram_server) ? "SASL SCRAM"
                                            : "SASL";
    if (is_plain(d))
        return "SASL PLAIN";
    if (kf__left(&d->in) == 1 && d->in.at[0] == KVSEP)
        return "SASL OAUTHBEARER";
    if (header && header < kf__left(&d->in) && d->in.at[header] == KVSEP)
        return "SASL OAUTHBEARER";
    return header || is_one_of(d, scram_client) ? "SASL SCRAM" : "SASL";
}

void kf__dissect_sasl(struct kf__dissector *d, bool from_client)
{
    const char *name = kf__sasl_name(d, from_client);
    size_t header = gs2_header(d);
    if (strcmp(name, "SASL PLAIN") == 0) {
        read_plain(d);
    } else if (strcmp(name, "SASL SCRAM") == 0) {
        if (header && from_client)
            piece(d, "gs2Header", 0, header, 0);
        read_attributes(d);
    } else if (strcmp(name, "SASL OAUTHBEARER") == 0 && !from_client) {
        piece(d, "error", 0, kf__left(&d->in), 0);
    } else if (strcmp(name, "SASL OAUTHBEARER") == 0) {
        if (header)
            piece(d, "gs2Header", 0, header, 0);
        read_pairs(d);
    } else if (kf__left(&d->in)) {
        read_unknown(d, "message");
    }
}
