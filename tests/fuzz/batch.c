/*
 * fuzz_batch: any bytes as record batches. Walks them as the Fetch path does,
 * with and without looking at the checksum, and writes again what it read.
 *
 * libFuzzer calls LLVMFuzzerTestOneInput; built with KAFIBER_FUZZ_MAIN it is
 * a program that runs each file it is given once.
 */
#include "proto/batch/batch.h"
#include "proto/bytes/crc32c.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    LIMIT = 1 << 20
};

static struct kf__codecs codecs;
static struct kf__buffer into;
static struct kf__buffer out;
static volatile uint64_t seen; /* so that every byte handed out is really read */

static void look_at(kf_bytes bytes)
{
    uint64_t sum = bytes.size;
    for (size_t i = 0; i < bytes.size; i++)
        sum += bytes.data[i];
    seen += sum;
}

static void look_at_headers(const struct kf__record *record)
{
    size_t at = 0;
    int32_t count = 0;
    kf_header header;
    bool more = false;
    while (!kf__headers_next(record->headers, record->header_count, &at, &header, &more) && more) {
        look_at((kf_bytes){(const uint8_t *)header.name.data, header.name.size});
        look_at(header.value);
        count++;
    }
    if (count != record->header_count)
        abort(); /* a record's headers were checked when it was read */
}

static void read_again(struct kf__batch_builder *builder, enum kf_codec codec)
{
    struct kf__batch_options options = {.codec = codec};
    struct kf__batch batch;
    struct kf__records records;
    int32_t count = builder->record_count;
    out.used = 0;
    if (count == 0 || kf__batch_builder_finish(builder, &options, &codecs, &out))
        return;
    size_t start = into.used;
    if (kf__batch_peek(out.bytes, out.used, &batch) || kf__batch_check(&batch) ||
        kf__batch_open(&batch, &codecs, &into, SIZE_MAX / 4, &records))
        abort();
    struct kf__record record;
    bool more;
    while (!kf__records_next(&records, &record, &more) && more)
        count--;
    if (count != 0)
        abort();
    into.used = start;
}

static void walk(const struct kf__batch *batch)
{
    struct kf__records records;
    into.used = 0;
    seen += (uint64_t)kf__batch_check(batch);
    if (kf__batch_open(batch, &codecs, &into, LIMIT, &records))
        return;

    struct kf__batch_builder builder;
    struct kf__record record;
    bool more;
    int16_t type;
    int64_t count = 0;
    kf__batch_builder_init(&builder, &kf_default_allocator, batch->base_offset);
    while (!kf__records_next(&records, &record, &more) && more) {
        look_at(record.key);
        look_at(record.value);
        look_at_headers(&record);
        seen += (uint64_t)kf__control_type(&record, &type);
        /* Written again at its place; offsets that go back are refused, and left out. */
        seen += (uint64_t)kf__batch_builder_add_at(&builder, record.offset, record.timestamp,
                                                   record.key, record.value, NULL, 0);
        if (batch->magic == 2 && ++count > batch->record_count)
            abort();
    }
    read_again(&builder, (enum kf_codec)(batch->base_timestamp & 3));
    kf__batch_builder_free(&builder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!codecs.alloc) {
        kf__codecs_init(&codecs, &kf_default_allocator);
        kf__buffer_init(&into, &kf_default_allocator);
        kf__buffer_init(&out, &kf_default_allocator);
    }
    struct kf__batch batch;
    for (size_t at = 0; at < size && !kf__batch_peek(data + at, size - at, &batch);
         at += batch.size)
        walk(&batch);

    /* The codecs by themselves, the first byte saying which. */
    for (int again = 0; size && again < 2; again++) {
        into.used = 0;
        kf__decompress(&codecs, (enum kf_codec)(data[0] % 6), (kf_bytes){data + 1, size - 1}, LIMIT,
                       &into);
    }
    return 0;
}

#ifdef KAFIBER_FUZZ_MAIN
int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        static uint8_t bytes[1 << 20];
        if (!file)
            return perror(argv[i]), 1;
        size_t size = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        uint8_t *exact = malloc(size ? size : 1);
        if (!exact)
            return 1;
        memcpy(exact, bytes, size);
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
    }
    kf__codecs_free(&codecs);
    kf__buffer_free(&into);
    kf__buffer_free(&out);
    return 0;
}
#endif
