/*
 * archive: one walk over a state writes it or reads it back, so that the two
 * cannot drift apart:
 *
 *     partition->leader = (int32_t)kf__archive_number(archive, partition->leader);
 *
 * Writing, a value goes out and comes back as it was; reading, the one given
 * is ignored and the archive's comes back. Numbers are 8 bytes. The first
 * error sticks. Pure. Called by snapshot.c and its parts.
 */
#ifndef KF_BROKER_ARCHIVE_H
#define KF_BROKER_ARCHIVE_H

#include "proto/bytes/cursor.h"
#include <kafiber/codec.h>
#include <stdbool.h>

struct kf__archive {
    const kf_allocator *alloc;
    kf_writer *out; /* NULL: it reads */
    struct kf__cursor in;
    int64_t version; /* of the format */
    kf_err err;
};

static inline bool kf__archive_reads(const struct kf__archive *archive) { return !archive->out; }

void kf__archive_fail(struct kf__archive *archive, kf_err err);
int64_t kf__archive_number(struct kf__archive *archive, int64_t value);
/* How many elements follow; reading, never more than there are bytes left for. */
size_t kf__archive_count(struct kf__archive *archive, size_t count);
/* Reading, *text becomes a copy of its own. Null stays null. */
void kf__archive_text(struct kf__archive *archive, kf_string *text);
/* Reading, the view borrows from the archive. */
kf_bytes kf__archive_view(struct kf__archive *archive, kf_bytes bytes);
/* Reading, a zeroed array for `count` elements; writing, `items` itself. NULL after an error. */
void *kf__archive_array(struct kf__archive *archive, void *items, size_t count, size_t size);

#endif
