/*
 * member_report: what a member tells people: one "rebalance" event for each
 * generation that says why it came and what moved, and errors.
 */
#include "group/member_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    TEXT_BYTES = 768,
    NAMES_BYTES = 200, /* of moved partitions; beyond it "…" */
};

void kf__member_because(struct kf__member *member, const char *format, ...)
{
    if (member->reason[0])
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(member->reason, sizeof member->reason, format, args);
    va_end(args);
}

static void tell(struct kf__member *member, kf_log_level level, const char *name, kf_err err,
                 const char *text)
{
    const kf_log_event event = {
        .level = level,
        .name = name,
        .text = text,
        .group = member->settings.group_id,
        .partition = -1,
        .offset = -1,
        .node = -1,
        .error = err,
    };
    if (member->effects.log)
        member->effects.log(member->effects.owner, &event);
}

void kf__member_report(struct kf__member *member, kf_log_level level, const char *name, kf_err err,
                       const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tell(member, level, name, err, text);
}

/* " (orders 0 3, payments 1)": those of `list` that are not in `minus`; "" where there are none. */
static void name_moved(const struct kf__partition_list *list,
                       const struct kf__partition_list *minus, char *text)
{
    size_t used = 0;
    kf_string topic = {0};
    text[0] = '\0';
    for (size_t i = 0; i < list->count; i++) {
        const struct kf__topic_partition *one = &list->items[i];
        if (kf__partitions_contain(minus, one))
            continue;
        bool another = !topic.data || kf__string_compare(topic, one->topic) != 0;
        topic = one->topic;
        size_t needed = (another ? topic.size + 3 : 1) + 16;
        if (used + needed > NAMES_BYTES) {
            snprintf(text + used, NAMES_BYTES - used, " …");
            used += strlen(text + used);
            break;
        }
        if (another)
            used += (size_t)snprintf(text + used, NAMES_BYTES - used, "%s%.*s", used ? ", " : " (",
                                     (int)topic.size, topic.data);
        used += (size_t)snprintf(text + used, NAMES_BYTES - used, " %d", (int)one->partition);
    }
    if (used)
        snprintf(text + used, NAMES_BYTES + 2 - used, ")");
}

void kf__member_report_rebalance(struct kf__member *member, const struct kf__partition_list *before,
                                 const struct kf__partition_list *now)
{
    size_t gained = kf__partitions_missing(now, before);
    size_t gave_up = kf__partitions_missing(before, now);
    char gained_names[NAMES_BYTES + 2];
    char given_names[NAMES_BYTES + 2];
    name_moved(now, before, gained_names);
    name_moved(before, now, given_names);
    kf__member_report(member, KF_LOG_INFO, "rebalance", KF_OK,
                      "generation %d%s: %s because %s; gained %zu%s, gave up %zu%s, keeps %zu",
                      (int)member->generation, member->lead.leads ? " (leader)" : "",
                      member->last_generation < 0 ? "joined" : "rejoined", member->reason, gained,
                      gained_names, gave_up, given_names, now->count - gained);
    member->reason[0] = '\0';
}
