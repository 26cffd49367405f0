/* secret: digests by OpenSSL, and wiping. See secret.h. */
#include "net/sasl/secret.h"

#include <string.h>

#ifdef KAFIBER_WITH_OPENSSL
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

static const EVP_MD *method_of(enum kf__digest digest)
{
    return digest == KF__SHA256 ? EVP_sha256() : EVP_sha512();
}

kf_err kf__digest(enum kf__digest digest, kf_bytes data, uint8_t *out)
{
    unsigned size = 0;
    const void *bytes = data.data ? (const void *)data.data : "";
    return EVP_Digest(bytes, data.size, out, &size, method_of(digest), NULL) ? KF_OK
                                                                             : KF_ERR_NO_MEMORY;
}

kf_err kf__hmac(enum kf__digest digest, kf_bytes key, kf_bytes data, uint8_t *out)
{
    unsigned size = 0;
    const void *bytes = key.data ? (const void *)key.data : "";
    return HMAC(method_of(digest), bytes, (int)key.size, data.data, data.size, out, &size)
               ? KF_OK
               : KF_ERR_NO_MEMORY;
}

kf_err kf__pbkdf2(enum kf__digest digest, kf_bytes password, kf_bytes salt, int iterations,
                  uint8_t *out)
{
    return PKCS5_PBKDF2_HMAC((const char *)password.data, (int)password.size, salt.data,
                             (int)salt.size, iterations, method_of(digest),
                             (int)kf__digest_size(digest), out)
               ? KF_OK
               : KF_ERR_NO_MEMORY;
}

kf_err kf__random_secret(uint8_t *out, size_t size)
{
    return RAND_bytes(out, (int)size) == 1 ? KF_OK : KF_ERR_SYSTEM;
}

#else

kf_err kf__digest(enum kf__digest digest, kf_bytes data, uint8_t *out)
{
    (void)digest, (void)data, (void)out;
    return KF_ERR_NOT_BUILT;
}

kf_err kf__hmac(enum kf__digest digest, kf_bytes key, kf_bytes data, uint8_t *out)
{
    (void)digest, (void)key, (void)data, (void)out;
    return KF_ERR_NOT_BUILT;
}

kf_err kf__pbkdf2(enum kf__digest digest, kf_bytes password, kf_bytes salt, int iterations,
                  uint8_t *out)
{
    (void)digest, (void)password, (void)salt, (void)iterations, (void)out;
    return KF_ERR_NOT_BUILT;
}

kf_err kf__random_secret(uint8_t *out, size_t size)
{
    (void)out, (void)size;
    return KF_ERR_NOT_BUILT;
}

#endif

bool kf__secret_equal(const void *a, const void *b, size_t size)
{
    const volatile unsigned char *left = a;
    const volatile unsigned char *right = b;
    unsigned difference = 0;
    for (size_t i = 0; i < size; i++)
        difference |= (unsigned)(left[i] ^ right[i]);
    return difference == 0;
}

void kf__free_secret(const kf_allocator *alloc, void *bytes, size_t size)
{
    if (bytes)
        kf__wipe(bytes, size);
    kf_free(alloc, bytes);
}

char *kf__copy_secret(const kf_allocator *alloc, const char *text)
{
    if (!text)
        return NULL;
    size_t size = strlen(text) + 1;
    char *copy = kf_alloc(alloc, size);
    if (copy)
        memcpy(copy, text, size);
    return copy;
}

void kf__free_secret_text(const kf_allocator *alloc, char *text)
{
    kf__free_secret(alloc, text, text ? strlen(text) : 0);
}
