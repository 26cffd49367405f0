/* sasl_scram: the sums and the client's exchange. See sasl_scram.h. */
#include "net/sasl/sasl_scram.h"

#include "net/sasl/base64.h"
#include <stdio.h>
#include <string.h>

enum stage {
    BEGIN,
    EXPECTS_CHALLENGE,
    EXPECTS_SIGNATURE,
    DONE,
};

enum {
    NONCE_TEXT = KF__SCRAM_NONCE_BYTES / 3 * 4,
};

struct kf__scram {
    const kf_allocator *alloc;
    enum kf__digest digest;
    enum stage stage;
    bool token;
    char nonce[NONCE_TEXT + 1];
    char *user;
    char *password;
    char *first_bare; /* what the client said first, without n,, */
    char *message;    /* the one that was handed out last */
    size_t message_size;
    uint8_t signature[KF__DIGEST_MAX]; /* that the server must send */
};

/* What the server's first message says. */
struct challenge {
    kf_string whole;
    kf_string nonce;
    uint8_t salt[KF__SCRAM_SALT_BYTES];
    size_t salt_size;
    int iterations;
};

static kf_bytes bytes_of(const void *data, size_t size) { return (kf_bytes){data, size}; }
static kf_bytes text_bytes(const char *text) { return bytes_of(text, strlen(text)); }

/* ---- the sums ---- */

kf_err kf__scram_derive(enum kf__digest digest, const uint8_t *salted, struct kf__scram_keys *keys)
{
    size_t size = kf__digest_size(digest);
    kf_err err = kf__hmac(digest, bytes_of(salted, size), text_bytes("Client Key"), keys->client);
    if (!err)
        err = kf__digest(digest, bytes_of(keys->client, size), keys->stored);
    if (!err)
        err = kf__hmac(digest, bytes_of(salted, size), text_bytes("Server Key"), keys->server);
    return err;
}

kf_err kf__scram_keys(enum kf__digest digest, kf_bytes password, kf_bytes salt, int iterations,
                      struct kf__scram_keys *keys)
{
    uint8_t salted[KF__DIGEST_MAX];
    kf_err err = kf__pbkdf2(digest, password, salt, iterations, salted);
    if (!err)
        err = kf__scram_derive(digest, salted, keys);
    kf__wipe(salted, sizeof salted);
    return err;
}

kf_string kf__scram_attribute(kf_string *at, char name)
{
    if (at->size < 2 || at->data[0] != name || at->data[1] != '=')
        return (kf_string){0};
    const char *value = at->data + 2;
    const char *comma = memchr(value, ',', at->size - 2);
    size_t size = comma ? (size_t)(comma - value) : at->size - 2;
    size_t taken = 2 + size + (comma ? 1 : 0);
    *at = (kf_string){at->data + taken, at->size - taken};
    return (kf_string){value, size};
}

size_t kf__scram_escape(kf_string name, char *out)
{
    size_t size = 0;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        if (c == ',' || c == '=') {
            memcpy(out + size, c == ',' ? "=2C" : "=3D", 3);
            size += 3;
        } else {
            out[size++] = c;
        }
    }
    return size;
}

/* ---- the client's messages ---- */

static void drop_message(struct kf__scram *scram)
{
    kf__free_secret(scram->alloc, scram->message, scram->message_size);
    scram->message = NULL;
    scram->message_size = 0;
}

static kf_err say_first(struct kf__scram *scram, kf_bytes *out)
{
    static const char header[] = "n,,n=";
    static const char token[] = ",tokenauth=true";
    kf_string user = {scram->user, strlen(scram->user)};
    size_t room = sizeof header + 3 * user.size + 3 + NONCE_TEXT + sizeof token;
    drop_message(scram);
    char *text = scram->message = kf_alloc(scram->alloc, room);
    if (!text)
        return KF_ERR_NO_MEMORY;
    memcpy(text, header, sizeof header - 1);
    size_t size = sizeof header - 1;
    size += kf__scram_escape(user, text + size);
    size += (size_t)snprintf(text + size, room - size, ",r=%s%s", scram->nonce,
                             scram->token ? token : "");
    scram->message_size = size;
    scram->first_bare = kf__copy_secret(scram->alloc, text + 3);
    *out = bytes_of(text, size);
    scram->stage = EXPECTS_CHALLENGE;
    return scram->first_bare ? KF_OK : KF_ERR_NO_MEMORY;
}

/* ---- the server's first message ---- */

static kf_err malformed(kf_error *error, const char *what)
{
    return kf_error_set(error, KF_ERR_SASL_MALFORMED, "the broker's SCRAM message %s", what);
}

static int read_iterations(kf_string text)
{
    int value = 0;
    if (text.size == 0 || text.size > 9)
        return -1;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return -1;
        value = value * 10 + (text.data[i] - '0');
    }
    return text.data[0] == '0' ? -1 : value;
}

static bool is_nonce(kf_string text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < 0x21 || text.data[i] > 0x7e)
            return false;
    return true;
}

static kf_err check_nonce(const struct kf__scram *scram, kf_string nonce, kf_error *error)
{
    size_t own = strlen(scram->nonce);
    if (!nonce.data || !is_nonce(nonce))
        return malformed(error, "has no nonce");
    if (nonce.size < own || memcmp(nonce.data, scram->nonce, own) != 0)
        return malformed(error, "has a nonce that does not begin with the client's");
    if (nonce.size == own)
        return malformed(error, "adds nothing to the client's nonce");
    return KF_OK;
}

static kf_err read_salt(struct challenge *challenge, kf_string text, kf_error *error)
{
    if (!text.data || text.size == 0 || text.size / 4 * 3 > sizeof challenge->salt)
        return malformed(error, "has no salt, or one longer than 256 bytes");
    ssize_t size = kf__base64_read(text.data, text.size, challenge->salt);
    if (size <= 0)
        return malformed(error, "has a salt that is not base64");
    challenge->salt_size = (size_t)size;
    return KF_OK;
}

static kf_err read_challenge(const struct kf__scram *scram, kf_string in,
                             struct challenge *challenge, kf_error *error)
{
    *challenge = (struct challenge){.whole = in};
    kf_string at = in;
    if (at.size >= 2 && at.data[0] == 'm' && at.data[1] == '=')
        return malformed(error, "asks for an extension (m=), which nobody may ignore");
    challenge->nonce = kf__scram_attribute(&at, 'r');
    kf_err err = check_nonce(scram, challenge->nonce, error);
    if (!err)
        err = read_salt(challenge, kf__scram_attribute(&at, 's'), error);
    if (err)
        return err;
    challenge->iterations = read_iterations(kf__scram_attribute(&at, 'i'));
    if (challenge->iterations < KF__SCRAM_MIN_ITERATIONS ||
        challenge->iterations > KF__SCRAM_MAX_ITERATIONS)
        return kf_error_set(error, KF_ERR_SASL_MALFORMED,
                            "the broker asks for SCRAM iterations outside %d to %d: fewer are too "
                            "weak, more would only keep this client busy",
                            KF__SCRAM_MIN_ITERATIONS, KF__SCRAM_MAX_ITERATIONS);
    return KF_OK;
}

/* ---- the proof ---- */

/* "first-bare,server-first,final-without-proof" (RFC 5802, section 3). */
static char *make_auth_message(const struct kf__scram *scram, const struct challenge *challenge,
                               size_t *size)
{
    size_t room = strlen(scram->first_bare) + challenge->whole.size + challenge->nonce.size + 16;
    char *text = kf_alloc(scram->alloc, room);
    if (text)
        *size = (size_t)snprintf(text, room, "%s,%.*s,c=biws,r=%.*s", scram->first_bare,
                                 (int)challenge->whole.size, challenge->whole.data,
                                 (int)challenge->nonce.size, challenge->nonce.data);
    return text;
}

static kf_err prove(struct kf__scram *scram, const struct challenge *challenge,
                    kf_bytes signed_text, uint8_t *proof)
{
    size_t size = kf__digest_size(scram->digest);
    struct kf__scram_keys keys;
    kf_err err = kf__scram_keys(scram->digest, text_bytes(scram->password),
                                bytes_of(challenge->salt, challenge->salt_size),
                                challenge->iterations, &keys);
    if (!err)
        err = kf__hmac(scram->digest, bytes_of(keys.stored, size), signed_text, proof);
    for (size_t i = 0; !err && i < size; i++)
        proof[i] ^= keys.client[i];
    if (!err)
        err = kf__hmac(scram->digest, bytes_of(keys.server, size), signed_text, scram->signature);
    kf__wipe(&keys, sizeof keys);
    return err;
}

static kf_err write_final(struct kf__scram *scram, const struct challenge *challenge,
                          const uint8_t *proof, kf_bytes *out)
{
    size_t digest = kf__digest_size(scram->digest);
    size_t room = 16 + challenge->nonce.size + kf__base64_size(digest);
    drop_message(scram);
    char *text = scram->message = kf_alloc(scram->alloc, room);
    if (!text)
        return KF_ERR_NO_MEMORY;
    size_t size = (size_t)snprintf(text, room, "c=biws,r=%.*s,p=", (int)challenge->nonce.size,
                                   challenge->nonce.data);
    size += kf__base64_write(proof, digest, text + size);
    scram->message_size = size;
    *out = bytes_of(text, size);
    return KF_OK;
}

static kf_err answer_challenge(struct kf__scram *scram, kf_string in, kf_bytes *out,
                               kf_error *error)
{
    struct challenge challenge;
    uint8_t proof[KF__DIGEST_MAX];
    kf_err err = read_challenge(scram, in, &challenge, error);
    if (err)
        return err;
    size_t size = 0;
    char *signed_text = make_auth_message(scram, &challenge, &size);
    err = signed_text ? prove(scram, &challenge, bytes_of(signed_text, size), proof)
                      : KF_ERR_NO_MEMORY;
    if (!err)
        err = write_final(scram, &challenge, proof, out);
    kf__free_secret(scram->alloc, signed_text, size);
    kf__wipe(proof, sizeof proof);
    scram->stage = EXPECTS_SIGNATURE;
    return err;
}

/* ---- the server's last message ---- */

static kf_err unproven(kf_error *error, const char *what)
{
    return kf_error_set(error, KF_ERR_SASL_SERVER_UNPROVEN,
                        "the broker %s: it has not shown that it knows the password, and may be "
                        "somebody else",
                        what);
}

static kf_err check_signature(struct kf__scram *scram, kf_string in, kf_error *error)
{
    kf_string failure = kf__scram_attribute(&in, 'e');
    if (failure.data)
        return kf_error_set(error, KF_ERR_SASL_AUTHENTICATION_FAILED,
                            "the broker refuses the SCRAM exchange; compare user, password and "
                            "mechanism");
    kf_string text = kf__scram_attribute(&in, 'v');
    size_t size = kf__digest_size(scram->digest);
    uint8_t signature[KF__DIGEST_MAX + 3];
    if (!text.data)
        return unproven(error, "sent no signature");
    if (text.size != kf__base64_size(size) ||
        kf__base64_read(text.data, text.size, signature) != (ssize_t)size ||
        !kf__secret_equal(signature, scram->signature, size))
        return unproven(error, "sent a wrong signature");
    scram->stage = DONE;
    return KF_OK;
}

kf_err kf__scram_step(struct kf__scram *scram, kf_bytes in, kf_bytes *out, bool *done,
                      kf_error *error)
{
    kf_string text = {(const char *)in.data, in.size};
    *out = (kf_bytes){0};
    *done = false;
    if (in.size > KF__SCRAM_MESSAGE_BYTES || (in.size && memchr(in.data, '\0', in.size)))
        return malformed(error, "is longer than 4096 bytes or holds a NUL");
    switch (scram->stage) {
    case BEGIN:
        return say_first(scram, out);
    case EXPECTS_CHALLENGE:
        return answer_challenge(scram, text, out, error);
    case EXPECTS_SIGNATURE: {
        kf_err err = check_signature(scram, text, error);
        *done = !err;
        return err;
    }
    default:
        return malformed(error, "comes after the last one");
    }
}

/* ---- the whole ---- */

static kf_err make_nonce(struct kf__scram *scram, const char *given)
{
    uint8_t bytes[KF__SCRAM_NONCE_BYTES];
    if (given) {
        snprintf(scram->nonce, sizeof scram->nonce, "%s", given);
        return KF_OK;
    }
    kf_err err = kf__random_secret(bytes, sizeof bytes);
    if (!err)
        scram->nonce[kf__base64_write(bytes, sizeof bytes, scram->nonce)] = '\0';
    return err;
}

kf_err kf__scram_new(const kf_allocator *alloc, const struct kf__scram_login *login,
                     struct kf__scram **result)
{
    struct kf__scram *scram = kf_alloc_zero(alloc, sizeof *scram);
    if (!scram)
        return KF_ERR_NO_MEMORY;
    scram->alloc = alloc;
    scram->digest = login->digest;
    scram->token = login->token;
    scram->user = kf__copy_secret(alloc, login->user);
    scram->password = kf__copy_secret(alloc, login->password);
    kf_err err =
        scram->user && scram->password ? make_nonce(scram, login->nonce) : KF_ERR_NO_MEMORY;
    if (err)
        kf__scram_free(scram);
    else
        *result = scram;
    return err;
}

void kf__scram_free(struct kf__scram *scram)
{
    if (!scram)
        return;
    drop_message(scram);
    kf__free_secret_text(scram->alloc, scram->first_bare);
    kf__free_secret_text(scram->alloc, scram->user);
    kf__free_secret_text(scram->alloc, scram->password);
    kf__free_secret(scram->alloc, scram, sizeof *scram);
}
