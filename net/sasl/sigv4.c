/* sigv4: see sigv4.h. */
#include "net/sasl/sigv4.h"

#include "net/sasl/secret.h"
#include "proto/bytes/writer.h"
#include <stdio.h>
#include <string.h>

#define ALGORITHM      "AWS4-HMAC-SHA256"
#define NOTHING_DIGEST "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

enum {
    DIGEST_BYTES = 32,
    SCOPE_BYTES = 256,
    TEXT_BYTES = 512,
    RESERVED_BYTES = 4 * KF_AWS_SESSION_BYTES, /* growing would leave copies of secrets behind */
};

static kf_bytes text_bytes(const char *text)
{
    return (kf_bytes){(const uint8_t *)text, strlen(text)};
}

static void put(kf_writer *out, const char *text) { kf_writer_put(out, text, strlen(text)); }

/* RFC 3986's unreserved characters stay. */
static void put_encoded(kf_writer *out, const char *text)
{
    static const char kept[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
    char hex[4];
    for (; *text; text++) {
        if (strchr(kept, *text)) {
            kf_writer_put(out, text, 1);
        } else {
            snprintf(hex, sizeof hex, "%%%02X", (unsigned)(unsigned char)*text);
            kf_writer_put(out, hex, 3);
        }
    }
}

static void write_hex(const uint8_t *bytes, size_t size, char *text)
{
    for (size_t i = 0; i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

/* Days since 1970 to a date of the Gregorian calendar. */
static void date_of(int64_t days, int *year, int *month, int *day)
{
    int64_t era_days = days + 719468; /* since 0000-03-01 */
    int64_t era = era_days / 146097;
    int64_t in_era = era_days - era * 146097;
    int64_t year_of = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t in_year = in_era - (365 * year_of + year_of / 4 - year_of / 100);
    int64_t from_march = (5 * in_year + 2) / 153;
    *day = (int)(in_year - (153 * from_march + 2) / 5 + 1);
    *month = (int)(from_march < 10 ? from_march + 3 : from_march - 9);
    *year = (int)(year_of + era * 400 + (*month <= 2));
}

void kf__sigv4_stamp(int64_t seconds, char stamp[KF__SIGV4_STAMP_BYTES])
{
    enum {
        DAY = 86400
    };
    char text[64]; /* the compiler sees no bounds on the numbers */
    int year, month, day;
    int rest = (int)(seconds % DAY);
    date_of(seconds / DAY, &year, &month, &day);
    snprintf(text, sizeof text, "%04d%02d%02dT%02d%02d%02dZ", year, month, day, rest / 3600,
             rest / 60 % 60, rest % 60);
    memcpy(stamp, text, KF__SIGV4_STAMP_BYTES - 1);
    stamp[KF__SIGV4_STAMP_BYTES - 1] = '\0';
}

kf_err kf__sigv4_key(const char *secret, const char *day, const char *region, const char *service,
                     uint8_t *key)
{
    char first[KF_AWS_TEXT_BYTES + 4];
    const char *const parts[] = {day, region, service, "aws4_request"};
    uint8_t next[KF__DIGEST_MAX];
    snprintf(first, sizeof first, "AWS4%s", secret);
    kf_bytes with = text_bytes(first);
    kf_err err = KF_OK;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !err; i++) {
        err = kf__hmac(KF__SHA256, with, text_bytes(parts[i]), next);
        memcpy(key, next, DIGEST_BYTES);
        with = (kf_bytes){key, DIGEST_BYTES};
    }
    kf__wipe(first, sizeof first);
    kf__wipe(next, sizeof next);
    return err;
}

/* In the order of the names, as the canonical request wants it. */
static void put_query(kf_writer *out, const struct kf__sigv4_request *request, const char *stamp,
                      const char *scope)
{
    char expires[16];
    snprintf(expires, sizeof expires, "%d", request->expires);
    if (request->action) {
        put(out, "Action=");
        put_encoded(out, request->action);
        put(out, "&");
    }
    put(out, "X-Amz-Algorithm=" ALGORITHM "&X-Amz-Credential=");
    put_encoded(out, request->credentials->access_key_id);
    put_encoded(out, "/");
    put_encoded(out, scope);
    put(out, "&X-Amz-Date=");
    put(out, stamp);
    put(out, "&X-Amz-Expires=");
    put(out, expires);
    if (request->credentials->session_token[0]) {
        put(out, "&X-Amz-Security-Token=");
        put_encoded(out, request->credentials->session_token);
    }
    put(out, "&X-Amz-SignedHeaders=host");
}

static kf_err digest_request(const struct kf__sigv4_request *request, const kf_writer *query,
                             const kf_allocator *alloc, char *hex)
{
    kf_writer canonical;
    uint8_t digest[KF__DIGEST_MAX];
    kf_writer_init(&canonical, alloc);
    kf__writer_reserve(&canonical, RESERVED_BYTES);
    put(&canonical, "GET\n");
    put(&canonical, request->path);
    put(&canonical, "\n");
    kf_writer_put(&canonical, query->bytes, query->used);
    put(&canonical, "\nhost:");
    put(&canonical, request->host);
    put(&canonical, "\n\nhost\n");
    put(&canonical, request->payload_digest ? request->payload_digest : NOTHING_DIGEST);
    kf_err err = canonical.err;
    if (!err)
        err = kf__digest(KF__SHA256, (kf_bytes){canonical.bytes, canonical.used}, digest);
    if (!err)
        write_hex(digest, DIGEST_BYTES, hex);
    kf__wipe(canonical.bytes, canonical.used);
    kf_writer_free(&canonical);
    return err;
}

static kf_err sign(const struct kf__sigv4_request *request, const char *stamp, const char *scope,
                   const char *request_digest, char *hex)
{
    char text[TEXT_BYTES], day[9];
    uint8_t key[DIGEST_BYTES], signature[KF__DIGEST_MAX];
    snprintf(day, sizeof day, "%.8s", stamp);
    snprintf(text, sizeof text, ALGORITHM "\n%s\n%s\n%s", stamp, scope, request_digest);
    kf_err err = kf__sigv4_key(request->credentials->secret_access_key, day, request->region,
                               request->service, key);
    if (!err)
        err = kf__hmac(KF__SHA256, (kf_bytes){key, sizeof key}, text_bytes(text), signature);
    if (!err)
        write_hex(signature, DIGEST_BYTES, hex);
    kf__wipe(key, sizeof key);
    return err;
}

kf_err kf__sigv4_presign(const struct kf__sigv4_request *request, kf_writer *url)
{
    char stamp[KF__SIGV4_STAMP_BYTES], scope[SCOPE_BYTES];
    char digest[2 * DIGEST_BYTES + 1], signature[2 * DIGEST_BYTES + 1];
    kf_writer query;
    kf__sigv4_stamp(request->seconds, stamp);
    int size = snprintf(scope, sizeof scope, "%.8s/%s/%s/aws4_request", stamp, request->region,
                        request->service);
    if (size < 0 || (size_t)size >= sizeof scope)
        return KF_ERR_INVALID_ARGUMENT;

    kf_writer_init(&query, url->alloc);
    kf__writer_reserve(&query, RESERVED_BYTES);
    put_query(&query, request, stamp, scope);
    kf_err err = query.err;
    if (!err)
        err = digest_request(request, &query, url->alloc, digest);
    if (!err)
        err = sign(request, stamp, scope, digest, signature);
    if (!err) {
        put(url, "https://");
        put(url, request->host);
        put(url, request->path);
        put(url, "?");
        kf_writer_put(url, query.bytes, query.used);
        put(url, "&X-Amz-Signature=");
        put(url, signature);
        kf_writer_put(url, "", 1);
        err = url->err;
    }
    kf__wipe(query.bytes, query.used);
    kf_writer_free(&query);
    return err;
}
