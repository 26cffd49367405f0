/* tls_none: a build without OpenSSL. It says so where TLS is asked for; the rest is never called.
 */
#include "net/tls/tls.h"

kf_err kf__tls_check_built(kf_error *error)
{
    return kf_error_set(error, KF_ERR_NOT_BUILT,
                        "security.protocol asks for TLS, but this build has no OpenSSL: build with "
                        "KAFIBER_WITH_OPENSSL=ON, or use a PLAINTEXT or SASL_PLAINTEXT listener");
}

kf_err kf__tls_context_open(const kf_allocator *alloc, const struct kf__tls_settings *settings,
                            struct kf__tls_context **context, kf_error *error)
{
    (void)alloc;
    (void)settings;
    *context = NULL;
    return kf__tls_check_built(error);
}

void kf__tls_context_close(struct kf__tls_context *context) { (void)context; }

bool kf__tls_context_news(struct kf__tls_context *context, struct kf__tls_news *news)
{
    (void)context;
    (void)news;
    return false;
}

struct kf__tls *kf__tls_new(struct kf__tls_context *context, struct kf__slab_pool *slabs,
                            const char *peer, const char *host)
{
    (void)context;
    (void)slabs;
    (void)peer;
    (void)host;
    return NULL;
}

void kf__tls_free(struct kf__tls *tls) { (void)tls; }

struct kf__work *kf__tls_work(struct kf__tls *tls)
{
    (void)tls;
    return NULL;
}

enum kf__tls_state kf__tls_state(const struct kf__tls *tls)
{
    (void)tls;
    return KF__TLS_FAILED;
}

void kf__tls_stepped(struct kf__tls *tls) { (void)tls; }

bool kf__tls_subject(const struct kf__tls *tls, char *text, size_t size)
{
    (void)tls;
    (void)text;
    (void)size;
    return false;
}

void kf__tls_look(const struct kf__tls *tls, struct kf__tls_seen *seen)
{
    (void)tls;
    *seen = (struct kf__tls_seen){0};
}

kf_err kf__tls_error(const struct kf__tls *tls, const char **text)
{
    (void)tls;
    *text = "";
    return KF_ERR_NOT_BUILT;
}

kf_err kf__tls_lost(struct kf__tls *tls, const char *cause, const char **text)
{
    *text = cause;
    return kf__tls_error(tls, text);
}

kf_err kf__tls_space(struct kf__tls *tls, uint8_t **bytes, size_t *size)
{
    (void)tls;
    *bytes = NULL;
    *size = 0;
    return KF_ERR_NOT_BUILT;
}

void kf__tls_received(struct kf__tls *tls, size_t size)
{
    (void)tls;
    (void)size;
}

kf_err kf__tls_read(struct kf__tls *tls, void *bytes, size_t size, size_t *got)
{
    (void)tls;
    (void)bytes;
    (void)size;
    *got = 0;
    return KF_ERR_NOT_BUILT;
}

kf_err kf__tls_write(struct kf__tls *tls, const struct iovec *parts, size_t count, size_t *taken)
{
    (void)tls;
    (void)parts;
    (void)count;
    *taken = 0;
    return KF_ERR_NOT_BUILT;
}

size_t kf__tls_farewell(struct kf__tls *tls, uint8_t *bytes, size_t room)
{
    (void)tls;
    (void)bytes;
    (void)room;
    return 0;
}

struct iovec kf__tls_output(const struct kf__tls *tls)
{
    (void)tls;
    return (struct iovec){0};
}

void kf__tls_sent(struct kf__tls *tls, size_t size)
{
    (void)tls;
    (void)size;
}
