#include "tools/broker/group/consumer_regexes.h"

#include "tools/broker/group/topic_regex.h"
#include "tools/broker/text.h"

#include <stdio.h>

#define REFRESH_INTERVAL (600 * KF_SECOND) /* group.consumer.regex.refresh.interval.ms */

kf_err kf__consumer_check_regex(const kf_allocator *alloc, const struct kf__consumer_group *group,
                                kf_string regex, char *why, size_t size)
{
    struct kf__regex *compiled = NULL;
    const char *what = "";
    if (regex.size == 0 || (group && kf__consumer_group_subscribers(group, regex) > 0))
        return KF_OK;
    kf_err err = kf__regex_compile(alloc, regex, &compiled, &what);
    kf__regex_free(compiled);
    if (err == KF_ERR_INVALID_REGULAR_EXPRESSION)
        snprintf(why, size, "SubscribedTopicRegex `%.*s` is not a valid regular expression: %s.",
                 (int)(regex.size < 400 ? regex.size : 400), regex.data, what);
    return err;
}

/* Of different expressions that members subscribe to, how many there are. */
static int32_t count_subscribed(const struct kf__consumer_group *group)
{
    int32_t count = 0;
    for (int32_t i = 0; i < group->member_count; i++) {
        bool seen = group->members[i]->regex.size == 0;
        for (int32_t k = 0; k < i && !seen; k++)
            seen = kf__text_equal(group->members[k]->regex, group->members[i]->regex);
        count += !seen;
    }
    return count;
}

bool kf__consumer_regexes_due(const struct kf__consumers *consumers,
                              const struct kf__consumer_group *group, kf_time now, bool fresh)
{
    bool any = false;
    for (int32_t i = 0; i < group->member_count && !any; i++)
        any = group->members[i]->regex.size > 0;
    if (!any)
        return false;
    if (group->resolved_at == KF_FOREVER)
        return true;
    if (now <= group->resolved_at + KF__REGEX_INTERVAL)
        return false;
    return fresh || group->resolved_ids < consumers->topics->ids ||
           now > group->resolved_at + REFRESH_INTERVAL ||
           count_subscribed(group) != group->regex_count;
}

/* The topics whose whole name matches, sorted, as copies. */
static kf_err find_topics(const struct kf__consumers *consumers, const struct kf__beat *beat,
                          struct kf__regex *regex, int64_t *steps, kf_string **found,
                          int32_t *count)
{
    const struct kf__topics *topics = consumers->topics;
    int32_t capacity = 0;
    kf_err err = KF_OK;
    *found = NULL;
    *count = 0;
    for (size_t i = 0; i < topics->count && !err; i++) {
        kf_string name = topics->items[i]->name;
        if (!kf__regex_matches(regex, name, steps) ||
            (beat->may_describe && !beat->may_describe(beat->context, name)))
            continue;
        if (*count == capacity) {
            capacity = capacity ? capacity * 2 : 16;
            kf_string *grown =
                kf_realloc(consumers->alloc, *found, (size_t)capacity * sizeof *grown);
            if (!grown)
                return KF_ERR_NO_MEMORY;
            *found = grown;
        }
        err = kf__text_copy(consumers->alloc, name, &(*found)[*count]);
        *count += !err;
    }
    return err;
}

static bool same_texts(const kf_string *a, int32_t a_count, const kf_string *b, int32_t b_count)
{
    if (a_count != b_count)
        return false;
    for (int32_t i = 0; i < a_count; i++)
        if (!kf__text_equal(a[i], b[i]))
            return false;
    return true;
}

static kf_err resolve_one(struct kf__consumers *consumers, struct kf__consumer_group *group,
                          const struct kf__beat *beat, kf_string text, int64_t *steps,
                          bool *changed)
{
    struct kf__group_regex *regex = kf__consumer_group_regex(group, text);
    struct kf__regex *compiled = NULL;
    kf_string *found = NULL;
    int32_t count = 0;
    const char *why;
    kf_err err =
        regex ? KF_OK : kf__consumer_group_add_regex(consumers->alloc, group, text, &regex);
    if (!err)
        err = kf__regex_compile(consumers->alloc, text, &compiled, &why);
    if (!err)
        err = find_topics(consumers, beat, compiled, steps, &found, &count);
    kf__regex_free(compiled);
    if (err) {
        kf__texts_free(consumers->alloc, found, count);
        return err;
    }
    *changed |= !same_texts(found, count, regex->topics, regex->topic_count);
    kf__group_regex_take(consumers->alloc, regex, found, count);
    return KF_OK;
}

kf_err kf__consumer_resolve(struct kf__consumers *consumers, kf_time now,
                            struct kf__consumer_group *group, const struct kf__beat *beat)
{
    int64_t steps = KF__REGEX_STEPS;
    bool changed = false;
    kf_err err = KF_OK;
    for (int32_t i = 0; i < group->regex_count && !err; i++)
        err = resolve_one(consumers, group, beat, group->regexes[i].text, &steps, &changed);
    for (int32_t i = 0; i < group->member_count && !err; i++) {
        kf_string text = group->members[i]->regex;
        if (text.size > 0 && !kf__consumer_group_regex(group, text))
            err = resolve_one(consumers, group, beat, text, &steps, &changed);
    }
    group->resolved_at = now;
    group->resolved_ids = consumers->topics->ids;
    group->resubscribed |= changed;
    return err ? err : kf__consumers_look_at_topics(consumers, group, changed);
}
