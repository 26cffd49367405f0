/* log: builds the blueprints: values of words and numbers, as compressible as JSON is. */
#include "tools/bench/replay/log.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    RECORD_OVERHEAD = 10, /* roughly, of a record beyond its key and value */
};

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void fill(uint8_t *value, size_t size, uint32_t *seed)
{
    static const char *const words[] = {
        "\"customer\":", "\"amount\":", "\"currency\":\"EUR\",", "\"status\":\"paid\",",
        "\"order\":",    "\"when\":",   "\"region\":\"north\",", "\"note\":null,",
    };
    char piece[64];
    for (size_t at = 0; at < size;) {
        uint32_t random = next_random(seed);
        int length = snprintf(piece, sizeof piece, "%s%u,", words[random % 8], random >> 4);
        size_t room = size - at;
        size_t take = (size_t)length < room ? (size_t)length : room;
        memcpy(value + at, piece, take);
        at += take;
    }
}

static kf_err add_records(struct kf__batch_builder *builder, const struct log_shape *shape,
                          int32_t count, uint32_t seed)
{
    uint8_t *bytes = malloc(shape->key_bytes + shape->record_bytes + 1);
    if (!bytes)
        return KF_ERR_NO_MEMORY;
    kf_err err = KF_OK;
    for (int32_t i = 0; !err && i < count; i++) {
        fill(bytes, shape->key_bytes + shape->record_bytes, &seed);
        kf_bytes key = {shape->key_bytes ? bytes : NULL, shape->key_bytes};
        kf_bytes value = {bytes + shape->key_bytes, shape->record_bytes};
        err = kf__batch_builder_add(builder, 1700000000000 + i / 10, key, value, NULL, 0);
    }
    free(bytes);
    return err;
}

static kf_err build_one(struct log *log, const struct log_shape *shape, int which,
                        struct kf__codecs *codecs)
{
    struct kf__batch_builder builder;
    struct kf__batch_options options = {
        .codec = shape->codec, .producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    kf__batch_builder_init(&builder, &kf_default_allocator, 0);
    kf__buffer_init(&log->blueprint[which], &kf_default_allocator);
    kf_err err = add_records(&builder, shape, log->batch_records, (uint32_t)which + 1);
    if (!err)
        err = kf__batch_builder_finish(&builder, &options, codecs, &log->blueprint[which]);
    if (log->blueprint[which].used > log->batch_bytes)
        log->batch_bytes = log->blueprint[which].used;
    kf__batch_builder_free(&builder);
    return err;
}

kf_err log_build(struct log *log, const struct log_shape *shape)
{
    struct kf__codecs codecs;
    size_t room = shape->batch_bytes > KF__BATCH_HEADER_BYTES
                      ? shape->batch_bytes - KF__BATCH_HEADER_BYTES
                      : 0;
    size_t count = room / (shape->record_bytes + shape->key_bytes + RECORD_OVERHEAD);
    *log = (struct log){.batch_records = count > 0 ? (int32_t)count : 1};
    log->high_watermark = INT64_MAX / 2;
    if (shape->records)
        log->high_watermark =
            (shape->records + log->batch_records - 1) / log->batch_records * log->batch_records;

    kf_err err = KF_OK;
    kf__codecs_init(&codecs, &kf_default_allocator);
    for (int which = 0; !err && which < BLUEPRINTS; which++)
        err = build_one(log, shape, which, &codecs);
    kf__codecs_free(&codecs);
    return err;
}

void log_free(struct log *log)
{
    for (int which = 0; which < BLUEPRINTS; which++)
        kf__buffer_free(&log->blueprint[which]);
}
