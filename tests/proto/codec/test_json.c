/* Messages as JSON, in the form of Kafka's own converters. */
#include "tests/proto/wire.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static kf_arena arena;
static kf_writer json;
static kf_writer bytes;
static char hex[1024];
static kf_error error;

static void setup(void)
{
    kf_arena_init(&arena, &kf_default_allocator, 0);
    kf_writer_init(&json, &kf_default_allocator);
    kf_writer_init(&bytes, &kf_default_allocator);
    error = (kf_error)KF_ERROR_INIT;
}

static void teardown(void)
{
    kf_arena_free(&arena);
    kf_writer_free(&json);
    kf_writer_free(&bytes);
}

TestSuite(json, .init = setup, .fini = teardown);

/* Hex of the message that the JSON describes, or the error's name. */
static char *encoded(const char *name, int16_t version, const char *text)
{
    static max_align_t message[64];
    const kf_schema *schema = kf_schema_find(name);
    kf_err err = kf_from_json(schema, version, text, strlen(text), &arena, message, &error);
    if (!err)
        err = kf_encode(schema, version, message, &bytes);
    return err ? strcpy(hex, kf_err_name(err)) : (char *)(uintptr_t)to_hex(&bytes, hex);
}

/* JSON of the message that the hex describes, or the error's name. */
static char *printed(const char *name, int16_t version, const char *golden)
{
    static max_align_t message[64];
    static uint8_t raw[512];
    const kf_schema *schema = kf_schema_find(name);
    size_t size = from_hex(golden, raw, sizeof raw);
    kf_err err = kf_decode(schema, version, raw, size, &arena, message);
    if (!err)
        err = kf_to_json(schema, version, message, &json);
    if (err)
        return strcpy(hex, kf_err_name(err));
    kf_writer_put(&json, "", 1);
    return (char *)json.bytes;
}

Test(json, prints_what_kafka_prints)
{
    cr_assert(eq(str,
                 printed("MetadataRequest", 13,
                         "03000102030405060708090a0b0c0d0e0f0000000000000000000000000000000000"
                         "00076f726465727300000100"),
                 "{\"topics\":[{\"topicId\":\"AAECAwQFBgcICQoLDA0ODw\",\"name\":null},"
                 "{\"topicId\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"name\":\"orders\"}],"
                 "\"allowAutoTopicCreation\":false,\"includeTopicAuthorizedOperations\":true}"));
}

Test(json, encodes_what_kafka_encodes)
{
    cr_assert(eq(str,
                 encoded("CreateTopicsRequest", 5,
                         "{\"topics\":[{\"name\":\"t\",\"numPartitions\":6,"
                         "\"replicationFactor\":1,\"assignments\":[],\"configs\":[{\"name\":"
                         "\"a\",\"value\":null}]}],\"timeoutMs\":60000,"
                         "\"validateOnly\":false}"),
                 "020274000000060001010202610000000000ea600000"));
}

Test(json, keeps_records_and_unknown_tags)
{
    const char *text = "{\"transactionalId\":null,\"acks\":0,\"timeoutMs\":1000,\"topicData\":"
                       "[{\"name\":\"t\",\"partitionData\":[{\"index\":0,\"records\":\"AQID\"}],"
                       "\"_unknownTaggedFields\":[]}],"
                       "\"_unknownTaggedFields\":[{\"tag\":9,\"data\":\"/w==\"}]}";
    cr_assert(eq(str, encoded("ProduceRequest", 12, text),
                 "000000000003e80202740200000000040102030000010901ff"));
    cr_assert(eq(str, printed("ProduceRequest", 12, hex),
                 "{\"transactionalId\":null,\"acks\":0,\"timeoutMs\":1000,\"topicData\":"
                 "[{\"name\":\"t\",\"partitionData\":[{\"index\":0,\"records\":\"AQID\"}]}],"
                 "\"_unknownTaggedFields\":[{\"tag\":9,\"data\":\"/w==\"}]}"));
}

Test(json, a_missing_mandatory_field_is_an_error_that_names_it)
{
    cr_assert(eq(str, encoded("MetadataRequest", 4, "{\"topics\":null}"), "BAD_JSON"));
    cr_assert(eq(str, error.text,
                 "byte 15 of the JSON: allowAutoTopicCreation is missing, which version 4 must "
                 "have"));
}

Test(json, a_missing_tagged_field_is_its_default)
{
    cr_assert(eq(
        str,
        encoded("ApiVersionsResponse", 3, "{\"errorCode\":0,\"apiKeys\":[],\"throttleTimeMs\":0}"),
        "0000010000000000"));
}

Test(json, refuses_numbers_of_the_wrong_kind)
{
    const char *const wrong[] = {"1.0", "1e3", "2147483648", "\"5\"", "true", "01", "-", "null"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"brokerId\":%s}", wrong[i]);
        cr_assert(eq(str, encoded("ControlledShutdownRequest", 0, text), "BAD_JSON"));
    }
    cr_assert(
        eq(str, encoded("ControlledShutdownRequest", 0, "{\"brokerId\":-2147483648}"), "80000000"));
}

#define QUOTA                                                                                      \
    "{\"entries\":[{\"entity\":[],\"ops\":[{\"key\":\"k\",\"value\":%s,\"remove\":false}]}],"      \
    "\"validateOnly\":false}"

static char *quota(const char *value)
{
    char text[256];
    snprintf(text, sizeof text, QUOTA, value);
    kf_writer_reset(&bytes);
    return encoded("AlterClientQuotasRequest", 0, text);
}

Test(json, a_float_needs_a_fraction_or_an_exponent)
{
    cr_assert(eq(str, quota("1"), "BAD_JSON"));
    cr_assert(eq(str, quota("1.0"),
                 "000000010000000000000001000"
                 "16b3ff00000000000000000"));
    cr_assert(eq(str, quota("1e0"),
                 "000000010000000000000001000"
                 "16b3ff00000000000000000"));
    cr_assert(eq(str, quota("-0.0"),
                 "000000010000000000000001000"
                 "16b80000000000000000000"));
    cr_assert(eq(str, quota("\"NaN\""),
                 "000000010000000000000001000"
                 "16b7ff80000000000000000"));
}

static char *printed_double(double value)
{
    static char text[64];
    struct kf_alter_client_quotas_request_op_data op;
    struct kf_alter_client_quotas_request_entry_data entry;
    struct kf_alter_client_quotas_request m;
    memset(&op, 0, sizeof op);
    memset(&entry, 0, sizeof entry);
    kf_reset(&kf_schema_of_alter_client_quotas_request, &m);
    op.key = (kf_string){"", 0};
    op.value = value;
    entry.ops.items = &op;
    entry.ops.count = 1;
    m.entries.items = &entry;
    m.entries.count = 1;
    kf_writer_reset(&json);
    kf_to_json(&kf_schema_of_alter_client_quotas_request, 0, &m, &json);
    kf_writer_put(&json, "", 1);
    const char *at = strstr((char *)json.bytes, "\"value\":") + 8;
    snprintf(text, sizeof text, "%.*s", (int)strcspn(at, ","), at);
    return text;
}

Test(json, prints_floats_as_java_does)
{
    cr_assert(eq(str, printed_double(1), "1.0"));
    cr_assert(eq(str, printed_double(-0.0), "-0.0"));
    cr_assert(eq(str, printed_double(0.1), "0.1"));
    cr_assert(eq(str, printed_double(123456.789), "123456.789"));
    cr_assert(eq(str, printed_double(1e7), "1.0E7"));
    cr_assert(eq(str, printed_double(1.5e-7), "1.5E-7"));
    cr_assert(eq(str, printed_double(1.7976931348623157e308), "1.7976931348623157E308"));
    cr_assert(eq(str, printed_double(1.0 / 0.0), "\"Infinity\""));
}

Test(json, escapes_and_unescapes_strings)
{
    cr_assert(eq(str,
                 encoded("RequestHeader", 1,
                         "{\"requestApiKey\":0,\"requestApiVersion\":0,\"correlationId\":0,"
                         "\"clientId\":\"\\u00e9\\n\\\"\\ud83d\\ude00\\ud800\"}"),
                 "0000000000000000"
                 "0009"
                 "c3a90a22f09f98803f"));
    cr_assert(eq(str,
                 printed("RequestHeader", 1,
                         "0000000000000000"
                         "0006"
                         "c3a90a2201ff"),
                 "{\"requestApiKey\":0,\"requestApiVersion\":0,\"correlationId\":0,"
                 "\"clientId\":\"\xc3\xa9\\n\\\"\\u0001\xef\xbf\xbd\"}"));
}

Test(json, refuses_text_that_is_no_json)
{
    const char *const wrong[] = {"",
                                 "{",
                                 "{\"brokerId\":1",
                                 "{\"brokerId\":1}}",
                                 "{brokerId:1}",
                                 "{\"brokerId\":1,}",
                                 "[]",
                                 "null",
                                 "{\"brokerId\" 1}",
                                 "{\"x\":[1,],\"brokerId\":1}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert(eq(str, encoded("ControlledShutdownRequest", 0, wrong[i]), "BAD_JSON"));
}

Test(json, skips_what_the_message_does_not_know_to_a_bounded_depth)
{
    cr_assert(eq(
        str,
        encoded("ControlledShutdownRequest", 0, "{\"x\":{\"a\":[1,\"]\",{}]}, \"brokerId\" : 1 }"),
        "00000001"));
    char deep[2048] = "{\"x\":";
    memset(deep + 5, '[', 1000);
    cr_assert(eq(str, encoded("ControlledShutdownRequest", 0, deep), "BAD_JSON"));
}

Test(json, refuses_base64_and_uuids_that_are_none)
{
    const char *request = "{\"topics\":[{\"topicId\":\"%s\",\"name\":null}],"
                          "\"allowAutoTopicCreation\":false,"
                          "\"includeTopicAuthorizedOperations\":true}";
    const char *const wrong[] = {"", "AAECAwQFBgcICQoLDA0OD",
                                 "AAECAwQFBgcICQoLDA0ODw=", "AAECAwQFBgcICQoLDA0O+w"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[256];
        snprintf(text, sizeof text, request, wrong[i]);
        cr_assert(eq(str, encoded("MetadataRequest", 13, text), "BAD_JSON"));
    }
    cr_assert(eq(str, encoded("SaslAuthenticateRequest", 0, "{\"authBytes\":\"AQ\"}"), "BAD_JSON"));
    cr_assert(
        eq(str, encoded("SaslAuthenticateRequest", 0, "{\"authBytes\":\"AQ==\"}"), "0000000101"));
}

/* A version of tomorrow's consumer, through JSON and back. */
Test(json, the_tail_of_newer_consumer_data_stands_last)
{
    static const char wire[] = "00000000ffffffffcafe";
    static const char text[] = "{\"assignedPartitions\":[],\"userData\":null,\"_tail\":\"yv4=\"}";
    cr_assert(eq(str, printed("ConsumerProtocolAssignment", 4, wire), (char *)text));
    cr_assert(eq(str, encoded("ConsumerProtocolAssignment", 4, text), (char *)wire));
}
