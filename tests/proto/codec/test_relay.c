/* A proxy's middle: bytes in, messages shown, bytes out. */
#include "proto/codec/frame.h"
#include "tests/proto/wire.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/relay.h>

static kf_relay *relay;
static kf_writer in, out;
static struct kf_passing seen;
static int seen_count;
static const char *topic; /* what each name becomes; NULL: nothing is changed */

static void change(const kf_field *field, void *value, void *context)
{
    (void)context;
    if (field->type == KF_FIELD_STRING && strcmp(field->name, "name") == 0)
        *(kf_string *)value = text(topic);
}

static void look(struct kf_passing *passing, void *context)
{
    (void)context;
    seen = *passing;
    seen_count++;
    if (topic)
        kf_visit_values(passing->schema, passing->message, change, NULL);
}

static void setup(void)
{
    relay = kf_relay_open(&kf_default_allocator, look, NULL);
    kf_writer_init(&in, &kf_default_allocator);
    kf_writer_init(&out, &kf_default_allocator);
    topic = NULL;
    seen_count = 0;
}

static void teardown(void)
{
    kf_relay_close(relay);
    kf_writer_free(&in);
    kf_writer_free(&out);
}

TestSuite(relay, .init = setup, .fini = teardown);

static kf_err feed(kf_relay_side from, const void *bytes, size_t size)
{
    kf_writer_reset(&out);
    return kf_relay_feed(relay, from, bytes, size, &out);
}

/* A Metadata request v9 for one topic, into `in`. */
static void ask(const char *name, int32_t correlation_id)
{
    struct kf_metadata_request_topic asked;
    struct kf_metadata_request request;
    kf_reset(&kf_schema_of_metadata_request, &request);
    memset(&asked, 0, sizeof asked);
    asked.name = text(name);
    request.topics.items = &asked;
    request.topics.count = 1;
    cr_assert(eq(int,
                 kf__encode_request(&in, &kf_schema_of_metadata_request, 9, correlation_id,
                                    text("me"), &request),
                 KF_OK));
}

static void answer(int32_t correlation_id)
{
    struct kf_metadata_response_topic told;
    struct kf_metadata_response response;
    kf_reset(&kf_schema_of_metadata_response, &response);
    memset(&told, 0, sizeof told);
    told.name = text("orders");
    told.topic_authorized_operations = INT32_MIN;
    response.topics.items = &told;
    response.topics.count = 1;
    cr_assert(
        eq(int,
           kf__encode_response(&in, &kf_schema_of_metadata_response, 9, correlation_id, &response),
           KF_OK));
}

static void passed_as_it_came(void)
{
    cr_assert(eq(sz, out.used, in.used));
    cr_assert(eq(int, memcmp(out.bytes, in.bytes, in.used), 0));
}

Test(relay, what_nobody_changes_is_the_same_bytes)
{
    ask("orders", 5);
    ask("orders", 6);
    cr_assert(eq(int, feed(KF_FROM_CLIENT, in.bytes, in.used), KF_OK));
    passed_as_it_came();
    cr_assert(eq(int, seen_count, 2));
    cr_assert(eq(int, seen.correlation_id, 6));
    cr_assert(eq(int, seen.version, 9));
    cr_assert(
        eq(ptr, (void *)(uintptr_t)seen.schema, (void *)(uintptr_t)&kf_schema_of_metadata_request));
}

Test(relay, a_frame_goes_on_when_its_last_byte_is_here)
{
    ask("orders", 5);
    for (size_t i = 0; i + 1 < in.used; i++) {
        cr_assert(eq(int, feed(KF_FROM_CLIENT, in.bytes + i, 1), KF_OK));
        cr_assert(eq(sz, out.used, 0));
    }
    cr_assert(eq(int, feed(KF_FROM_CLIENT, in.bytes + in.used - 1, 1), KF_OK));
    passed_as_it_came();
}

Test(relay, a_changed_message_has_its_new_size)
{
    ask("orders", 5);
    topic = "legacy-orders";
    size_t before = in.used;
    cr_assert(eq(int, feed(KF_FROM_CLIENT, in.bytes, in.used), KF_OK));
    cr_assert(eq(sz, out.used, before + 7));
    kf_writer_reset(&in);
    ask("legacy-orders", 5);
    passed_as_it_came();
}

/* acks=0 has no answer: the one that comes belongs to a later request. */
Test(relay, an_answer_is_read_as_what_was_asked_for)
{
    struct kf_produce_request silent;
    kf_reset(&kf_schema_of_produce_request, &silent);
    kf__encode_request(&in, &kf_schema_of_produce_request, 9, 4, text("me"), &silent);
    ask("orders", 5);
    cr_assert(eq(int, feed(KF_FROM_CLIENT, in.bytes, in.used), KF_OK));
    kf_writer_reset(&in);
    answer(5);
    cr_assert(eq(int, feed(KF_FROM_BROKER, in.bytes, in.used), KF_OK));
    passed_as_it_came();
    cr_assert(eq(ptr, (void *)(uintptr_t)seen.schema,
                 (void *)(uintptr_t)&kf_schema_of_metadata_response));
    cr_assert(not(seen.request));
}

Test(relay, what_is_not_known_passes_as_it_came)
{
    static const uint8_t unknown[] = {0, 0, 0, 9, 0x7f, 0, 0, 1, 0, 0, 0, 3, 'x'};
    cr_assert(eq(int, feed(KF_FROM_CLIENT, unknown, sizeof unknown), KF_OK));
    cr_assert(eq(sz, out.used, sizeof unknown));
    cr_assert(eq(int, memcmp(out.bytes, unknown, out.used), 0));
    answer(77); /* nobody asked */
    cr_assert(eq(int, feed(KF_FROM_BROKER, in.bytes, in.used), KF_OK));
    passed_as_it_came();
    cr_assert(eq(int, seen_count, 0));
}

Test(relay, a_damaged_message_passes_as_it_came)
{
    ask("orders", 5);
    in.bytes[in.used - 12] = 0x7f; /* the topic's name is longer than the frame */
    cr_assert(eq(int, feed(KF_FROM_CLIENT, in.bytes, in.used), KF_OK));
    passed_as_it_came();
    cr_assert(eq(int, seen_count, 0));
}

Test(relay, sizes_that_cannot_be_kafkas_are_final)
{
    cr_assert(eq(int, feed(KF_FROM_CLIENT, "\x80\0\0\0", 4), KF_ERR_FRAME_NEGATIVE));
    cr_assert(eq(int, feed(KF_FROM_BROKER, "HTTP", 4), KF_ERR_FRAME_TOO_LARGE));
}

Test(relay, a_change_that_the_version_cannot_say_is_an_error)
{
    static char name[40000];
    memset(name, 'n', sizeof name - 1);
    topic = name;
    ask("orders", 5);
    cr_assert(eq(int, feed(KF_FROM_CLIENT, in.bytes, in.used), KF_ERR_BAD_COUNT));
}
