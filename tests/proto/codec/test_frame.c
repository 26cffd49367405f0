#include "proto/codec/frame.h"
#include "tests/proto/wire.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static kf_writer writer;
static char hex[8192];

static void setup(void) { kf_writer_init(&writer, &kf_default_allocator); }
static void teardown(void) { kf_writer_free(&writer); }

TestSuite(frame, .init = setup, .fini = teardown);

static const char *request(const kf_schema *schema, int16_t version, const void *message)
{
    kf_err err = kf__encode_request(&writer, schema, version, 5, text("me"), message);
    return err ? kf_err_name(err) : to_hex(&writer, hex);
}

Test(frame, writes_size_header_and_message_of_a_flexible_request)
{
    struct kf_api_versions_request m;
    kf_reset(&kf_schema_of_api_versions_request, &m);
    m.client_software_name = text("a");
    m.client_software_version = text("1");
    cr_assert(eq(str, (char *)request(&kf_schema_of_api_versions_request, 4, &m),
                 "00000012"
                 "001200040000000500026d6500"
                 "0261023100"));
}

Test(frame, writes_header_v1_before_the_flexible_versions)
{
    struct kf_metadata_request m;
    kf_reset(&kf_schema_of_metadata_request, &m);
    m.topics.count = -1;
    cr_assert(eq(str, (char *)request(&kf_schema_of_metadata_request, 1, &m),
                 "00000010"
                 "000300010000000500026d65"
                 "ffffffff"));
}

Test(frame, reads_response_header_v1_with_tags)
{
    int32_t id;
    size_t used;
    kf_err err = kf__decode_response_header(&kf_schema_of_metadata_response, 9, "\0\0\0\7\1\0\2ab.",
                                            10, &id, &used);
    cr_assert(eq(int, err, KF_OK));
    cr_assert(eq(int, id, 7));
    cr_assert(eq(sz, used, 9));
}

Test(frame, reads_response_header_v0_for_api_versions_always)
{
    int32_t id;
    size_t used;
    kf_err err = kf__decode_response_header(&kf_schema_of_api_versions_response, 4, "\0\0\0\7\0", 5,
                                            &id, &used);
    cr_assert(eq(int, err, KF_OK));
    cr_assert(eq(sz, used, 4));
}

Test(frame, reads_the_request_header_that_it_wrote)
{
    struct kf_metadata_request m;
    kf_reset(&kf_schema_of_metadata_request, &m);
    cr_assert(ne(str, (char *)request(&kf_schema_of_metadata_request, 12, &m), ""));

    struct kf_request_header header;
    size_t used;
    cr_assert(eq(int, kf__decode_request_header(writer.bytes + 4, writer.used - 4, &header, &used),
                 KF_OK));
    cr_assert(eq(int, header.request_api_key, KF_API_METADATA));
    cr_assert(eq(int, header.request_api_version, 12));
    cr_assert(eq(int, header.correlation_id, 5));
    cr_assert(eq(sz, header.client_id.size, 2));
    cr_assert(eq(sz, used, 13));
}

Test(frame, reads_the_header_of_an_unknown_version_as_of_the_newest)
{
    struct kf_request_header header;
    size_t used;
    kf_err err = kf__decode_request_header("\0\22\0\x7f\0\0\0\5\xff\xff\0rest", 15, &header, &used);
    cr_assert(eq(int, err, KF_OK));
    cr_assert(eq(int, header.request_api_version, 127));
    cr_assert(zero(ptr, (void *)header.client_id.data));
    cr_assert(eq(sz, used, 11));
}

Test(frame, tells_an_unknown_api_with_its_correlation_id)
{
    struct kf_request_header header;
    size_t used;
    cr_assert(eq(int, kf__decode_request_header("\x7f\0\0\0\0\0\0\5", 8, &header, &used),
                 KF_ERR_API_NOT_SUPPORTED));
    cr_assert(eq(int, header.correlation_id, 5));
}

/* 600 bytes of records borrowed, between owned bytes. */
static const uint8_t records[600] = {1, 2, 3};

static void write_produce(void)
{
    struct kf_produce_request_partition_produce_data partition;
    struct kf_produce_request_topic_produce_data topic;
    struct kf_produce_request m;
    kf_reset(&kf_schema_of_produce_request, &m);
    memset(&partition, 0, sizeof partition);
    memset(&topic, 0, sizeof topic);
    partition.records = (kf_bytes){records, sizeof records};
    topic.name = text("t");
    topic.partition_data.items = &partition;
    topic.partition_data.count = 1;
    m.topic_data.items = &topic;
    m.topic_data.count = 1;
    writer.splice = true;
    kf_err err = kf__encode_request(&writer, &kf_schema_of_produce_request, 12, 5, text("me"), &m);
    cr_assert(eq(int, err, KF_OK));
}

Test(frame, lends_records_as_a_vector_without_copying)
{
    write_produce();
    struct iovec vectors[4];
    cr_assert(eq(sz, kf_writer_iovec(&writer, vectors, 4), 3));
    cr_assert(eq(ptr, vectors[1].iov_base, (void *)(uintptr_t)records));
    cr_assert(eq(sz, vectors[1].iov_len, 600));
    size_t size = vectors[0].iov_len + vectors[1].iov_len + vectors[2].iov_len;
    cr_assert(eq(sz, size, writer.total));
    const uint8_t *head = vectors[0].iov_base;
    cr_assert(eq(sz, (size_t)(head[2] << 8 | head[3]), size - 4));
}

Test(frame, skips_what_was_sent_already)
{
    write_produce();
    struct iovec vectors[4];
    size_t head = writer.segments[0].at;
    cr_assert(eq(sz, kf__writer_iovec_from(&writer, head + 100, vectors, 4), 2));
    cr_assert(eq(ptr, vectors[0].iov_base, (void *)(uintptr_t)(records + 100)));
    cr_assert(eq(sz, vectors[0].iov_len, 500));
    cr_assert(eq(sz, kf__writer_iovec_from(&writer, writer.total, vectors, 4), 0));
}

Test(frame, flattens_to_the_same_bytes)
{
    write_produce();
    struct iovec vectors[4];
    uint8_t whole[1024];
    size_t at = 0, count = kf_writer_iovec(&writer, vectors, 4);
    for (size_t i = 0; i < count; i++) {
        memcpy(whole + at, vectors[i].iov_base, vectors[i].iov_len);
        at += vectors[i].iov_len;
    }
    cr_assert(eq(int, kf_writer_flatten(&writer), KF_OK));
    cr_assert(eq(sz, writer.used, at));
    cr_assert(eq(int, memcmp(writer.bytes, whole, at), 0));
}
