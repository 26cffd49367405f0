#include "tools/broker/log/validate.h"

#include "tools/broker/log/rebatch.h"
#include "tools/broker/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static struct kf__codecs codecs;
static struct kf__buffer bytes, scratch;
static kf_arena arena;
static struct kf__topic_settings settings;
static struct kf__expected expected;
static struct kf__complaint complaint;
static int64_t max_timestamp;

static const int64_t now = 1600000000000;

/* Two records, the second without a key; compressed by `codec`. */
static void make(enum kf_codec codec)
{
    struct kf__batch_builder builder;
    struct kf__batch_options options = {
        .codec = codec, .producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    kf__batch_builder_init(&builder, &kf_default_allocator, 0);
    const uint8_t *letter = (const uint8_t *)"k";
    kf__batch_builder_add(&builder, now, (kf_bytes){letter, 1}, (kf_bytes){letter, 1}, NULL, 0);
    kf__batch_builder_add(&builder, now + 7, (kf_bytes){0}, (kf_bytes){letter, 1}, NULL, 0);
    bytes.used = 0;
    cr_assert(eq(int, kf__batch_builder_finish(&builder, &options, &codecs, &bytes), KF_OK));
    kf__batch_builder_free(&builder);
}

static void open_all(void)
{
    kf__codecs_init(&codecs, &kf_default_allocator);
    kf__buffer_init(&bytes, &kf_default_allocator);
    kf__buffer_init(&scratch, &kf_default_allocator);
    kf_arena_init(&arena, &kf_default_allocator, 0);
    settings = (struct kf__topic_settings){.max_message_bytes = 1000,
                                           .segment_bytes = 1000,
                                           .max_unpacked_record_bytes = 1000,
                                           .before_max_ms = INT64_MAX,
                                           .after_max_ms = 3600000};
    expected = (struct kf__expected){.topic = kf__text("orders"),
                                     .partition = 3,
                                     .settings = &settings,
                                     .wall_ms = now,
                                     .version = 9,
                                     .codecs = &codecs,
                                     .scratch = &scratch,
                                     .arena = &arena};
    make(KF_CODEC_NONE);
}

static void close_all(void)
{
    kf__codecs_free(&codecs);
    kf__buffer_free(&bytes);
    kf__buffer_free(&scratch);
    kf_arena_free(&arena);
}

TestSuite(validate, .init = open_all, .fini = close_all);

static kf_err validate(void)
{
    struct kf__batch batch;
    kf_err err =
        kf__validate_request((kf_bytes){bytes.bytes, bytes.used}, &expected, &batch, &complaint);
    return err ? err : kf__validate_batch(&batch, &expected, &max_timestamp, &complaint);
}

/* Another byte at a place of the header or the records, and the checksum of that. */
static void spoil(size_t at, uint8_t byte)
{
    struct kf__batch batch;
    struct kf__buffer copy;
    bytes.bytes[at] = byte;
    if (at < 21 || kf__batch_peek(bytes.bytes, bytes.used, &batch))
        return;
    kf__buffer_init(&copy, &kf_default_allocator);
    cr_assert(eq(int, kf__retime(&batch, batch.max_timestamp, &copy), KF_OK));
    memcpy(bytes.bytes, copy.bytes, copy.used);
    kf__buffer_free(&copy);
}

static void refuses(kf_err err, bool of_log, const char *why)
{
    cr_assert(eq(int, validate(), err));
    cr_assert(eq(int, complaint.of_log, of_log));
    cr_assert(eq(str, complaint.why, (char *)(uintptr_t)why));
}

Test(validate, takes_a_whole_batch_and_tells_its_largest_timestamp)
{
    cr_assert(eq(int, validate(), KF_OK));
    cr_assert(eq(i64, max_timestamp, now + 7));
    make(KF_CODEC_SNAPPY);
    cr_assert(eq(int, validate(), KF_OK));
    cr_assert(eq(i64, max_timestamp, now + 7));
}

/* Seven bytes after its length, the second record six; KAFKA-20843's limit is one of records that
   were compressed. */
Test(validate, refuses_a_compressed_record_larger_than_the_topic_allows)
{
    make(KF_CODEC_SNAPPY);
    settings.max_unpacked_record_bytes = 8;
    cr_assert(eq(int, validate(), KF_OK));
    settings.max_unpacked_record_bytes = 7;
    refuses(KF_ERR_INVALID_RECORD, true, "");
    make(KF_CODEC_NONE);
    cr_assert(eq(int, validate(), KF_OK));
}

/* Kafka's ProduceRequest looks no further than to the last whole batch. */
Test(validate, takes_exactly_one_batch)
{
    size_t size = bytes.used;
    cr_assert(eq(int, kf__buffer_put(&bytes, bytes.bytes, 11), KF_OK));
    cr_assert(eq(int, validate(), KF_OK), "what is less than a batch isn't there");
    bytes.used = size;
    uint8_t copy[200];
    memcpy(copy, bytes.bytes, size);
    cr_assert(eq(int, kf__buffer_put(&bytes, copy, size), KF_OK));
    refuses(KF_ERR_INVALID_RECORD, false, "");
    bytes.used = size - 1;
    refuses(KF_ERR_INVALID_RECORD, false, "");
    bytes.used = 0;
    refuses(KF_ERR_INVALID_RECORD, false, "");
}

Test(validate, says_what_kafka_says_of_lengths_and_magics)
{
    spoil(16, 3);
    refuses(KF_ERR_CORRUPT_MESSAGE, false, "Invalid magic found in record: 3");
    spoil(16, 1);
    refuses(KF_ERR_INVALID_RECORD, false, "");
    spoil(16, 2);
    spoil(11, 13);
    refuses(KF_ERR_CORRUPT_MESSAGE, false,
            "Record size 13 is less than the minimum record overhead (14)");
}

Test(validate, refuses_a_batch_that_contradicts_itself)
{
    spoil(7, 5); /* it is the broker that gives offsets */
    refuses(KF_ERR_INVALID_RECORD, true, "");
    make(KF_CODEC_NONE);
    bytes.bytes[20] ^= 1; /* checksum */
    refuses(KF_ERR_CORRUPT_MESSAGE, false, "");
    make(KF_CODEC_NONE);
    spoil(60, 1); /* one record, of two offsets */
    refuses(KF_ERR_INVALID_RECORD, true, "");
    make(KF_CODEC_NONE);
    spoil(22, 0x20); /* control */
    refuses(KF_ERR_INVALID_RECORD, true, "");
}

Test(validate, opens_every_record)
{
    spoil(61, 200); /* its length */
    refuses(KF_ERR_INVALID_RECORD, true, "");
    make(KF_CODEC_NONE);
    spoil(22, KF_CODEC_SNAPPY); /* they aren't */
    refuses(KF_ERR_UNKNOWN_SERVER_ERROR, true, "");
    make(KF_CODEC_NONE);
    spoil(22, 5); /* a codec that nobody has */
    refuses(KF_ERR_UNKNOWN_SERVER_ERROR, true, "");
}

Test(validate, names_each_record_that_a_compacted_topic_refuses)
{
    settings.compacts = true;
    refuses(KF_ERR_INVALID_RECORD, true,
            "One or more records have been rejected due to 1 record errors in total, and only "
            "showing the first three errors at most: [RecordError(batchIndex=1, message='Compacted "
            "topic cannot accept message without key in topic partition orders-3')]");
    cr_assert(eq(i32, complaint.record_count, 1));
    cr_assert(eq(i32, complaint.records[0].batch_index, 1));
}

Test(validate, names_each_record_of_a_wrong_time)
{
    settings.before_max_ms = 1000;
    expected.wall_ms = now + 1005;
    refuses(KF_ERR_INVALID_TIMESTAMP, true,
            "One or more records have been rejected due to invalid timestamp");
    cr_assert(eq(i32, complaint.record_count, 1));
    cr_assert(eq(i32, complaint.records[0].batch_index, 0));
    settings.append_time = true; /* then nobody looks */
    cr_assert(eq(int, validate(), KF_OK));
}

Test(validate, knows_sizes_and_versions)
{
    settings.max_message_bytes = (int64_t)bytes.used - 1;
    refuses(KF_ERR_MESSAGE_TOO_LARGE, false, "");
    settings.max_message_bytes = 1000;
    settings.segment_bytes = (int64_t)bytes.used - 1;
    refuses(KF_ERR_RECORD_LIST_TOO_LARGE, false, "");
    spoil(22, KF_CODEC_ZSTD);
    expected.version = 6;
    refuses(KF_ERR_UNSUPPORTED_COMPRESSION_TYPE, false, "");
}
