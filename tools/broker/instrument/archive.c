#include "tools/broker/instrument/archive.h"

#include "tools/broker/text.h"

enum {
    NUMBER_BYTES = 8,
    NULL_SIZE = -1,
};

void kf__archive_fail(struct kf__archive *archive, kf_err err)
{
    if (!archive->err)
        archive->err = err;
}

int64_t kf__archive_number(struct kf__archive *archive, int64_t value)
{
    if (kf__archive_reads(archive)) {
        value = kf__take_i64(&archive->in);
        kf__archive_fail(archive, archive->in.err);
        return value;
    }
    uint8_t bytes[NUMBER_BYTES];
    for (int i = 0; i < NUMBER_BYTES; i++)
        bytes[i] = (uint8_t)((uint64_t)value >> (8 * (NUMBER_BYTES - 1 - i)));
    kf_writer_put(archive->out, bytes, sizeof bytes);
    kf__archive_fail(archive, archive->out->err);
    return value;
}

size_t kf__archive_count(struct kf__archive *archive, size_t count)
{
    int64_t number = kf__archive_number(archive, (int64_t)count);
    if (!kf__archive_reads(archive))
        return count;
    if (number < 0 || (uint64_t)number > kf__left(&archive->in) / NUMBER_BYTES)
        kf__archive_fail(archive, KF_ERR_BAD_COUNT);
    return archive->err ? 0 : (size_t)number;
}

kf_bytes kf__archive_view(struct kf__archive *archive, kf_bytes bytes)
{
    int64_t size = kf__archive_number(archive, bytes.data ? (int64_t)bytes.size : NULL_SIZE);
    if (!kf__archive_reads(archive)) {
        if (bytes.data)
            kf_writer_put(archive->out, bytes.data, bytes.size);
        kf__archive_fail(archive, archive->out->err);
        return bytes;
    }
    if (archive->err || size == NULL_SIZE)
        return (kf_bytes){0};
    bytes.data = kf__take(&archive->in, size < 0 ? SIZE_MAX : (size_t)size);
    bytes.size = bytes.data ? (size_t)size : 0;
    kf__archive_fail(archive, archive->in.err);
    return bytes;
}

void kf__archive_text(struct kf__archive *archive, kf_string *text)
{
    kf_bytes bytes = kf__archive_view(archive, (kf_bytes){(const uint8_t *)text->data, text->size});
    if (kf__archive_reads(archive))
        kf__archive_fail(
            archive,
            kf__text_copy(archive->alloc, (kf_string){(const char *)bytes.data, bytes.size}, text));
}

void *kf__archive_array(struct kf__archive *archive, void *items, size_t count, size_t size)
{
    if (!kf__archive_reads(archive))
        return items;
    items = archive->err ? NULL : kf_alloc_array(archive->alloc, count + 1, size);
    if (!items)
        kf__archive_fail(archive, KF_ERR_NO_MEMORY);
    return items;
}
