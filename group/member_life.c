/* member_life: a member's memory, from new to free. */
#include "group/member_state.h"

#include <string.h>

kf_err kf__member_set_id(struct kf__member *member, kf_string id)
{
    char *copy = kf_alloc(member->alloc, id.size + 1);
    if (!copy)
        return KF_ERR_NO_MEMORY;
    if (id.size)
        memcpy(copy, id.data, id.size);
    copy[id.size] = '\0';
    kf_free(member->alloc, member->id);
    member->id = copy;
    return KF_OK;
}

/* Copies the settings' strings into one block and points the settings at them. */
static kf_err copy_texts(struct kf__member *member)
{
    const char **texts[] = {&member->settings.group_id, &member->settings.instance_id,
                            &member->settings.rack, &member->settings.client_id};
    size_t size = 1;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        size += *texts[i] ? strlen(*texts[i]) + 1 : 0;
    char *at = member->text = kf_alloc(member->alloc, size);
    if (!at)
        return KF_ERR_NO_MEMORY;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!*texts[i])
            continue;
        size_t length = strlen(*texts[i]) + 1;
        *texts[i] = memcpy(at, *texts[i], length);
        at += length;
    }
    return KF_OK;
}

/* The protocol is the one that all listed assignors support, as in Java. */
static bool all_cooperative(const struct kf__member_settings *settings)
{
    for (size_t i = 0; i < settings->assignor_count; i++)
        if (!kf__assignor_is_cooperative(settings->assignors[i]))
            return false;
    return true;
}

kf_err kf__member_new(const kf_allocator *alloc, const struct kf__member_settings *settings,
                      const struct kf__member_effects *effects, struct kf__member **member)
{
    *member = NULL;
    if (!settings->group_id || settings->assignor_count == 0)
        return KF_ERR_INVALID_ARGUMENT;
    struct kf__member *made = kf_alloc_zero(alloc, sizeof *made);
    if (!made)
        return KF_ERR_NO_MEMORY;
    made->alloc = alloc;
    made->settings = *settings;
    made->effects = *effects;
    made->cooperative = all_cooperative(settings);
    made->generation = made->owned_generation = made->last_generation = -1;
    made->told_tick = KF_FOREVER;
    kf__member_lead_init(made);
    kf_err err = copy_texts(made);
    if (!err)
        err = kf__member_set_id(made, (kf_string){"", 0});
    if (err)
        kf__member_free(made);
    else
        *member = made;
    return err;
}

void kf__member_free(struct kf__member *member)
{
    if (!member)
        return;
    const kf_allocator *alloc = member->alloc;
    kf__partitions_free(alloc, &member->owned);
    kf__partitions_free(alloc, &member->draining);
    kf__partitions_free(alloc, &member->last);
    kf__names_free(alloc, &member->topics);
    kf__member_lead_free(member);
    kf_free(alloc, member->id);
    kf_free(alloc, member->text);
    kf_free(alloc, member);
}
