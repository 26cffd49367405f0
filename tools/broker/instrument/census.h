/*
 * census: how many requests of which API came from which client. Pure.
 * Counted by dispatch.c, asked by queries.c.
 */
#ifndef KF_BROKER_CENSUS_H
#define KF_BROKER_CENSUS_H

#include <kafiber/alloc.h>

enum {
    KF__MAX_CENSUS_ROWS = 512 /* a hostile client may call itself anything */
};

struct kf__census_row {
    kf_string client; /* owned; null: it sent none */
    int16_t api_key;
    int64_t count;
};

struct kf__census {
    const kf_allocator *alloc;
    struct kf__census_row *rows;
    size_t count;
    size_t latest; /* the row counted last: often the next one too */
};

void kf__census_init(struct kf__census *census, const kf_allocator *alloc);
void kf__census_free(struct kf__census *census);
/* Rows beyond the limit, or without memory, are not kept. */
void kf__census_note(struct kf__census *census, kf_string client, int16_t api_key);
/* api_key -1: of all. */
int64_t kf__census_of(const struct kf__census *census, kf_string client, int16_t api_key);

#endif
