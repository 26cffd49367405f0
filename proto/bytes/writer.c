/*
 * writer: bytes that are being written: owned ones in one buffer, borrowed
 * ones (record batches) as segments between them.
 */
#include "proto/bytes/writer.h"

enum {
    FIRST_CAPACITY = 256,
    FIRST_SEGMENTS = 8,
    SPLICE_FROM = 512, /* bytes; below, copying is cheaper than a segment */
};

void kf_writer_init(kf_writer *writer, const kf_allocator *alloc)
{
    *writer = (kf_writer){.alloc = alloc};
}

void kf_writer_reset(kf_writer *writer)
{
    writer->used = 0;
    writer->segment_count = 0;
    writer->total = 0;
    writer->err = KF_OK;
}

void kf_writer_free(kf_writer *writer)
{
    kf_free(writer->alloc, writer->bytes);
    kf_free(writer->alloc, writer->segments);
    *writer = (kf_writer){.alloc = writer->alloc};
}

void kf__writer_fail(kf_writer *writer, kf_err err)
{
    if (!writer->err)
        writer->err = err;
}

static bool reserve(kf_writer *writer, size_t size)
{
    if (writer->capacity - writer->used >= size)
        return true;
    if (size > SIZE_MAX / 4 || writer->used > SIZE_MAX / 4)
        return false;

    size_t capacity = writer->capacity ? writer->capacity * 2 : FIRST_CAPACITY;
    if (capacity < writer->used + size)
        capacity = writer->used + size;
    uint8_t *bytes = kf_realloc(writer->alloc, writer->bytes, capacity);
    if (!bytes)
        return false;
    writer->bytes = bytes;
    writer->capacity = capacity;
    return true;
}

uint8_t *kf__writer_reserve(kf_writer *writer, size_t size)
{
    if (writer->err)
        return NULL;
    if (!reserve(writer, size)) {
        kf__writer_fail(writer, KF_ERR_NO_MEMORY);
        return NULL;
    }
    return writer->bytes + writer->used;
}

uint8_t *kf__writer_extend(kf_writer *writer, size_t size)
{
    uint8_t *room = kf__writer_reserve(writer, size);
    if (room) {
        writer->used += size;
        writer->total += size;
    }
    return room;
}

void kf_writer_put(kf_writer *writer, const void *bytes, size_t size)
{
    if (size == 0)
        return;
    uint8_t *room = kf__room(writer, size);
    if (room)
        memcpy(room, bytes, size);
}

static bool reserve_segments(kf_writer *writer, size_t count)
{
    if (writer->segment_capacity - writer->segment_count >= count)
        return true;
    size_t capacity = writer->segment_capacity ? writer->segment_capacity * 2 : FIRST_SEGMENTS;
    struct kf_segment *segments =
        kf_realloc(writer->alloc, writer->segments, capacity * sizeof *segments);
    if (!segments)
        return false;
    writer->segments = segments;
    writer->segment_capacity = capacity;
    return true;
}

void kf__writer_splice(kf_writer *writer, kf_bytes bytes)
{
    if (!writer->splice || bytes.size < SPLICE_FROM) {
        kf_writer_put(writer, bytes.data, bytes.size);
        return;
    }
    if (writer->err)
        return;
    if (!reserve_segments(writer, 1)) {
        kf__writer_fail(writer, KF_ERR_NO_MEMORY);
        return;
    }
    writer->segments[writer->segment_count++] = (struct kf_segment){writer->used, bytes};
    writer->total += bytes.size;
}

kf_err kf__writer_part(kf_writer *writer, size_t segment, size_t at, kf_bytes middle)
{
    if (!reserve_segments(writer, 2))
        return KF_ERR_NO_MEMORY;
    struct kf_segment *first = &writer->segments[segment];
    memmove(first + 3, first + 1, (writer->segment_count - segment - 1) * sizeof *first);
    writer->segment_count += 2;
    first[1] = (struct kf_segment){first->at, middle};
    first[2] = (struct kf_segment){first->at,
                                   {first->bytes.data + at, first->bytes.size - middle.size - at}};
    first->bytes.size = at;
    return KF_OK;
}
