/* token_check: see token_check.h. */
#include "tools/broker/security/token_check.h"

#include "tools/broker/text.h"
#include <stdio.h>

enum {
    SKEW_MS = 30000, /* sasl.oauthbearer.clock.skew.seconds */
};

#ifdef KAFIBER_WITH_OPENSSL
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

enum {
    ES256_BYTES = 64,
    DER_BYTES = 80,
};

static kf_err read_key(struct kf__token_rules *rules, const char *path, kf_error *error)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return kf_error_set(error, KF_ERR_CONFIG, "the tokens' key %s can't be read", path);
    rules->key = PEM_read_PUBKEY(file, NULL, NULL, NULL);
    fclose(file);
    int kind = rules->key ? EVP_PKEY_get_base_id(rules->key) : 0;
    if (kind == EVP_PKEY_RSA || kind == EVP_PKEY_EC)
        return KF_OK;
    return kf_error_set(error, KF_ERR_CONFIG,
                        "%s holds no public key of RSA or EC in PEM (BEGIN PUBLIC KEY)", path);
}

/* JSON web signatures have r and s side by side, OpenSSL wants them in ASN.1. */
static int to_der(kf_bytes raw, uint8_t *der)
{
    ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw.data, ES256_BYTES / 2, NULL);
    BIGNUM *s = BN_bin2bn(raw.data + ES256_BYTES / 2, ES256_BYTES / 2, NULL);
    int size = -1;
    if (signature && r && s && ECDSA_SIG_set0(signature, r, s)) {
        r = s = NULL; /* the signature's now */
        size = i2d_ECDSA_SIG(signature, &der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(signature);
    return size;
}

static bool verify(EVP_PKEY *key, kf_string text, const uint8_t *signature, size_t size)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestVerify(context, signature, size, (const unsigned char *)text.data,
                                 text.size) == 1;
    EVP_MD_CTX_free(context);
    return good;
}

/* The key decides which algorithm may be named, never the token. */
static bool is_signed(const struct kf__token_rules *rules, const struct kf__jwt *jwt)
{
    uint8_t der[DER_BYTES];
    int kind = rules->key ? EVP_PKEY_get_base_id(rules->key) : 0;
    if (kind == EVP_PKEY_RSA && kf__text_equal(jwt->algorithm, kf__text("RS256")))
        return verify(rules->key, jwt->signed_part, jwt->signature.data, jwt->signature.size);
    if (kind != EVP_PKEY_EC || !kf__text_equal(jwt->algorithm, kf__text("ES256")) ||
        jwt->signature.size != ES256_BYTES)
        return false;
    int size = to_der(jwt->signature, der);
    return size > 0 && verify(rules->key, jwt->signed_part, der, (size_t)size);
}

void kf__token_rules_close(struct kf__token_rules *rules)
{
    EVP_PKEY_free(rules->key);
    rules->key = NULL;
}

#else

static kf_err read_key(struct kf__token_rules *rules, const char *path, kf_error *error)
{
    (void)rules;
    return kf_error_set(error, KF_ERR_NOT_BUILT,
                        "signed tokens (%s) need OpenSSL, which this build leaves out", path);
}

static bool is_signed(const struct kf__token_rules *rules, const struct kf__jwt *jwt)
{
    (void)rules, (void)jwt;
    return false;
}

void kf__token_rules_close(struct kf__token_rules *rules) { (void)rules; }

#endif

kf_err kf__token_rules_open(struct kf__token_rules *rules, const char *path, bool unsecured,
                            kf_error *error)
{
    *rules = (struct kf__token_rules){.unsecured = unsecured};
    return path ? read_key(rules, path, error) : KF_OK;
}

static bool is_believed(const struct kf__token_rules *rules, const struct kf__jwt *jwt)
{
    if (kf__text_equal(jwt->algorithm, kf__text("none")))
        return rules->unsecured && jwt->signature.size == 0;
    return is_signed(rules, jwt);
}

kf_err kf__token_check(const struct kf__token_rules *rules, kf_arena *arena, kf_string token,
                       int64_t wall_ms, struct kf__jwt *jwt)
{
    kf_err err = kf__jwt_read(arena, token, NULL, jwt, NULL);
    if (err == KF_ERR_NO_MEMORY)
        return err;
    bool good = !err && is_believed(rules, jwt) && jwt->subject.data && jwt->subject.size > 0 &&
                jwt->expires_ms > 0 && jwt->expires_ms + SKEW_MS > wall_ms &&
                jwt->issued_ms <= wall_ms + SKEW_MS && jwt->not_before_ms <= wall_ms + SKEW_MS;
    return good ? KF_OK : KF_ERR_SASL_AUTHENTICATION_FAILED;
}
