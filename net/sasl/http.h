/*
 * http: one HTTP/1.1 answer, read from bytes (RFC 9112), and no more of HTTP
 * than a token endpoint needs: no redirects, no compression, no trailers.
 *
 *   bytes ──feed──▶ status line, headers, body (length, chunked, or to the end)
 *
 * Pure. Every part has a limit, so a hostile answer costs what it sends and
 * no more than KF__HTTP_BODY_BYTES. Called by oidc.c.
 */
#ifndef KF_NET_HTTP_H
#define KF_NET_HTTP_H

#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <stdbool.h>

enum {
    KF__HTTP_HEAD_BYTES = 16 * 1024,
    KF__HTTP_BODY_BYTES = 64 * 1024,
    KF__HTTP_HOST_BYTES = 256,
    KF__HTTP_AUTHORITY_BYTES = KF__HTTP_HOST_BYTES + 10, /* "[host]:65535" */
};

struct kf__http_answer {
    const kf_allocator *alloc;
    char *bytes; /* as received */
    size_t used;
    size_t capacity;
    int status; /* once the head is whole */
    char *body; /* valid once done; in `bytes` */
    size_t body_size;
    bool done;
    /* private */
    size_t head_size; /* 0: not whole yet */
    size_t length;    /* of the body, where it was announced */
    bool has_length;
    bool chunked;
};

void kf__http_init(struct kf__http_answer *answer, const kf_allocator *alloc);
/* Wipes: bodies hold tokens. */
void kf__http_free(struct kf__http_answer *answer);
/* Takes what came, and says by `done` whether it is all. KF_ERR_BAD_HTTP with a sentence. */
kf_err kf__http_feed(struct kf__http_answer *answer, const void *bytes, size_t size,
                     kf_error *error);
/* The stream ended: fine for a body without length, else KF_ERR_BAD_HTTP. */
kf_err kf__http_end(struct kf__http_answer *answer, kf_error *error);

/* https://host[:port][/path]; the texts lie in the struct. */
struct kf__https_url {
    char host[KF__HTTP_HOST_BYTES];
    uint16_t port;
    const char *path; /* in the url's text; "" for none */
};
/* KF_ERR_CONFIG with a sentence for anything but https. */
kf_err kf__https_url_read(const char *url, struct kf__https_url *parts, kf_error *error);
/* "host:port" or "host", an IPv6 address in brackets (RFC 9112, section 3.2). */
void kf__https_url_authority(const struct kf__https_url *parts, bool with_port, char *text,
                             size_t size);

#endif
