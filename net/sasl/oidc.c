/* oidc: see oidc.h. */
#include "net/sasl/oidc.h"

#include "net/loop/times.h"
#include "net/sasl/base64.h"
#include "net/sasl/json_fields.h"
#include "net/sasl/secret.h"
#include "proto/bytes/arena.h"
#include "proto/bytes/writer.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <time.h>

enum {
    ATTEMPTS = 3,
    READ_BYTES = 8192,
    REASON_BYTES = 64,
    SLAB_KEEP = 64 * 1024,
    ARENA_BYTES = 512 * 1024,
    REQUEST_BYTES = 16 * 1024, /* no growth, which would leave copies of the secret behind */
};

/* ---- the request ---- */

static void put(kf_writer *out, const char *text) { kf_writer_put(out, text, strlen(text)); }

/* application/x-www-form-urlencoded */
static void put_encoded(kf_writer *out, const char *text)
{
    static const char kept[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.*";
    char hex[4];
    for (; *text; text++) {
        if (strchr(kept, *text)) {
            kf_writer_put(out, text, 1);
        } else if (*text == ' ') {
            put(out, "+");
        } else {
            snprintf(hex, sizeof hex, "%%%02X", (unsigned)(unsigned char)*text);
            put(out, hex);
        }
    }
}

static void free_secret_writer(kf_writer *writer)
{
    if (writer->bytes)
        kf__wipe(writer->bytes, writer->capacity);
    kf_writer_free(writer);
}

/* "Basic " and base64 of id:secret (RFC 6749, section 2.3.1). */
static kf_err put_credentials(kf_writer *out, const struct kf__oidc_settings *settings)
{
    kf_writer pair;
    kf_writer_init(&pair, out->alloc);
    kf__writer_reserve(&pair, REQUEST_BYTES / 4);
    void (*put_part)(kf_writer *, const char *) = settings->urlencode ? put_encoded : put;
    put_part(&pair, settings->client_id);
    put(&pair, ":");
    put_part(&pair, settings->client_secret);
    kf_err err = pair.err;
    if (!err && pair.used > REQUEST_BYTES / 4)
        err = KF_ERR_INVALID_ARGUMENT;
    char *room = err ? NULL : (char *)kf__writer_reserve(out, kf__base64_size(pair.used));
    if (room) {
        size_t size = kf__base64_write(pair.bytes, pair.used, room);
        kf__commit(out, (const uint8_t *)room + size);
    }
    free_secret_writer(&pair);
    return err ? err : out->err;
}

char *kf__oidc_request(const kf_allocator *alloc, const struct kf__oidc_settings *settings,
                       const struct kf__https_url *url, size_t *size)
{
    kf_writer form, text;
    char number[32], authority[KF__HTTP_AUTHORITY_BYTES];
    kf_writer_init(&form, alloc);
    kf_writer_init(&text, alloc);
    kf__writer_reserve(&text, REQUEST_BYTES);
    put(&form, "grant_type=client_credentials");
    if (settings->scope && *settings->scope) {
        put(&form, "&scope=");
        put_encoded(&form, settings->scope);
    }
    put(&text, "POST ");
    put(&text, *url->path ? url->path : "/");
    put(&text, " HTTP/1.1\r\nHost: ");
    kf__https_url_authority(url, url->port != 443, authority, sizeof authority);
    put(&text, authority);
    put(&text, "\r\nAccept: application/json\r\nConnection: close\r\nUser-Agent: kafiber\r\n"
               "Content-Type: application/x-www-form-urlencoded\r\nAuthorization: Basic ");
    kf_err err = put_credentials(&text, settings);
    snprintf(number, sizeof number, "\r\nContent-Length: %zu\r\n\r\n", form.used);
    put(&text, number);
    kf_writer_put(&text, form.bytes, form.used);

    char *copy = err || form.err || text.err ? NULL : kf_alloc(alloc, text.used + 1);
    if (copy) {
        memcpy(copy, text.bytes, text.used);
        copy[text.used] = '\0';
        *size = text.used;
    }
    kf_writer_free(&form);
    free_secret_writer(&text);
    return copy;
}

/* ---- the answer ---- */

/* A word of the endpoint's, fit for a sentence. */
static void copy_word(char *out, size_t room, kf_string word)
{
    size_t size = 0;
    for (; size < word.size && size + 1 < room; size++)
        out[size] = word.data[size] > ' ' && word.data[size] < 0x7f ? word.data[size] : '?';
    out[size] = '\0';
}

static kf_err refuse(const struct kf__http_answer *answer, kf_string reason, kf_error *error)
{
    char word[REASON_BYTES];
    copy_word(word, sizeof word, reason);
    if (answer->status >= 300 && answer->status < 400)
        return kf_error_set(error, KF_ERR_TOKEN_UNAVAILABLE,
                            "the token endpoint answers with a redirect (status %d), which is not "
                            "followed: set sasl.oauthbearer.token.endpoint.url to where it leads",
                            answer->status);
    return kf_error_set(error, KF_ERR_TOKEN_UNAVAILABLE,
                        "the token endpoint refuses (status %d%s%s): check the client's id, secret "
                        "and scope",
                        answer->status, *word ? ", " : "", word);
}

static kf_err take_token(const struct kf__json_field *access, const struct kf__json_field *expires,
                         int64_t wall_ms, kf_sasl_token *token, kf_error *error)
{
    const double longest = 10.0 * 365 * 86400;
    if (!access->text.data || !access->text.size || access->text.size >= sizeof token->text)
        return kf_error_set(error, KF_ERR_TOKEN_UNAVAILABLE,
                            "the token endpoint's answer has no usable access_token");
    memcpy(token->text, access->text.data, access->text.size);
    token->text[access->text.size] = '\0';
    token->expires_at_ms = 0;
    if (expires->is_number && expires->number >= 1 && expires->number < longest)
        token->expires_at_ms = wall_ms + (int64_t)(expires->number * 1000);
    return KF_OK;
}

kf_err kf__oidc_answer(const kf_allocator *alloc, const struct kf__http_answer *answer,
                       int64_t wall_ms, kf_sasl_token *token, kf_error *error)
{
    struct kf__json_field fields[] = {
        {.name = "access_token"}, {.name = "expires_in"}, {.name = "error"}};
    kf_arena arena;
    kf_error why = KF_ERROR_INIT;
    kf_arena_init(&arena, alloc, ARENA_BYTES);
    kf_err err =
        kf__json_fields(&arena, (kf_string){answer->body, answer->body_size}, fields, 3, &why);
    if (err == KF_ERR_NO_MEMORY)
        kf_error_set(error, err, "%s", why.text);
    else if (answer->status != 200)
        err = refuse(answer, err ? (kf_string){0} : fields[2].text, error);
    else if (err)
        err = kf_error_set(error, KF_ERR_TOKEN_UNAVAILABLE,
                           "the token endpoint's answer is not JSON: %s", why.text);
    else
        err = take_token(&fields[0], &fields[1], wall_ms, token, error);
    kf__arena_wipe(&arena);
    kf_arena_free(&arena);
    return err;
}

/* ---- the exchange, blocking ---- */

struct exchange {
    const kf_allocator *alloc;
    const struct kf__world *world;
    const char *peer;
    struct kf__tls *tls;
    int fd;
    kf_time deadline;
};

static kf_err unreachable(const struct exchange *exchange, const char *what, kf_error *error)
{
    return kf_error_set(error, KF_ERR_TOKEN_UNAVAILABLE, "the token endpoint %s: %s",
                        exchange->peer, what);
}

static kf_time now_of(const struct exchange *exchange)
{
    return exchange->world->now(exchange->world->context);
}

static bool wait_for(const struct exchange *exchange, short events)
{
    struct pollfd fd = {.fd = exchange->fd, .events = events};
    for (;;) {
        kf_time left = exchange->deadline - now_of(exchange);
        if (left <= 0)
            return false;
        int got = poll(&fd, 1, (int)(left / KF_MILLISECOND) + 1);
        if (got > 0)
            return true;
        if (got < 0 && errno != EINTR)
            return false;
    }
}

/* Those that are left share the time: one that swallows packets must not take all of it. */
static kf_time share_of(const struct exchange *exchange, kf_time end, size_t left)
{
    kf_time now = now_of(exchange);
    return now + (end - now) / (kf_time)left;
}

static kf_err dial(struct exchange *exchange, const struct kf__https_url *url, kf_error *error)
{
    const struct kf__world *world = exchange->world;
    struct kf__address *addresses =
        kf_alloc_array(exchange->alloc, KF__MAX_ADDRESSES, sizeof *addresses);
    kf_time end = exchange->deadline;
    size_t count = 0;
    int problem = 0;
    if (!addresses)
        return KF_ERR_NO_MEMORY;
    kf_err err = world->resolve(world->context, url->host, url->port, addresses, &count);
    for (size_t i = 0; !err && i < count && exchange->fd < 0; i++) {
        exchange->fd = world->connect(world->context, &addresses[i], &problem);
        if (exchange->fd < 0)
            continue;
        exchange->deadline = share_of(exchange, end, count - i);
        problem = wait_for(exchange, POLLOUT) ? world->connect_result(world->context, exchange->fd)
                                              : ETIMEDOUT;
        if (!problem)
            break;
        world->close(world->context, exchange->fd);
        exchange->fd = -1;
    }
    exchange->deadline = end;
    kf_free(exchange->alloc, addresses);
    if (err)
        return unreachable(exchange, "its name could not be resolved", error);
    return exchange->fd < 0 ? unreachable(exchange, strerror(problem), error) : KF_OK;
}

/* Sends what TLS wants sent. */
static kf_err flush(const struct exchange *exchange, kf_error *error)
{
    const struct kf__world *world = exchange->world;
    for (;;) {
        struct iovec part = kf__tls_output(exchange->tls);
        int problem = 0;
        if (!part.iov_len)
            return KF_OK;
        ssize_t sent = world->send(world->context, exchange->fd, &part, 1, &problem);
        if (sent > 0)
            kf__tls_sent(exchange->tls, (size_t)sent);
        else if (problem != EAGAIN && problem != EWOULDBLOCK)
            return unreachable(exchange, strerror(problem), error);
        else if (!wait_for(exchange, POLLOUT))
            return unreachable(exchange, "no answer in time", error);
    }
}

/* Reads once into TLS; *ended: the stream did. */
static kf_err fill(const struct exchange *exchange, bool *ended, kf_error *error)
{
    const struct kf__world *world = exchange->world;
    uint8_t *bytes;
    size_t size;
    int problem = 0;
    *ended = false;
    if (!wait_for(exchange, POLLIN))
        return unreachable(exchange, "no answer in time", error);
    if (kf__tls_space(exchange->tls, &bytes, &size))
        return KF_ERR_NO_MEMORY;
    ssize_t got = world->receive(world->context, exchange->fd, bytes, size, &problem);
    if (got > 0)
        kf__tls_received(exchange->tls, (size_t)got);
    else if (got == 0)
        *ended = true;
    else if (problem != EAGAIN && problem != EWOULDBLOCK)
        return unreachable(exchange, strerror(problem), error);
    return KF_OK;
}

static kf_err tls_failed(const struct exchange *exchange, kf_error *error)
{
    const char *text = "";
    kf__tls_error(exchange->tls, &text);
    return kf_error_set(error, KF_ERR_TOKEN_UNAVAILABLE, "the token endpoint's TLS: %s", text);
}

static kf_err shake_hands(const struct exchange *exchange, kf_error *error)
{
    kf_err err = KF_OK;
    bool ended = false;
    while (!err) {
        struct kf__work *work = kf__tls_work(exchange->tls);
        work->run(work);
        kf__tls_stepped(exchange->tls);
        err = flush(exchange, error);
        if (kf__tls_state(exchange->tls) == KF__TLS_OPEN)
            return err;
        if (kf__tls_state(exchange->tls) == KF__TLS_FAILED)
            return tls_failed(exchange, error);
        if (!err)
            err = fill(exchange, &ended, error);
        if (!err && ended)
            return unreachable(exchange, "it closed the connection during the TLS handshake",
                               error);
    }
    return err;
}

static kf_err send_request(const struct exchange *exchange, const char *text, size_t size,
                           kf_error *error)
{
    while (size > 0) {
        struct iovec part = {(void *)text, size};
        size_t taken = 0;
        if (kf__tls_write(exchange->tls, &part, 1, &taken))
            return tls_failed(exchange, error);
        kf_err err = flush(exchange, error);
        if (err)
            return err;
        text += taken;
        size -= taken;
    }
    return KF_OK;
}

/* TLS's goodbye is the end of a body without length. */
static kf_err ended_or_failed(const struct exchange *exchange, struct kf__http_answer *answer,
                              kf_error *error)
{
    const char *text;
    if (kf__tls_error(exchange->tls, &text) == KF_ERR_DISCONNECTED)
        return kf__http_end(answer, error);
    return tls_failed(exchange, error);
}

static kf_err read_answer(const struct exchange *exchange, struct kf__http_answer *answer,
                          kf_error *error)
{
    char bytes[READ_BYTES];
    kf_err err = KF_OK;
    bool ended = false;
    while (!err && !answer->done) {
        size_t got = 0;
        if (kf__tls_read(exchange->tls, bytes, sizeof bytes, &got))
            err = ended_or_failed(exchange, answer, error);
        else if (got > 0)
            err = kf__http_feed(answer, bytes, got, error);
        else if (ended) /* without TLS's goodbye anybody may have cut it off */
            err = unreachable(exchange, "it closed the connection before its answer was whole",
                              error);
        else
            err = fill(exchange, &ended, error);
    }
    kf__wipe(bytes, sizeof bytes);
    return err;
}

static kf_err converse(struct exchange *exchange, const struct kf__oidc_settings *settings,
                       const struct kf__https_url *url, struct kf__http_answer *answer,
                       kf_error *error)
{
    size_t size = 0;
    kf_err err = shake_hands(exchange, error);
    if (err)
        return err;
    char *request = kf__oidc_request(exchange->alloc, settings, url, &size);
    if (!request)
        return KF_ERR_NO_MEMORY;
    exchange->deadline = kf__after(now_of(exchange), settings->read_timeout_ms * KF_MILLISECOND);
    err = send_request(exchange, request, size, error);
    kf__free_secret(exchange->alloc, request, size);
    return err ? err : read_answer(exchange, answer, error);
}

static kf_err ask(const kf_allocator *alloc, const struct kf__world *world,
                  const struct kf__oidc_settings *settings, struct kf__tls_context *tls,
                  const struct kf__https_url *url, struct kf__http_answer *answer, kf_error *error)
{
    char peer[KF__HTTP_AUTHORITY_BYTES];
    kf__https_url_authority(url, true, peer, sizeof peer);
    struct exchange exchange = {.alloc = alloc, .world = world, .peer = peer, .fd = -1};
    exchange.deadline = kf__after(now_of(&exchange), settings->timeout_ms * KF_MILLISECOND);
    struct kf__slab_pool *slabs = kf__slab_pool_new(alloc, SLAB_KEEP);
    exchange.tls = slabs ? kf__tls_new(tls, slabs, peer, url->host) : NULL;
    kf_err err = exchange.tls ? dial(&exchange, url, error) : KF_ERR_NO_MEMORY;
    if (!err)
        err = converse(&exchange, settings, url, answer, error);
    if (exchange.fd >= 0)
        world->close(world->context, exchange.fd);
    kf__tls_free(exchange.tls);
    if (slabs)
        kf__slab_pool_drop(slabs);
    return err;
}

static void rest(int64_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

kf_err kf__oidc_token(const kf_allocator *alloc, const struct kf__world *world,
                      const struct kf__oidc_settings *settings, struct kf__tls_context *tls,
                      kf_sasl_token *token, kf_error *error)
{
    struct kf__https_url url;
    kf_err err = kf__https_url_read(settings->url, &url, error);
    int64_t wait = settings->retry_ms;
    for (int attempt = 1; !err; attempt++) {
        struct kf__http_answer answer;
        kf_error why = KF_ERROR_INIT;
        kf__http_init(&answer, alloc);
        err = ask(alloc, world, settings, tls, &url, &answer, &why);
        bool again = (err || answer.status >= 500) && attempt < ATTEMPTS;
        if (!err && !again)
            err = kf__oidc_answer(alloc, &answer, world->wall_ms(world->context), token, &why);
        kf__http_free(&answer);
        if (!again) {
            if (err)
                kf_error_set(error, err, "%s", why.code ? why.text : kf_err_text(err));
            break;
        }
        err = KF_OK;
        rest(wait);
        wait = wait * 2 < settings->retry_max_ms ? wait * 2 : settings->retry_max_ms;
    }
    return err;
}
