#include "tools/broker/group/any_group.h"

#include "proto/codec/schema.h"
#include "tools/broker/text.h"

#include <kafiber/messages.h>

enum {
    VERSION_BYTES = 2 /* in front of a subscription */
};

struct kf__any_group kf__any_group(const struct kf__consumers *consumers, kf_string id)
{
    struct kf__any_group group = {.consumer = kf__consumers_find(consumers, id)};
    if (!group.consumer)
        group.classic = kf__coordinator_find(consumers->classic, id);
    return group;
}

const char *kf__any_group_state(struct kf__any_group group)
{
    if (group.consumer)
        return kf__consumer_group_state(group.consumer);
    return group.classic ? kf__group_state_name(group.classic->state) : "Dead";
}

int32_t kf__any_group_members(struct kf__any_group group)
{
    if (group.consumer)
        return group.consumer->member_count;
    return group.classic ? group.classic->member_count : 0;
}

/* Every version of a subscription begins as version 0 does, and Kafka reads no further. */
static bool is_subscribed(const struct kf__group_member *member, kf_string protocol,
                          kf_string topic, kf_arena *arena)
{
    const kf_schema *schema = &kf_schema_of_consumer_protocol_subscription;
    struct kf_consumer_protocol_subscription subscription;
    kf_bytes metadata = kf__group_metadata(member, protocol);
    size_t used;
    if (metadata.size < VERSION_BYTES ||
        kf_decode_prefix(schema, 0, metadata.data + VERSION_BYTES, metadata.size - VERSION_BYTES,
                         arena, &subscription, &used))
        return true;
    for (int32_t i = 0; i < subscription.topics.count; i++)
        if (kf__text_equal(subscription.topics.items[i], topic))
            return true;
    return false;
}

bool kf__any_group_subscribes(struct kf__any_group group, kf_string topic, kf_arena *arena)
{
    if (group.consumer)
        return kf__consumer_group_subscribes(group.consumer, topic);
    for (int32_t i = 0; group.classic && i < group.classic->member_count; i++)
        if (is_subscribed(group.classic->members[i], group.classic->protocol_name, topic, arena))
            return true;
    return false;
}

struct kf__any_member kf__any_group_member(struct kf__any_group group, int32_t index)
{
    if (group.consumer) {
        const struct kf__consumer_member *one = group.consumer->members[index];
        return (struct kf__any_member){one->id, one->instance_id, one->client_id, one->client_host};
    }
    const struct kf__group_member *one = group.classic->members[index];
    return (struct kf__any_member){one->id, one->instance_id, one->client_id, one->client_host};
}
