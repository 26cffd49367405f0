/*
 * fuzz_sasl: any bytes as what reaches a client before and during
 * authentication: SCRAM messages, OAUTHBEARER's refusals, JSON web tokens, HTTP
 * answers of a token endpoint, base64, JAAS texts, the shared credentials file
 * of AWS; and as what a client sends to the embedded broker's end, by each
 * mechanism.
 *
 * The first byte chooses. Besides not crashing: what base64 reads, it writes
 * again; a body is never longer than its limit; a password never gets into an
 * error; a server without its key never convinces the client, nor a client
 * without the password the server.
 */
#include "net/sasl/aws.h"
#include "net/sasl/base64.h"
#include "net/sasl/http.h"
#include "net/sasl/jwt.h"
#include "net/sasl/oidc.h"
#include "net/sasl/sasl_scram.h"
#include "runtime/config/config_jaas.h"
#include "tools/broker/security/sasl_server.h"

#include <stdlib.h>
#include <string.h>

enum {
    MESSAGES = 3
};

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* Up to three messages, each after a byte with its length. */
static void scram(const uint8_t *data, size_t size, enum kf__digest digest)
{
    static const char password[] = "qu1te-unl1kely";
    struct kf__scram_login login = {
        .digest = digest, .user = "u", .password = password, .nonce = "n"};
    struct kf__scram *client = NULL;
    if (kf__scram_new(&kf_default_allocator, &login, &client))
        return;
    kf_bytes in = {0}, out;
    bool done = false;
    kf_error error = KF_ERROR_INIT;
    kf_err err = kf__scram_step(client, in, &out, &done, &error);
    for (int i = 0; i < MESSAGES && !err && size > 0; i++) {
        size_t length = data[0] < size - 1 ? data[0] : size - 1;
        err = kf__scram_step(client, (kf_bytes){data + 1, length}, &out, &done, &error);
        must(!done);
        data += length + 1;
        size -= length + 1;
    }
    must(!strstr(error.text, password));
    kf__scram_free(client);
}

static void http(const uint8_t *data, size_t size)
{
    struct kf__http_answer answer;
    kf_error error = KF_ERROR_INIT;
    kf__http_init(&answer, &kf_default_allocator);
    kf_err err = KF_OK;
    for (size_t at = 0; at < size && !err && !answer.done;) {
        size_t part = 1 + data[at] % 64;
        part = part < size - at ? part : size - at;
        err = kf__http_feed(&answer, data + at, part, &error);
        at += part;
    }
    if (!err)
        err = kf__http_end(&answer, &error);
    must(err || (answer.done && answer.body_size <= KF__HTTP_BODY_BYTES));
    static kf_sasl_token token;
    if (!err && !kf__oidc_answer(&kf_default_allocator, &answer, 0, &token, NULL))
        must(memchr(token.text, '\0', sizeof token.text) != NULL);
    kf__http_free(&answer);
}

static void jwt(const uint8_t *data, size_t size)
{
    kf_arena arena;
    struct kf__jwt read;
    char status[32];
    kf_string text = {(const char *)data, size};
    kf_arena_init(&arena, &kf_default_allocator, 1 << 20);
    if (!kf__jwt_read(&arena, text, NULL, &read, NULL))
        must(read.signed_part.size < size);
    kf_arena_free(&arena);
    if (kf__jwt_status(&kf_default_allocator, text, status, sizeof status))
        must(strlen(status) < sizeof status);
}

static void base64(const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size + 1);
    char *text = malloc(kf__base64_size(size) + 1);
    ssize_t got = kf__base64_read((const char *)data, size, bytes);
    if (got >= 0)
        must(kf__base64_write(bytes, (size_t)got, text) == size && memcmp(text, data, size) == 0);
    got = kf__base64url_read((const char *)data, size, bytes);
    if (got >= 0)
        must(kf__base64url_write(bytes, (size_t)got, text) == size &&
             memcmp(text, data, size) == 0);
    free(bytes);
    free(text);
}

static void texts(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    struct kf__jaas jaas;
    kf_error error = KF_ERROR_INIT;
    if (!kf__jaas_parse(text, &jaas, &error))
        kf__jaas_wipe(&jaas);
    struct kf__https_url url;
    if (!kf__https_url_read(text, &url, NULL))
        must(url.port > 0 && url.host[0]);
    kf_aws_credentials credentials;
    if (kf__aws_read_profile(text, size, "default", &credentials))
        must(credentials.access_key_id[0] && credentials.secret_access_key[0]);
    free(text);
}

/* Made once: hashing its password takes its time. */
static struct kf__sasl_server *sasl_server(void)
{
    static struct kf__sasl_server server;
    static const char *const users[] = {"alice:qu1te-unl1kely"};
    const kf_broker_sasl options = {.users = users, .user_count = 1, .unsecured_tokens = true};
    if (!server.alloc)
        must(!kf__sasl_server_open(&server, &kf_default_allocator, &options, NULL));
    return &server;
}

/* Up to three messages, as the client's are, after a byte that chooses the mechanism. */
static void server_end(const uint8_t *data, size_t size)
{
    struct kf__sasl_server *server = sasl_server();
    struct kf__session session = {0};
    struct kf__sasl_answer answer;
    const char *name = kf__sasl_kind_name(size ? data[0] % KF__SASL_KINDS : 0);
    must(!kf__session_handshake(&session, server, true, 1, (kf_string){name, strlen(name)}, 0));
    data += size > 0, size -= size > 0;
    for (int i = 0; i < MESSAGES && size > 0 && session.state == KF__SESSION_CHOSEN; i++) {
        size_t length = data[0] < size - 1 ? data[0] : size - 1;
        kf__session_step(&session, server, (kf_bytes){data + 1, length}, 0, 1700000000000, &answer);
        must(!answer.err || memchr(answer.reason, '\0', sizeof answer.reason));
        data += length + 1;
        size -= length + 1;
    }
    must(session.state != KF__SESSION_KNOWN || session.kind == KF__SASL_OAUTHBEARER);
    kf__session_free(&session, server);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint8_t kind = data[0] % 7;
    data++, size--;
    if (kind < 2)
        scram(data, size, kind ? KF__SHA512 : KF__SHA256);
    else if (kind == 2)
        http(data, size);
    else if (kind == 3)
        jwt(data, size);
    else if (kind == 4)
        base64(data, size);
    else if (kind == 6)
        server_end(data, size);
    else
        texts(data, size);
    return 0;
}
