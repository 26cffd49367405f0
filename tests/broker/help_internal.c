#include "broker/help_internal.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <ctype.h>
#include <kafiber/codec.h>
#include <stdio.h>
#include <string.h>

static char text[32 << 10];
static size_t used;

static void put(const char *piece, size_t size)
{
    cr_assert(lt(sz, used + size + 1, sizeof text));
    memcpy(text + used, piece, size);
    used += size;
    text[used] = 0;
}

static size_t run_of(const char *at, const char *end, const char *more)
{
    size_t size = 0;
    while (at + size < end && (isalnum((unsigned char)at[size]) || strchr(more, at[size])))
        size++;
    return size;
}

/* Without what differs from run to run. */
static void put_masked(const char *at, const char *end)
{
    static const struct {
        const char *field;
        const char *instead;
    } masks[] = {{"opicId\":\"", "ID"}, {"imestamp\":", "T"}, {"imestampMs\":", "T"},
                 {"roducerId\":", "P"}, {"hash\":", "H"},     {"Hash\":", "H"}};
    while (at < end) {
        size_t size = 1;
        for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
            size_t length = strlen(masks[i].field);
            if ((size_t)(end - at) < length || memcmp(at, masks[i].field, length) != 0 ||
                (at[length] == '-' && at[length - 1] != '"')) /* -1 stays */
                continue;
            put(at, length);
            put(masks[i].instead, strlen(masks[i].instead));
            at += length + run_of(at + length, end, "_-");
            size = 0;
            break;
        }
        put(at, size);
        at += size;
    }
}

static void put_message(const char *topic, bool is_key, int16_t type, int16_t version, kf_bytes of)
{
    static const char *const names[] = {
        [1] = "OffsetCommit",
        [2] = "GroupMetadata",
        [3] = "ConsumerGroupMetadata",
        [5] = "ConsumerGroupMemberMetadata",
        [6] = "ConsumerGroupTargetAssignmentMetadata",
        [7] = "ConsumerGroupTargetAssignmentMember",
        [8] = "ConsumerGroupCurrentMemberAssignment",
        [16] = "ConsumerGroupRegularExpression",
    };
    char name[64], head[80];
    max_align_t message[64];
    kf_arena arena;
    kf_writer json;
    snprintf(name, sizeof name, "%s%s", strstr(topic, "offsets") ? names[type] : "TransactionLog",
             is_key ? "Key" : "Value");
    const kf_schema *schema = kf_schema_find(name);
    cr_assert(ne(ptr, (void *)(uintptr_t)schema, NULL), "%s", name);
    kf_arena_init(&arena, &kf_default_allocator, 0);
    kf_writer_init(&json, &kf_default_allocator);
    kf_err err = kf_decode(schema, version, of.data + 2, of.size - 2, &arena, message);
    if (!err)
        err = kf_to_json(schema, version, message, &json);
    cr_assert(eq(int, err, KF_OK), "%s v%d", name, version);
    name[strlen(name) - (is_key ? 3 : 5)] = 0;
    if (is_key)
        snprintf(head, sizeof head, "%s ", name);
    else
        snprintf(head, sizeof head, " v%d ", version);
    put(head, strlen(head));
    put_masked((const char *)json.bytes, (const char *)json.bytes + json.used);
    kf_writer_free(&json);
    kf_arena_free(&arena);
}

static int16_t number_of(kf_bytes bytes)
{
    cr_assert(lt(sz, 1, bytes.size));
    return (int16_t)((uint16_t)bytes.data[0] << 8 | bytes.data[1]);
}

const char *internal_records(kf_broker *broker, const char *topic, int32_t partition,
                             int64_t *offset)
{
    kf_message record;
    used = 0;
    text[0] = 0;
    while (kf_broker_read(broker, topic, partition, *offset, &record) == KF_OK) {
        put_message(topic, true, number_of(record.key), 0, record.key);
        if (record.value.data)
            put_message(topic, false, number_of(record.key), number_of(record.value), record.value);
        else
            put(" -", 2);
        put("\n", 1);
        *offset = record.offset + 1;
    }
    return text;
}
