#include "proto/batch/batch.h"
#include "tools/broker/log/cleaner.h"
#include "tools/broker/txn/txn_log.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static struct kf_broker broker;
static struct kf__partition partition;
static struct kf__topic_settings settings;
static int64_t producer; /* of a transaction; -1: none */

static void open_log(void)
{
    memset(&broker, 0, sizeof broker);
    broker.alloc = &kf_default_allocator;
    kf__codecs_init(&broker.codecs, broker.alloc);
    kf__buffer_init(&broker.scratch, broker.alloc);
    kf__buffer_init(&broker.rebatched, broker.alloc);
    partition = (struct kf__partition){0};
    producer = -1;
    kf__plog_init(&partition.log, broker.alloc);
    settings = (struct kf__topic_settings){
        .compacts = true, .delete_retention_ms = 1000, .retention_ms = -1, .retention_bytes = -1};
}

static void close_log(void)
{
    kf__plog_free(&partition.log);
    kf__producers_free(&partition.producers, broker.alloc);
    kf__aborted_free(&partition.aborted, broker.alloc);
    kf__codecs_free(&broker.codecs);
    kf__buffer_free(&broker.scratch);
    kf__buffer_free(&broker.rebatched);
}

TestSuite(cleaner, .init = open_log, .fini = close_log);

static kf_bytes bytes(const char *of)
{
    return (kf_bytes){(const uint8_t *)of, of ? strlen(of) : 0};
}

/* "a=1 b=2 c" is a batch of three, c's value null; their time is `at`. */
static void append(const char *records, int64_t at, enum kf_codec codec)
{
    struct kf__batch_builder builder;
    struct kf__buffer out;
    struct kf__batch batch;
    struct kf__batch_options options = {.producer_id = producer,
                                        .producer_epoch = -1,
                                        .base_sequence = -1,
                                        .transactional = producer >= 0,
                                        .codec = codec};
    char copy[200], *save = NULL;
    int64_t offset;
    snprintf(copy, sizeof copy, "%s", records);
    kf__buffer_init(&out, broker.alloc);
    kf__batch_builder_init(&builder, broker.alloc, 0);
    for (char *item = strtok_r(copy, " ", &save); item; item = strtok_r(NULL, " ", &save)) {
        char *value = strchr(item, '=');
        if (value)
            *value++ = 0;
        cr_assert(eq(int, kf__batch_builder_add(&builder, at, bytes(item), bytes(value), NULL, 0),
                     KF_OK));
    }
    cr_assert(eq(int, kf__batch_builder_finish(&builder, &options, &broker.codecs, &out), KF_OK));
    cr_assert(eq(int, kf__batch_peek(out.bytes, out.used, &batch), KF_OK));
    cr_assert(
        eq(int, kf__topics_append(&broker.topics, &partition, &batch, SIZE_MAX, &offset), KF_OK));
    if (producer >= 0) {
        cr_assert(eq(int, kf__producers_reserve(&partition.producers, broker.alloc), KF_OK));
        kf__producers_note(&partition.producers, &batch, offset);
    }
    kf__batch_builder_free(&builder);
    kf__buffer_free(&out);
}

static void end_txn(bool commit)
{
    struct kf__txn_mark mark = {.producer_id = producer, .epoch = 0, .commit = commit};
    broker.topics.alloc = broker.alloc;
    cr_assert(
        eq(int, kf__write_marker(&broker.topics, &broker.codecs, &partition, &mark, 10), KF_OK));
    producer = -1;
}

/* "0:a=1 2:c" and so on; every batch's checksum is right. */
static const char *content(void)
{
    static char text[400];
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < partition.log.batch_count; i++) {
        struct kf__batch batch;
        struct kf__records records;
        struct kf__record record;
        bool more = true;
        cr_assert(eq(
            int,
            kf__batch_peek(partition.log.batches[i].bytes, partition.log.batches[i].size, &batch),
            KF_OK));
        cr_assert(eq(int, kf__batch_check(&batch), KF_OK));
        broker.scratch.used = 0;
        cr_assert(eq(int,
                     kf__batch_open(&batch, &broker.codecs, &broker.scratch, 1 << 20, &records),
                     KF_OK));
        while (kf__records_next(&records, &record, &more) == KF_OK && more)
            used +=
                (size_t)snprintf(text + used, sizeof text - used, "%s%lld:%.*s%s%.*s",
                                 used ? " " : "", (long long)record.offset, (int)record.key.size,
                                 (const char *)record.key.data, record.value.data ? "=" : "",
                                 (int)record.value.size, (const char *)record.value.data);
    }
    return text;
}

#define CONTENT(wanted) cr_assert(eq(str, (char *)(uintptr_t)content(), (char *)(wanted)))

static void clean(int64_t now)
{
    cr_assert(eq(int, kf__clean(&broker, &settings, &partition, now), KF_OK));
    size_t held = 0;
    for (size_t i = 0; i < partition.log.batch_count; i++)
        held += partition.log.batches[i].size;
    cr_assert(eq(sz, partition.log.bytes, held));
    cr_assert(eq(sz, broker.topics.bytes, held));
}

/* ---- compaction ---- */

Test(cleaner, keeps_the_last_record_of_each_key_at_its_offset)
{
    append("a=1 b=1 a=2", 10, KF_CODEC_NONE);
    append("b=2 c=1", 11, KF_CODEC_GZIP);
    append("a=3", 12, KF_CODEC_NONE);
    clean(20);
    CONTENT("3:b=2 4:c=1 5:a=3");
    cr_assert(eq(sz, partition.log.batch_count, 2)); /* nothing is left of the first */
    cr_assert(eq(i64, partition.log.start_offset, 0));
    cr_assert(eq(i64, partition.log.end_offset, 6));
    cr_assert(eq(sz, kf__plog_find(&partition.log, 0), 0)); /* who reads on finds the next */

    append("c=2", 13, KF_CODEC_NONE);
    clean(20);
    CONTENT("3:b=2 5:a=3 6:c=2");
    struct kf__batch batch;
    cr_assert(eq(
        int, kf__batch_peek(partition.log.batches[0].bytes, partition.log.batches[0].size, &batch),
        KF_OK));
    cr_assert(eq(i64, batch.base_offset, 3));
    cr_assert(eq(i64, batch.last_offset, 4)); /* of the batch as it was */
    cr_assert(eq(int, batch.codec, KF_CODEC_GZIP));
    cr_assert(eq(i32, batch.record_count, 1));
}

Test(cleaner, keeps_a_tombstone_for_its_time)
{
    append("a=1", 10, KF_CODEC_NONE);
    append("a", 11, KF_CODEC_NONE);
    append("b=1", 12, KF_CODEC_NONE);
    clean(100); /* now its time begins */
    CONTENT("1:a 2:b=1");
    clean(1099);
    CONTENT("1:a 2:b=1");
    clean(1100);
    CONTENT("2:b=1");
}

Test(cleaner, keeps_a_tombstone_for_ever_where_told)
{
    settings.delete_retention_ms = INT64_MAX;
    append("a", 10, KF_CODEC_NONE);
    append("b=1", 12, KF_CODEC_NONE);
    clean(100);
    clean(INT64_MAX - 1);
    CONTENT("0:a 1:b=1");
}

Test(cleaner, the_last_batch_stays_without_records_if_need_be)
{
    append("a", 10, KF_CODEC_NONE);
    settings.delete_retention_ms = 0;
    clean(100);
    CONTENT("0:a");
    clean(101);
    CONTENT("");
    cr_assert(eq(sz, partition.log.batch_count, 1));
    cr_assert(eq(i64, partition.log.batches[0].last_offset, 0));
    append("b=1", 12, KF_CODEC_NONE);
    clean(102);
    CONTENT("1:b=1");
    cr_assert(eq(sz, partition.log.batch_count, 1));
}

Test(cleaner, leaves_what_is_too_young)
{
    append("a=1", 10, KF_CODEC_NONE);
    append("a=2", 50, KF_CODEC_NONE);
    append("a=3", 60, KF_CODEC_NONE);
    settings.min_compaction_lag_ms = 50;
    clean(105);
    CONTENT("1:a=2 2:a=3");
}

/* A marker is a record without a printable key and value. */
Test(cleaner, takes_what_was_aborted_and_keeps_what_it_would_have_replaced)
{
    append("a=1", 10, KF_CODEC_NONE);
    producer = 7;
    append("a=2 b=2", 10, KF_CODEC_NONE);
    end_txn(false);
    producer = 8;
    append("a=3", 10, KF_CODEC_NONE);
    clean(20);
    CONTENT("0:a=1 3:= 4:a=3");
    end_txn(true);
    clean(20);
    CONTENT("3:= 4:a=3 5:=");
}

Test(cleaner, knows_many_keys)
{
    char name[16];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 1000; i++) {
            snprintf(name, sizeof name, "k%d=%d", i, round);
            append(name, 10, KF_CODEC_NONE);
        }
    clean(20);
    cr_assert(eq(sz, partition.log.batch_count, 1000));
    cr_assert(eq(i64, partition.log.batches[0].base_offset, 1000));
}

/* ---- retention ---- */

Test(cleaner, drops_what_is_older_than_retention_ms)
{
    settings =
        (struct kf__topic_settings){.deletes = true, .retention_ms = 100, .retention_bytes = -1};
    append("a=1", 10, KF_CODEC_NONE);
    append("a=2", 20, KF_CODEC_NONE);
    append("a=3", 30, KF_CODEC_NONE);
    clean(110);
    CONTENT("0:a=1 1:a=2 2:a=3");
    clean(121);
    CONTENT("2:a=3");
    cr_assert(eq(i64, partition.log.start_offset, 2));
    clean(1000);
    CONTENT("");
    cr_assert(eq(i64, partition.log.start_offset, 3));
    cr_assert(eq(i64, partition.log.end_offset, 3));
}

/* A producer may say any time. */
Test(cleaner, takes_the_earliest_time_for_old)
{
    settings =
        (struct kf__topic_settings){.deletes = true, .retention_ms = 100, .retention_bytes = -1};
    append("a=1", INT64_MIN, KF_CODEC_NONE);
    append("a=2", 1000, KF_CODEC_NONE);
    clean(1000);
    CONTENT("1:a=2");
}

Test(cleaner, drops_what_is_beyond_retention_bytes)
{
    settings = (struct kf__topic_settings){.deletes = true, .retention_ms = -1};
    for (int i = 0; i < 4; i++)
        append("a=1", 10, KF_CODEC_NONE);
    size_t one = partition.log.batches[0].size;
    settings.retention_bytes = (int64_t)(2 * one + 1);
    clean(20);
    cr_assert(
        eq(i64, partition.log.start_offset, 1)); /* as Kafka: it never falls below the limit */
    settings.retention_bytes = 0;
    clean(20);
    cr_assert(eq(i64, partition.log.start_offset, 4));
}
