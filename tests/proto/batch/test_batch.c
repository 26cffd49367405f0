#include "proto/batch/batch.h"

#include "proto/bytes/crc32c.h"
#include "tests/proto/batch_golden.h"
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    LIMIT = 1 << 20
};

static struct kf__codecs codecs;
static struct kf__buffer into;
static struct kf__buffer out;
static uint8_t *bytes;

static void set_up(void)
{
    kf__codecs_init(&codecs, &kf_default_allocator);
    kf__buffer_init(&into, &kf_default_allocator);
    kf__buffer_init(&out, &kf_default_allocator);
}

static void tear_down(void)
{
    kf__codecs_free(&codecs);
    kf__buffer_free(&into);
    kf__buffer_free(&out);
    free(bytes);
    bytes = NULL;
}

TestSuite(batch, .init = set_up, .fini = tear_down);

/* In memory of exactly that size, so that the address sanitizer sees a read beyond. */
static kf_bytes from_hex(const char *hex)
{
    size_t size = strlen(hex) / 2;
    bytes = realloc(bytes, size);
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        sscanf(hex + 2 * i, "%2x", &byte);
        bytes[i] = (uint8_t)byte;
    }
    return (kf_bytes){bytes, size};
}

static struct kf__batch peek(kf_bytes at)
{
    struct kf__batch batch;
    cr_assert(eq(int, kf__batch_peek(at.data, at.size, &batch), KF_OK));
    cr_assert(eq(int, kf__batch_check(&batch), KF_OK));
    return batch;
}

static struct kf__records open_batch(const struct kf__batch *batch)
{
    struct kf__records records;
    cr_assert(eq(int, kf__batch_open(batch, &codecs, &into, LIMIT, &records), KF_OK));
    return records;
}

static struct kf__record next(struct kf__records *records)
{
    struct kf__record record;
    bool more;
    cr_assert(eq(int, kf__records_next(records, &record, &more), KF_OK));
    cr_assert(more);
    return record;
}

static void expect_end(struct kf__records *records)
{
    struct kf__record record;
    bool more;
    cr_assert(eq(int, kf__records_next(records, &record, &more), KF_OK));
    cr_assert(not(more));
}

static void expect_bytes(kf_bytes actual, const char *expected)
{
    cr_assert(eq(int, actual.data == NULL, expected == NULL));
    if (!expected)
        return;
    cr_assert(eq(sz, actual.size, strlen(expected)), "want %s", expected);
    cr_assert(eq(int, memcmp(actual.data, expected, actual.size), 0), "want %s", expected);
}

struct expected {
    char key[16];
    char value[64];
    char trace[16];
    const char *key_or_null;
    const char *value_or_null;
};

static void expected_record(int i, struct expected *e)
{
    snprintf(e->key, sizeof e->key, "key-%d", i);
    snprintf(e->value, sizeof e->value, "value-%d-%.*s", i, i % 4 * 8, "abcdefghabcdefghabcdefgh");
    snprintf(e->trace, sizeof e->trace, "t%d", i);
    e->key_or_null = i % 3 == 1 ? NULL : e->key;
    e->value_or_null = i % 5 == 2 ? NULL : e->value;
}

static void expect_headers(const struct kf__record *record, const char *trace)
{
    size_t at = 0;
    kf_header header;
    bool more;
    const char *names[] = {"trace", "trace", ""};
    const char *values[] = {trace, NULL, ""};
    cr_assert(eq(i32, record->header_count, 3));
    for (int i = 0; i < 3; i++) {
        cr_assert(eq(int, kf__headers_next(record->headers, 3, &at, &header, &more), KF_OK));
        cr_assert(more);
        expect_bytes((kf_bytes){(const uint8_t *)header.name.data, header.name.size}, names[i]);
        expect_bytes(header.value, values[i]);
    }
    cr_assert(eq(int, kf__headers_next(record->headers, 3, &at, &header, &more), KF_OK));
    cr_assert(not(more));
}

static void expect_record(const struct kf__record *record, int i, int64_t base, int64_t timestamp)
{
    struct expected e;
    expected_record(i, &e);
    cr_assert(eq(i64, record->offset, base + i));
    cr_assert(eq(i64, record->timestamp, timestamp));
    expect_bytes(record->key, e.key_or_null);
    expect_bytes(record->value, e.value_or_null);
}

static void expect_golden_magic_2(const char *hex, enum kf_codec codec)
{
    struct kf__batch batch = peek(from_hex(hex));
    cr_assert(eq(int, (int)batch.codec, (int)codec));
    cr_assert(eq(i64, batch.base_offset, 100));
    cr_assert(eq(i64, batch.last_offset, 111));
    cr_assert(eq(i32, batch.record_count, 12));
    cr_assert(eq(i32, batch.leader_epoch, 5));
    cr_assert(eq(i64, batch.producer_id, -1));
    cr_assert(eq(i64, batch.base_timestamp, 1600000000000));
    cr_assert(eq(i64, batch.max_timestamp, 1600000000077));

    struct kf__records records = open_batch(&batch);
    for (int i = 0; i < 12; i++) {
        struct kf__record record = next(&records);
        expect_record(&record, i, 100, 1600000000000 + i * 7);
        char trace[16];
        snprintf(trace, sizeof trace, "t%d", i);
        if (i % 4 == 0)
            expect_headers(&record, trace);
        else
            cr_assert(eq(i32, record.header_count, 0));
    }
    expect_end(&records);
}

Test(batch, reads_what_java_wrote_plain) { expect_golden_magic_2(golden_v2_none, KF_CODEC_NONE); }

Test(batch, reads_what_java_wrote_with_snappy)
{
    expect_golden_magic_2(golden_v2_snappy, KF_CODEC_SNAPPY);
}

#ifdef KAFIBER_WITH_ZLIB
Test(batch, reads_what_java_wrote_with_gzip)
{
    expect_golden_magic_2(golden_v2_gzip, KF_CODEC_GZIP);
}
#endif

#ifdef KAFIBER_WITH_LZ4
Test(batch, reads_what_java_wrote_with_lz4) { expect_golden_magic_2(golden_v2_lz4, KF_CODEC_LZ4); }
#endif

#ifdef KAFIBER_WITH_ZSTD
Test(batch, reads_what_java_wrote_with_zstd)
{
    expect_golden_magic_2(golden_v2_zstd, KF_CODEC_ZSTD);
}
#endif

Test(batch, tells_a_transactional_batch_and_its_producer)
{
    struct kf__batch batch = peek(from_hex(golden_v2_transactional));
    cr_assert(batch.transactional);
    cr_assert(not(batch.control));
    cr_assert(eq(i64, batch.producer_id, 4711));
    cr_assert(eq(i16, batch.producer_epoch, 3));
    cr_assert(eq(i32, batch.base_sequence, 42));
    cr_assert(eq(i32, batch.leader_epoch, 9));
}

Test(batch, gives_every_record_the_append_time_where_the_broker_set_it)
{
    struct kf__batch batch = peek(from_hex(golden_v2_log_append));
    cr_assert(eq(int, (int)batch.timestamp_type, KF_TIMESTAMP_LOG_APPEND));
    struct kf__records records = open_batch(&batch);
    for (int i = 0; i < 2; i++) {
        struct kf__record record = next(&records);
        expect_record(&record, i, 7, 1700000000000);
    }
    expect_end(&records);
}

static int16_t control_type_of(const char *hex)
{
    struct kf__batch batch = peek(from_hex(hex));
    cr_assert(batch.control);
    cr_assert(batch.transactional);
    struct kf__records records = open_batch(&batch);
    struct kf__record record = next(&records);
    int16_t type;
    cr_assert(eq(int, kf__control_type(&record, &type), KF_OK));
    expect_end(&records);
    return type;
}

Test(batch, tells_commit_and_abort_markers)
{
    cr_assert(eq(i16, control_type_of(golden_v2_abort), 0));
    cr_assert(eq(i16, control_type_of(golden_v2_commit), 1));
}

Test(batch, keeps_the_last_offset_of_a_batch_that_compaction_emptied)
{
    struct kf__batch batch = peek(from_hex(golden_v2_empty));
    cr_assert(eq(i64, batch.base_offset, 500));
    cr_assert(eq(i64, batch.last_offset, 509));
    struct kf__records records = open_batch(&batch);
    expect_end(&records);
}

/* ---- magic 0 and 1 ---- */

static void expect_legacy(const char *hex, int8_t magic, bool log_append)
{
    kf_bytes rest = from_hex(hex);
    int i = 0;
    while (rest.size) {
        struct kf__batch batch = peek(rest);
        cr_assert(eq(i8, batch.magic, magic));
        cr_assert(eq(i32, batch.record_count, -1));
        cr_assert(eq(i64, batch.last_offset, batch.codec ? 111 : 100 + i));
        struct kf__records records = open_batch(&batch);
        struct kf__record record;
        bool more;
        for (;;) {
            cr_assert(eq(int, kf__records_next(&records, &record, &more), KF_OK));
            if (!more)
                break;
            int64_t timestamp = log_append ? 1700000000000 : 1600000000000 + i * 7;
            expect_record(&record, i++, 100, magic == 0 ? -1 : timestamp);
        }
        rest.data += batch.size;
        rest.size -= batch.size;
    }
    cr_assert(eq(int, i, 12));
}

Test(batch, reads_plain_messages_of_the_oldest_formats)
{
    expect_legacy(golden_v0_none, 0, false);
    expect_legacy(golden_v1_none, 1, false);
}

Test(batch, reads_snappy_wrappers_of_the_oldest_formats)
{
    expect_legacy(golden_v0_snappy, 0, false);
    expect_legacy(golden_v1_snappy, 1, false);
}

#ifdef KAFIBER_WITH_ZLIB
Test(batch, reads_gzip_wrappers_of_the_oldest_formats)
{
    expect_legacy(golden_v0_gzip, 0, false);
    expect_legacy(golden_v1_gzip, 1, false);
    expect_legacy(golden_v1_gzip_log_append, 1, true);
}
#endif

#ifdef KAFIBER_WITH_LZ4
/* KAFKA-3160: the frame's header checksum of magic 0 covers the wrong bytes. */
Test(batch, reads_lz4_wrappers_of_the_oldest_formats_in_spite_of_their_checksum)
{
    expect_legacy(golden_v0_lz4, 0, false);
    expect_legacy(golden_v1_lz4, 1, false);
}
#endif

/* ---- what can't be trusted ---- */

/* Each byte string cut off anywhere: never a crash, and truncation is told. */
Test(batch, tells_a_batch_that_is_cut_short)
{
    const char *all[] = {golden_v2_none, golden_v1_gzip, golden_v0_none};
    for (size_t i = 0; i < 3; i++) {
        struct kf__batch batch;
        struct kf__batch whole = peek(from_hex(all[i]));
        for (size_t size = 0; size < whole.size; size++)
            cr_assert(eq(int, kf__batch_peek(bytes, size, &batch), KF_ERR_TRUNCATED));
    }
}

Test(batch, notices_any_changed_byte_by_the_checksum)
{
    const char *all[] = {golden_v2_none, golden_v1_snappy, golden_v0_snappy};
    for (size_t i = 0; i < 3; i++) {
        struct kf__batch batch = peek(from_hex(all[i]));
        for (size_t at = batch.magic == 2 ? 17 : 12; at < batch.size; at++) {
            bytes[at] ^= 0x40;
            cr_assert(eq(int, kf__batch_check(&batch), KF_ERR_BAD_CRC));
            bytes[at] ^= 0x40;
        }
    }
}

Test(batch, refuses_an_unknown_magic)
{
    struct kf__batch batch;
    kf_bytes golden = from_hex(golden_v2_none);
    bytes[16] = 3;
    cr_assert(eq(int, kf__batch_peek(golden.data, golden.size, &batch), KF_ERR_BAD_MAGIC));
    bytes[16] = 0xff;
    cr_assert(eq(int, kf__batch_peek(golden.data, golden.size, &batch), KF_ERR_BAD_MAGIC));
}

static kf_err peek_with(size_t at, uint32_t value)
{
    struct kf__batch batch;
    kf_bytes golden = from_hex(golden_v2_none);
    kf__set_u32(bytes + at, value);
    return kf__batch_peek(golden.data, golden.size, &batch);
}

Test(batch, refuses_headers_that_contradict_themselves)
{
    cr_assert(eq(int, peek_with(0, 0x80000000), KF_ERR_BAD_BATCH)); /* a negative offset */
    cr_assert(eq(int, peek_with(8, (uint32_t)-1), KF_ERR_BAD_BATCH));
    cr_assert(eq(int, peek_with(8, 48), KF_ERR_BAD_BATCH)); /* shorter than its header */
    cr_assert(eq(int, peek_with(23, (uint32_t)-1), KF_ERR_BAD_BATCH));
    cr_assert(eq(int, peek_with(57, (uint32_t)-1), KF_ERR_BAD_BATCH));
    cr_assert(eq(int, peek_with(0, 0x7fffffff), KF_OK));
}

Test(batch, refuses_a_last_offset_beyond_the_largest)
{
    struct kf__batch batch;
    kf_bytes golden = from_hex(golden_v2_none);
    kf__batch_set_base_offset(bytes, INT64_MAX - 10);
    cr_assert(eq(int, kf__batch_peek(golden.data, golden.size, &batch), KF_ERR_BAD_BATCH));
}

Test(batch, refuses_a_last_offset_that_has_no_next)
{
    struct kf__batch batch;
    kf_bytes golden = from_hex(golden_v2_none);
    cr_assert(eq(int, kf__batch_peek(golden.data, golden.size, &batch), KF_OK));
    int64_t delta = batch.last_offset - batch.base_offset;
    kf__batch_set_base_offset(bytes, INT64_MAX - delta);
    cr_assert(eq(int, kf__batch_peek(golden.data, golden.size, &batch), KF_ERR_BAD_BATCH));
    kf__batch_set_base_offset(bytes, INT64_MAX - delta - 1);
    cr_assert(eq(int, kf__batch_peek(golden.data, golden.size, &batch), KF_OK));

    golden = from_hex(golden_v1_none);
    kf__batch_set_base_offset(bytes, INT64_MAX);
    cr_assert(eq(int, kf__batch_peek(golden.data, golden.size, &batch), KF_ERR_BAD_BATCH));
}

/* How a walk ends over a plain batch whose count was changed by so many. */
static kf_err walk_with_count(int32_t difference)
{
    struct kf__batch batch = peek(from_hex(golden_v2_none));
    batch.record_count += difference;
    struct kf__records records = open_batch(&batch);
    struct kf__record record;
    bool more = true;
    kf_err err = KF_OK;
    while (!err && more)
        err = kf__records_next(&records, &record, &more);
    return err;
}

Test(batch, refuses_a_count_that_does_not_match_the_records)
{
    cr_assert(eq(int, walk_with_count(0), KF_OK));
    cr_assert(eq(int, walk_with_count(1), KF_ERR_BAD_BATCH));
    cr_assert(eq(int, walk_with_count(-1), KF_ERR_BAD_BATCH));
}

Test(batch, refuses_a_count_beyond_what_the_payload_can_hold)
{
    struct kf__records records;
    struct kf__batch batch = peek(from_hex(golden_v2_none));
    batch.record_count = INT32_MAX;
    cr_assert(eq(int, kf__batch_open(&batch, &codecs, &into, LIMIT, &records), KF_ERR_BAD_BATCH));
}

/* One record in memory of exactly its size, with `padding` good records' bytes after it. */
static kf_err read_one(const char *hex, size_t padding)
{
    kf_bytes payload = from_hex(hex);
    uint8_t *exact = malloc(payload.size + padding);
    memcpy(exact, payload.data, payload.size);
    memset(exact + payload.size, 0, padding);
    struct kf__records records = {
        .at = exact, .end = exact + payload.size + padding, .remaining = 1, .magic = 2};
    if (padding)
        records.fast_end = records.end - KF__RECORD_READ_AHEAD;
    struct kf__record record;
    bool more;
    kf_err err = kf__records_next(&records, &record, &more);
    free(exact);
    return err;
}

/* With and without room behind, so that both the inlined and the careful way are taken. */
static void expect_both_ways(const char *hex, kf_err err)
{
    cr_assert(eq(int, read_one(hex, 0), err), "%s", hex);
    cr_assert(eq(int, read_one(hex, 32), err), "%s and more", hex);
}

Test(batch, checks_every_length_of_a_record)
{
    /* length, attributes, timestamp, offset, key "a", value "b", no headers */
    expect_both_ways("100000000261026200", KF_OK);
    expect_both_ways("0e0000000261026200", KF_ERR_BAD_BATCH); /* a byte left over */
    expect_both_ways("0f0000000261026200", KF_ERR_BAD_BATCH); /* a negative length */
    expect_both_ways("0c000000000000", KF_OK);                /* empty, empty */
    expect_both_ways("0e00000001010000", KF_ERR_BAD_BATCH);   /* null, null, one byte more */
    expect_both_ways("0c000000010100", KF_OK);                /* null, null */
    expect_both_ways("0c000000030100", KF_ERR_BAD_BATCH);     /* a key of -2 bytes */
    expect_both_ways("0c000000010300", KF_ERR_BAD_BATCH);     /* a value of -2 bytes */
    expect_both_ways("0c0000000a0100", KF_ERR_BAD_BATCH);     /* a key beyond the record */
    expect_both_ways("0c000000010a00", KF_ERR_BAD_BATCH);     /* a value beyond the record */
    expect_both_ways("0c000000010101", KF_ERR_BAD_BATCH);     /* -1 headers */
    expect_both_ways("0c000000010102", KF_ERR_BAD_BATCH);     /* a header that is not there */
    expect_both_ways("100000000101020261", KF_ERR_BAD_BATCH); /* its value is not there */
    expect_both_ways("12000000010102026101", KF_OK);          /* a = null */
    expect_both_ways("100000000101020101", KF_ERR_BAD_BATCH); /* a header without a name */
}

Test(batch, refuses_numbers_longer_than_their_type)
{
    expect_both_ways("8a8080808000000000000000", KF_ERR_BAD_BATCH);
    expect_both_ways("1800ffffffffffffffffff0200000000", KF_ERR_BAD_BATCH);
    expect_both_ways("1e00feffffffffffffffff0100010100", KF_OK);
    expect_both_ways("1e00feffffffffffffffff0200010100", KF_ERR_BAD_BATCH);
}

/* ---- writing ---- */

static kf_bytes text(const char *string)
{
    return string ? (kf_bytes){(const uint8_t *)string, strlen(string)} : (kf_bytes){NULL, 0};
}

static void build_golden(struct kf__batch_builder *builder, int count)
{
    for (int i = 0; i < count; i++) {
        struct expected e;
        expected_record(i, &e);
        kf_header headers[] = {
            {{"trace", 5}, text(e.trace)},
            {{"trace", 5}, {NULL, 0}},
            {{"", 0}, {(const uint8_t *)"", 0}},
        };
        cr_assert(eq(int,
                     kf__batch_builder_add(builder, 1600000000000 + i * 7, text(e.key_or_null),
                                           text(e.value_or_null), headers, i % 4 == 0 ? 3 : 0),
                     KF_OK));
    }
}

Test(batch, writes_the_very_bytes_that_java_writes)
{
    struct kf__batch_builder builder;
    struct kf__batch_options plain = {
        .producer_id = -1, .producer_epoch = -1, .base_sequence = -1, .leader_epoch = 5};
    kf__batch_builder_init(&builder, &kf_default_allocator, 100);
    build_golden(&builder, 12);
    cr_assert(eq(int, kf__batch_builder_finish(&builder, &plain, &codecs, &out), KF_OK));
    kf_bytes golden = from_hex(golden_v2_none);
    cr_assert(eq(sz, out.used, golden.size));
    cr_assert(eq(int, memcmp(out.bytes, golden.data, golden.size), 0));

    /* A second one from the same builder, appended. */
    kf__batch_builder_free(&builder);
    kf__batch_builder_init(&builder, &kf_default_allocator, 7);
    struct kf__batch_options transactional = {.producer_id = 4711,
                                              .producer_epoch = 3,
                                              .base_sequence = 42,
                                              .leader_epoch = 9,
                                              .transactional = true};
    size_t before = out.used;
    build_golden(&builder, 2);
    cr_assert(eq(int, kf__batch_builder_finish(&builder, &transactional, &codecs, &out), KF_OK));
    golden = from_hex(golden_v2_transactional);
    cr_assert(eq(sz, out.used - before, golden.size));
    cr_assert(eq(int, memcmp(out.bytes + before, golden.data, golden.size), 0));
    kf__batch_builder_free(&builder);
}

Test(batch, reads_what_it_wrote_with_every_codec_that_is_built)
{
    struct kf__batch_builder builder;
    kf__batch_builder_init(&builder, &kf_default_allocator, 100);
    for (int codec = KF_CODEC_NONE; codec <= KF_CODEC_ZSTD; codec++) {
        if (!kf__codec_is_built((enum kf_codec)codec))
            continue;
        struct kf__batch_options options = {.codec = (enum kf_codec)codec};
        build_golden(&builder, 2000);
        out.used = 0;
        cr_assert(eq(int, kf__batch_builder_finish(&builder, &options, &codecs, &out), KF_OK));
        struct kf__batch batch = peek((kf_bytes){out.bytes, out.used});
        into.used = 0;
        struct kf__records records = open_batch(&batch);
        for (int i = 0; i < 2000; i++) {
            struct kf__record record = next(&records);
            expect_record(&record, i, 100, 1600000000000 + i * 7);
        }
        expect_end(&records);
    }
    kf__batch_builder_free(&builder);
}

Test(batch, carries_large_values_and_distant_times_and_offsets)
{
    struct kf__batch_builder builder;
    struct kf__batch_options options = {.codec = KF_CODEC_NONE};
    uint8_t *large = calloc(1, 3000000);
    kf__batch_builder_init(&builder, &kf_default_allocator, 10);
    cr_assert(eq(int,
                 kf__batch_builder_add(&builder, 5, (kf_bytes){large, 9000},
                                       (kf_bytes){large, 3000000}, NULL, 0),
                 KF_OK));
    cr_assert(eq(int,
                 kf__batch_builder_add_at(&builder, 10 + (int64_t)INT32_MAX, INT64_MIN,
                                          (kf_bytes){NULL, 0}, (kf_bytes){large, 70}, NULL, 0),
                 KF_OK));
    cr_assert(eq(
        int, kf__batch_builder_add(&builder, 0, (kf_bytes){NULL, 0}, (kf_bytes){NULL, 0}, NULL, 0),
        KF_ERR_INVALID_ARGUMENT));
    cr_assert(eq(int, kf__batch_builder_finish(&builder, &options, &codecs, &out), KF_OK));

    struct kf__batch batch = peek((kf_bytes){out.bytes, out.used});
    cr_assert(eq(i64, batch.last_offset, 10 + (int64_t)INT32_MAX));
    struct kf__records records = open_batch(&batch);
    struct kf__record record = next(&records);
    cr_assert(eq(sz, record.key.size, 9000));
    cr_assert(eq(sz, record.value.size, 3000000));
    record = next(&records);
    cr_assert(eq(i64, record.offset, 10 + (int64_t)INT32_MAX));
    cr_assert(eq(i64, record.timestamp, INT64_MIN));
    expect_end(&records);
    kf__batch_builder_free(&builder);
    free(large);
}

Test(batch, changes_base_offset_and_leader_epoch_without_touching_the_checksum)
{
    struct kf__batch batch = peek(from_hex(golden_v2_none));
    kf__batch_set_base_offset(bytes, 5000);
    kf__batch_set_leader_epoch(bytes, 12);
    batch = peek((kf_bytes){bytes, batch.size});
    cr_assert(eq(i64, batch.base_offset, 5000));
    cr_assert(eq(i64, batch.last_offset, 5011));
    cr_assert(eq(i32, batch.leader_epoch, 12));
}

Test(batch, will_not_finish_without_a_record)
{
    struct kf__batch_builder builder;
    struct kf__batch_options options = {.codec = KF_CODEC_NONE};
    kf__batch_builder_init(&builder, &kf_default_allocator, 0);
    cr_assert(eq(int, kf__batch_builder_finish(&builder, &options, &codecs, &out), KF_ERR_STATE));
}

Test(batch, finds_the_last_header_of_a_name)
{
    struct kf__batch batch = peek(from_hex(golden_v2_none));
    struct kf__records records = open_batch(&batch);
    struct kf__record record = next(&records);
    kf_message message = {.headers = record.headers, .header_count = record.header_count};
    kf_header header;
    cr_assert(kf_message_header(&message, "trace", &header));
    expect_bytes(header.value, NULL);
    cr_assert(kf_message_header(&message, "", &header));
    expect_bytes(header.value, "");
    cr_assert(not(kf_message_header(&message, "none", &header)));
}
