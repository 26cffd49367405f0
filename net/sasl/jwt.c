/* jwt: see jwt.h. */
#include "net/sasl/jwt.h"

#include "net/sasl/base64.h"
#include "net/sasl/json_fields.h"
#include "proto/bytes/arena.h"
#include <string.h>

enum {
    ARENA_BYTES = 256 * 1024,
};

static kf_err bad(kf_error *error)
{
    return kf_error_set(error, KF_ERR_BAD_JSON, "the token is not a JSON web token");
}

/* Up to the next dot or the end; null where there is none to begin with. */
static kf_string take_part(kf_string *token)
{
    if (!token->data)
        return (kf_string){0};
    const char *dot = memchr(token->data, '.', token->size);
    size_t size = dot ? (size_t)(dot - token->data) : token->size;
    kf_string part = {token->data, size};
    *token = dot ? (kf_string){dot + 1, token->size - size - 1} : (kf_string){0};
    return part;
}

static kf_err decode_part(kf_arena *arena, kf_string part, kf_bytes *bytes, kf_error *error)
{
    uint8_t *room = kf_arena_alloc(arena, part.size + 1);
    if (!room)
        return KF_ERR_NO_MEMORY;
    ssize_t size = part.data ? kf__base64url_read(part.data, part.size, room) : -1;
    if (size < 0)
        return bad(error);
    *bytes = (kf_bytes){room, (size_t)size};
    return KF_OK;
}

static kf_err read_part(kf_arena *arena, kf_string part, struct kf__json_field *fields,
                        size_t count, kf_error *error)
{
    kf_bytes json = {0};
    kf_err err = decode_part(arena, part, &json, error);
    if (!err)
        err = kf__json_fields(arena, (kf_string){(const char *)json.data, json.size}, fields, count,
                              error);
    return err;
}

/* Seconds since 1970, maybe with a fraction (RFC 7519, section 2). */
static int64_t date_ms(const struct kf__json_field *field)
{
    const double latest = 253402300800.0; /* the year 10000 */
    bool sane = field->is_number && field->number > 0 && field->number < latest;
    return sane ? (int64_t)(field->number * 1000) : 0;
}

kf_err kf__jwt_read(kf_arena *arena, kf_string token, const char *subject_claim,
                    struct kf__jwt *jwt, kf_error *error)
{
    *jwt = (struct kf__jwt){0};
    if (!token.data || token.size > KF__JWT_BYTES)
        return bad(error);
    kf_string rest = token;
    kf_string header = take_part(&rest);
    kf_string claims = take_part(&rest);
    kf_string signature = take_part(&rest);
    if (!signature.data || rest.data)
        return bad(error);

    struct kf__json_field head[] = {{.name = "alg"}};
    struct kf__json_field said[] = {{.name = subject_claim ? subject_claim : "sub"},
                                    {.name = "iss"},
                                    {.name = "scope"},
                                    {.name = "iat"},
                                    {.name = "exp"},
                                    {.name = "nbf"}};
    kf_err err = read_part(arena, header, head, 1, error);
    if (!err)
        err = read_part(arena, claims, said, sizeof said / sizeof *said, error);
    if (!err)
        err = decode_part(arena, signature, &jwt->signature, error);
    if (err)
        return err;
    jwt->algorithm = head[0].text;
    jwt->subject = said[0].text;
    jwt->issuer = said[1].text;
    jwt->scope = said[2].text;
    jwt->issued_ms = date_ms(&said[3]);
    jwt->expires_ms = date_ms(&said[4]);
    jwt->not_before_ms = date_ms(&said[5]);
    jwt->signed_part = (kf_string){token.data, (size_t)(claims.data + claims.size - token.data)};
    return KF_OK;
}

int64_t kf__jwt_expiry_ms(const kf_allocator *alloc, kf_string token)
{
    kf_arena arena;
    struct kf__jwt jwt;
    kf_arena_init(&arena, alloc, ARENA_BYTES);
    kf_err err = kf__jwt_read(&arena, token, NULL, &jwt, NULL);
    kf__arena_wipe(&arena); /* its parts are the token in another spelling */
    kf_arena_free(&arena);
    return err ? 0 : jwt.expires_ms;
}

bool kf__jwt_status(const kf_allocator *alloc, kf_string json, char *status, size_t size)
{
    kf_arena arena;
    struct kf__json_field field = {.name = "status"};
    kf_arena_init(&arena, alloc, ARENA_BYTES);
    kf_err err = kf__json_fields(&arena, json, &field, 1, NULL);
    size_t used = 0;
    for (; !err && used < field.text.size && used + 1 < size; used++) {
        char c = field.text.data[used];
        status[used] = c > ' ' && c < 0x7f ? c : '?';
    }
    status[used] = '\0';
    kf_arena_free(&arena);
    return used > 0;
}
