/*
 * inbox: cuts the bytes of a connection into frames, without copying large ones.
 *
 *   recv ──▶ │ shared slab: size│small│size│small│size│beg… │ ──▶ frames that share it
 *                                                  └─ large: a slab of its own,
 *                                                     recv goes straight into it
 *
 * A large frame's slab grows as bytes arrive, so a peer that announces two
 * gigabytes and sends ten bytes costs a megabyte at most. Knows no sockets:
 * link.c asks where the next bytes should go and says how many came.
 */
#ifndef KF_NET_INBOX_H
#define KF_NET_INBOX_H

#include "net/loop/slab.h"
#include <stdbool.h>

enum {
    KF__INBOX_SHARED_BYTES = 64 * 1024,
    /* What one recv may put into the shared slab: of a large frame, so much is copied at most. */
    KF__INBOX_WINDOW_BYTES = 16 * 1024,
    KF__INBOX_SMALL_BYTES = 16 * 1024,   /* frames up to this share a slab */
    KF__INBOX_FIRST_BYTES = 1024 * 1024, /* what a large frame gets before its bytes are here */
};

struct kf__inbox {
    struct kf__slab_pool *slabs;
    size_t limit;            /* largest frame accepted, in bytes */
    struct kf__slab *shared; /* NULL when nothing is unread */
    size_t start, end;       /* what is unread in it */
    struct kf__slab *large;  /* a large frame on its way */
    size_t large_used, large_size;
};

struct kf__frame {
    struct kf__slab *slab; /* one reference, the caller's; NULL: no frame yet */
    const uint8_t *bytes;  /* without the size field */
    size_t size;
};

void kf__inbox_init(struct kf__inbox *inbox, struct kf__slab_pool *slabs, size_t limit);
void kf__inbox_free(struct kf__inbox *inbox); /* may be used again afterwards, as if new */

/* Where the next bytes go, at least one. */
kf_err kf__inbox_space(struct kf__inbox *inbox, uint8_t **bytes, size_t *size);
void kf__inbox_received(struct kf__inbox *inbox, size_t size);

/*
 * The next whole frame. `alone`: in a slab that nobody shares.
 * KF_ERR_FRAME_TOO_LARGE and KF_ERR_FRAME_NEGATIVE are final.
 */
kf_err kf__inbox_next(struct kf__inbox *inbox, bool alone, struct kf__frame *frame);

/* Unread bytes that are here, to look at after an error. */
size_t kf__inbox_peek(const struct kf__inbox *inbox, const uint8_t **bytes);

#endif
