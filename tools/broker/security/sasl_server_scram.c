/*
 * sasl_server_scram: the server's exchange of RFC 5802, as Kafka's
 * ScramSaslServer does it: nonces are checked, and a client that cannot prove
 * that it knows the password learns nothing but that.
 */
#include "tools/broker/security/sasl_server.h"

#include "net/sasl/base64.h"
#include <stdio.h>

enum {
    NONCE_TEXT = KF__SCRAM_NONCE_BYTES / 3 * 4,
    NAME_BYTES = 256,
    FIRST_BYTES = 1024, /* of the client's first message, and of ours */
    LAST_BYTES = 2 + 4 * (KF__DIGEST_MAX + 2) / 3 + 3,
};

struct kf__scram_server {
    kf_allocator alloc;
    enum kf__digest digest;
    char first_bare[FIRST_BYTES];
    char challenge[FIRST_BYTES];
    char nonce[FIRST_BYTES]; /* both halves */
    char last[LAST_BYTES];
    bool challenged;
    struct kf__credential credential; /* copied, without its salt */
};

void kf__scram_server_free(struct kf__scram_server *scram)
{
    if (!scram)
        return;
    kf_allocator alloc = scram->alloc;
    kf__free_secret(&alloc, scram, sizeof *scram);
}

static kf_err invalid(struct kf__sasl_answer *answer, enum kf__digest digest)
{
    return kf__sasl_refuse(answer,
                           "Authentication failed during authentication due to invalid credentials "
                           "with SASL mechanism %s",
                           digest == KF__SHA256 ? "SCRAM-SHA-256" : "SCRAM-SHA-512");
}

/* "=2C" and "=3D" back to what they stand for; false: another escape. */
static bool unescape(kf_string text, char *name, size_t room)
{
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '=') {
            if (text.size - i < 3)
                return false;
            bool comma = memcmp(text.data + i, "=2C", 3) == 0;
            if (!comma && memcmp(text.data + i, "=3D", 3) != 0)
                return false;
            c = comma ? ',' : '=';
            i += 2;
        }
        if (size + 1 >= room)
            return false;
        name[size++] = c;
    }
    name[size] = '\0';
    return size > 0;
}

/* Up to the comma, without it; null: there is none. */
static kf_string take_field(kf_string *at)
{
    const char *comma = at->size ? memchr(at->data, ',', at->size) : NULL;
    if (!comma)
        return (kf_string){0};
    kf_string field = {at->data, (size_t)(comma - at->data)};
    *at = (kf_string){comma + 1, at->size - field.size - 1};
    return field;
}

/* "n,[a=name],n=name,r=nonce[,extensions]" */
static bool read_first(struct kf__scram_server *scram, kf_string in, char *name, char *other)
{
    kf_string binding = take_field(&in);
    kf_string authzid = take_field(&in);
    if (!kf__text_equal(binding, kf__text("n")) || !authzid.data || in.size >= FIRST_BYTES)
        return false;
    if (authzid.size &&
        (authzid.size < 2 || memcmp(authzid.data, "a=", 2) != 0 ||
         !unescape((kf_string){authzid.data + 2, authzid.size - 2}, other, NAME_BYTES)))
        return false;
    memcpy(scram->first_bare, in.data, in.size);
    kf_string user = kf__scram_attribute(&in, 'n');
    kf_string nonce = kf__scram_attribute(&in, 'r');
    if (!user.data || !unescape(user, name, NAME_BYTES) || !nonce.data || nonce.size < 8 ||
        nonce.size + NONCE_TEXT >= FIRST_BYTES / 2)
        return false;
    memcpy(scram->nonce, nonce.data, nonce.size);
    return true;
}

static kf_err challenge(struct kf__scram_server *scram, const struct kf__credential *credential,
                        struct kf__sasl_answer *answer)
{
    uint8_t own[KF__SCRAM_NONCE_BYTES];
    char salt[FIRST_BYTES / 4];
    if (kf__base64_size(credential->salt.size) >= sizeof salt)
        return invalid(answer, scram->digest);
    kf_err err = kf__random_secret(own, sizeof own);
    if (err)
        return err;
    kf__base64_write(own, sizeof own, scram->nonce + strlen(scram->nonce));
    salt[kf__base64_write(credential->salt.data, credential->salt.size, salt)] = '\0';
    int size = snprintf(scram->challenge, sizeof scram->challenge, "r=%s,s=%s,i=%d", scram->nonce,
                        salt, (int)credential->iterations);
    scram->credential = *credential;
    scram->credential.salt = (kf_bytes){0};
    scram->challenged = true;
    answer->bytes = (kf_bytes){(const uint8_t *)scram->challenge, (size_t)size};
    return KF_OK;
}

static kf_err take_first(struct kf__session *session, const struct kf__sasl_server *server,
                         kf_string in, struct kf__sasl_answer *answer)
{
    struct kf__scram_server *scram = session->scram;
    char name[NAME_BYTES], other[NAME_BYTES] = "";
    if (!read_first(scram, in, name, other))
        return kf__sasl_refuse(answer, "Authentication failed: Invalid SCRAM client first message");
    if (*other && strcmp(other, name) != 0)
        return kf__sasl_refuse(answer, "Authentication failed: Client requested an authorization "
                                       "id that is different from username");
    const struct kf__user *user = kf__users_find(&server->users, kf__text(name));
    const struct kf__credential *credential = user ? &user->credentials[scram->digest] : NULL;
    if (!credential || !credential->iterations || !kf__session_claim(session, kf__text(name)))
        return invalid(answer, scram->digest);
    return challenge(scram, credential, answer);
}

/* The client's key is what its proof hides under the signature; its digest is what we keep. */
static kf_err check_proof(struct kf__scram_server *scram, kf_bytes signed_text,
                          const uint8_t *proof, struct kf__sasl_answer *answer)
{
    size_t size = kf__digest_size(scram->digest);
    uint8_t key[KF__DIGEST_MAX], digest[KF__DIGEST_MAX];
    kf_err err =
        kf__hmac(scram->digest, (kf_bytes){scram->credential.stored, size}, signed_text, key);
    for (size_t i = 0; !err && i < size; i++)
        key[i] ^= proof[i];
    if (!err)
        err = kf__digest(scram->digest, (kf_bytes){key, size}, digest);
    if (!err && !kf__secret_equal(digest, scram->credential.stored, size))
        err = invalid(answer, scram->digest);
    if (!err)
        err = kf__hmac(scram->digest, (kf_bytes){scram->credential.server, size}, signed_text, key);
    if (!err) {
        memcpy(scram->last, "v=", 2);
        size_t used = 2 + kf__base64_write(key, size, scram->last + 2);
        answer->bytes = (kf_bytes){(const uint8_t *)scram->last, used};
    }
    kf__wipe(key, sizeof key);
    return err;
}

/* "c=biws,r=nonce,p=proof" */
static kf_err take_last(struct kf__scram_server *scram, kf_string in,
                        struct kf__sasl_answer *answer)
{
    char text[3 * FIRST_BYTES];
    uint8_t proof[KF__DIGEST_MAX + 3];
    kf_string at = in;
    size_t size = kf__digest_size(scram->digest);
    kf_string binding = kf__scram_attribute(&at, 'c');
    kf_string nonce = kf__scram_attribute(&at, 'r');
    kf_string given = kf__scram_attribute(&at, 'p');
    bool right = binding.data && nonce.data && given.data &&
                 kf__text_equal(nonce, kf__text(scram->nonce)) &&
                 given.size == kf__base64_size(size) &&
                 kf__base64_read(given.data, given.size, proof) == (ssize_t)size;
    if (!right)
        return invalid(answer, scram->digest);
    int used = snprintf(text, sizeof text, "%s,%s,c=%.*s,r=%s", scram->first_bare, scram->challenge,
                        binding.size < 64 ? (int)binding.size : 64, binding.data, scram->nonce);
    return check_proof(scram, (kf_bytes){(const uint8_t *)text, (size_t)used}, proof, answer);
}

kf_err kf__scram_server_step(struct kf__session *session, const struct kf__sasl_server *server,
                             kf_bytes in, struct kf__sasl_answer *answer, bool *done)
{
    kf_string text = {(const char *)in.data, in.size};
    if (in.size == 0 || in.size > KF__SCRAM_MESSAGE_BYTES || memchr(in.data, '\0', in.size))
        return kf__sasl_refuse(answer, "Authentication failed: Invalid SCRAM message");
    if (session->scram && session->scram->challenged) {
        kf_err err = take_last(session->scram, text, answer);
        *done = !err;
        return err;
    }
    kf__scram_server_free(session->scram);
    session->scram = kf_alloc_zero(server->alloc, sizeof *session->scram);
    if (!session->scram)
        return KF_ERR_NO_MEMORY;
    session->scram->alloc = *server->alloc;
    session->scram->digest = session->kind == KF__SASL_SCRAM_256 ? KF__SHA256 : KF__SHA512;
    return take_first(session, server, text, answer);
}
