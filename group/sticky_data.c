/*
 * sticky_data: the user data of the sticky assignors. Java defines it in
 * code, not in its message specification:
 *
 *   StickyAssignor              array of (topic, array of int32) │ int32 generation (v1)
 *   CooperativeStickyAssignor   int32 generation
 *
 * There is no version in front: v0 ends before the generation.
 */
#include "group/java_order.h"
#include "group/partitions.h"
#include "group/subscription.h"
#include "proto/bytes/cursor.h"

#include <string.h>

enum {
    LEAST_TOPIC_BYTES = 6, /* an empty name and no partitions */
};

static uint8_t *put_i32(uint8_t *at, int32_t value)
{
    uint32_t bits = (uint32_t)value;
    for (int shift = 24; shift >= 0; shift -= 8)
        *at++ = (uint8_t)(bits >> shift);
    return at;
}

/* One topic: its name, its partitions; `first` is the first of its run in the sorted list. */
static uint8_t *put_topic(uint8_t *at, const struct kf__partition_list *list, size_t first,
                          size_t end)
{
    kf_string topic = list->items[first].topic;
    *at++ = (uint8_t)(topic.size >> 8);
    *at++ = (uint8_t)topic.size;
    if (topic.size)
        memcpy(at, topic.data, topic.size);
    at = put_i32(at + topic.size, (int32_t)(end - first));
    for (size_t i = first; i < end; i++)
        at = put_i32(at, list->items[i].partition);
    return at;
}

/* firsts[i]: where topic i begins in the sorted list; [topics]: its end. Returns the bytes. */
static size_t find_runs(const struct kf__partition_list *list, size_t *firsts, kf_string *names,
                        size_t *topics)
{
    size_t bytes = 8; /* count of topics, generation */
    *topics = 0;
    for (size_t i = 0; i < list->count; i++) {
        bytes += 4;
        if (i && !kf__string_compare(list->items[i].topic, list->items[i - 1].topic))
            continue;
        firsts[*topics] = i;
        names[(*topics)++] = list->items[i].topic;
        bytes += LEAST_TOPIC_BYTES + list->items[i].topic.size;
    }
    firsts[*topics] = list->count;
    return bytes;
}

kf_err kf__sticky_data_encode(const struct kf__partition_list *partitions, int32_t generation,
                              kf_arena *arena, kf_bytes *bytes)
{
    size_t *firsts = kf_arena_alloc(arena, (partitions->count + 1) * sizeof *firsts);
    size_t *order = kf_arena_alloc(arena, (partitions->count + 1) * sizeof *order);
    kf_string *names = kf_arena_alloc(arena, (partitions->count + 1) * sizeof *names);
    if (!firsts || !order || !names)
        return KF_ERR_NO_MEMORY;
    size_t topics;
    size_t size = find_runs(partitions, firsts, names, &topics);
    uint8_t *data = kf_arena_alloc(arena, size);
    if (!data || kf__java_map_order(names, topics, arena, order))
        return KF_ERR_NO_MEMORY;

    uint8_t *at = put_i32(data, (int32_t)topics);
    for (size_t i = 0; i < topics; i++)
        at = put_topic(at, partitions, firsts[order[i]], firsts[order[i] + 1]);
    put_i32(at, generation);
    *bytes = (kf_bytes){data, size};
    return KF_OK;
}

/* A count that the bytes left could hold. */
static size_t take_count(struct kf__cursor *in, size_t least_bytes)
{
    int32_t count = kf__take_i32(in);
    if (count < 0 || (size_t)count > kf__left(in) / least_bytes) {
        kf__fail(in, KF_ERR_BAD_COUNT);
        return 0;
    }
    return (size_t)count;
}

kf_err kf__sticky_data_decode(kf_bytes bytes, kf_arena *arena,
                              struct kf__partition_list *partitions, int32_t *generation)
{
    *partitions = (struct kf__partition_list){0};
    *generation = -1;
    if (bytes.size == 0)
        return KF_OK;
    /* Every partition takes four bytes, so this is room enough. */
    partitions->items = kf_arena_alloc(arena, bytes.size / 4 * sizeof *partitions->items + 1);
    if (!partitions->items)
        return KF_ERR_NO_MEMORY;

    struct kf__cursor in = kf__cursor_over(bytes.data, bytes.size);
    size_t topics = take_count(&in, LEAST_TOPIC_BYTES);
    for (size_t i = 0; i < topics && !in.err; i++) {
        size_t length = (uint16_t)kf__take_i16(&in);
        kf_string topic = {(const char *)kf__take(&in, length), length};
        size_t count = take_count(&in, 4);
        for (size_t k = 0; k < count && !in.err; k++)
            partitions->items[partitions->count++] =
                (struct kf__topic_partition){topic, kf__take_i32(&in)};
    }
    if (!in.err && kf__left(&in) >= 4)
        *generation = kf__take_i32(&in);
    if (in.err) {
        *partitions = (struct kf__partition_list){0};
        return KF_ERR_BAD_ASSIGNMENT;
    }
    kf__partitions_sort(partitions);
    return KF_OK;
}

kf_err kf__cooperative_data_encode(int32_t generation, kf_arena *arena, kf_bytes *bytes)
{
    uint8_t *data = kf_arena_alloc(arena, 4);
    if (!data)
        return KF_ERR_NO_MEMORY;
    put_i32(data, generation);
    *bytes = (kf_bytes){data, 4};
    return KF_OK;
}

int32_t kf__cooperative_data_generation(kf_bytes bytes)
{
    struct kf__cursor in = kf__cursor_over(bytes.data, bytes.size);
    int32_t generation = kf__take_i32(&in);
    return in.err ? -1 : generation;
}
