#include "tools/broker/group/consumer_group.h"

#include "tools/broker/text.h"

#include <stdlib.h>

/* ---- sorted texts ---- */

void kf__texts_free(const kf_allocator *alloc, kf_string *texts, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        kf__text_free(alloc, &texts[i]);
    kf_free(alloc, texts);
}

int32_t kf__texts_find(const kf_string *texts, int32_t count, kf_string text)
{
    int32_t low = 0, high = count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        int order = kf__text_compare(texts[middle], text);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

static int compare_texts(const void *a, const void *b)
{
    return kf__text_compare(*(const kf_string *)a, *(const kf_string *)b);
}

/* Copies, sorts, takes out what is there twice. */
static kf_err sorted_copy(const kf_allocator *alloc, const kf_string *texts, int32_t count,
                          kf_string **copy, int32_t *kept)
{
    size_t size = (size_t)(count > 0 ? count : 0);
    kf_string *sorted = kf_alloc_zero(alloc, (size + 1) * sizeof *sorted);
    kf_err err = sorted ? KF_OK : KF_ERR_NO_MEMORY;
    if (!err && size > 0)
        memcpy(sorted, texts, size * sizeof *sorted);
    if (!err && size > 1)
        qsort(sorted, size, sizeof *sorted, compare_texts);
    int32_t used = 0;
    for (size_t i = 0; i < size && !err; i++) {
        kf_string borrowed = sorted[i];
        if (used > 0 && kf__text_equal(sorted[used - 1], borrowed))
            continue;
        err = kf__text_copy(alloc, borrowed, &sorted[used]);
        used += !err;
    }
    if (err && sorted)
        kf__texts_free(alloc, sorted, used);
    *copy = err ? NULL : sorted;
    *kept = err ? 0 : used;
    return err;
}

/* ---- members ---- */

static void free_face(const kf_allocator *alloc, struct kf__classic_face *face)
{
    for (int32_t i = 0; face && i < face->protocol_count; i++) {
        kf__text_free(alloc, &face->protocols[i].name);
        kf__bytes_free(alloc, &face->protocols[i].metadata);
    }
    if (face)
        kf_free(alloc, face->protocols);
    kf_free(alloc, face);
}

static void free_member(const kf_allocator *alloc, struct kf__consumer_member *member)
{
    kf__text_free(alloc, &member->id);
    kf__text_free(alloc, &member->instance_id);
    kf__text_free(alloc, &member->rack_id);
    kf__text_free(alloc, &member->client_id);
    kf__text_free(alloc, &member->client_host);
    kf__text_free(alloc, &member->regex);
    kf__text_free(alloc, &member->assignor);
    kf__texts_free(alloc, member->topics, member->topic_count);
    kf__holding_free(alloc, &member->assigned);
    kf__holding_free(alloc, &member->revoking);
    kf__holding_free(alloc, &member->target);
    free_face(alloc, member->classic);
    kf_free(alloc, member);
}

struct kf__consumer_member *kf__consumer_member(const struct kf__consumer_group *group,
                                                kf_string id)
{
    for (int32_t i = 0; i < group->member_count; i++)
        if (kf__text_equal(group->members[i]->id, id))
            return group->members[i];
    return NULL;
}

struct kf__consumer_member *kf__consumer_static_member(const struct kf__consumer_group *group,
                                                       kf_string instance_id)
{
    for (int32_t i = 0; i < group->member_count && instance_id.data; i++)
        if (kf__text_equal(group->members[i]->instance_id, instance_id))
            return group->members[i];
    return NULL;
}

struct kf__consumer_member *kf__consumer_group_add(const kf_allocator *alloc,
                                                   struct kf__consumer_group *group, kf_string id)
{
    struct kf__consumer_member **members =
        kf_realloc(alloc, group->members, (size_t)(group->member_count + 1) * sizeof(*members));
    if (!members)
        return NULL;
    group->members = members;
    struct kf__consumer_member *member = kf_alloc_zero(alloc, sizeof *member);
    if (!member)
        return NULL;
    *member = (struct kf__consumer_member){.rebalance_timeout_ms = -1,
                                           .previous_epoch = -1,
                                           .session_deadline = KF_FOREVER,
                                           .revoke_deadline = KF_FOREVER};
    if (kf__text_copy(alloc, id, &member->id) ||
        kf__text_copy(alloc, kf__text(""), &member->regex)) {
        free_member(alloc, member);
        return NULL;
    }
    members[group->member_count++] = member;
    return member;
}

void kf__consumer_group_remove(const kf_allocator *alloc, struct kf__consumer_group *group,
                               struct kf__consumer_member *member)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < group->member_count; i++)
        if (group->members[i] != member)
            group->members[kept++] = group->members[i];
    group->member_count = kept;
    free_member(alloc, member);
}

bool kf__member_is_reconciled(const struct kf__consumer_group *group,
                              const struct kf__consumer_member *member)
{
    return member->state == KF__MEMBER_STABLE && member->epoch == group->assignment_epoch;
}

kf_err kf__member_take_text(const kf_allocator *alloc, kf_string from, kf_string *to, bool *changed)
{
    if (kf__text_equal(from, *to))
        return KF_OK;
    kf_string copy;
    kf_err err = kf__text_copy(alloc, from, &copy);
    if (err)
        return err;
    kf__text_free(alloc, to);
    *to = copy;
    *changed = true;
    return KF_OK;
}

kf_err kf__member_take_topics(const kf_allocator *alloc, struct kf__consumer_member *member,
                              const kf_string *topics, int32_t count, bool *changed)
{
    kf_string *sorted = NULL;
    int32_t kept = 0;
    kf_err err = sorted_copy(alloc, topics, count, &sorted, &kept);
    if (err)
        return err;
    bool same = kept == member->topic_count;
    for (int32_t i = 0; i < kept && same; i++)
        same = kf__text_equal(sorted[i], member->topics[i]);
    kf__texts_free(alloc, member->topics, member->topic_count);
    member->topics = sorted;
    member->topic_count = kept;
    *changed |= !same;
    return KF_OK;
}

static kf_err copy_face(const kf_allocator *alloc, const struct kf__classic_face *from,
                        struct kf__classic_face **copy)
{
    struct kf__classic_face *face = kf_alloc_zero(alloc, sizeof *face);
    *copy = face;
    if (!face)
        return KF_ERR_NO_MEMORY;
    *face = *from;
    face->protocol_count = 0;
    face->protocols =
        kf_alloc_zero(alloc, (size_t)(from->protocol_count + 1) * sizeof *face->protocols);
    kf_err err = face->protocols ? KF_OK : KF_ERR_NO_MEMORY;
    for (int32_t i = 0; i < from->protocol_count && !err; i++) {
        struct kf__group_protocol *to = &face->protocols[face->protocol_count++];
        err = kf__text_copy(alloc, from->protocols[i].name, &to->name);
        if (!err)
            err = kf__bytes_copy(alloc, from->protocols[i].metadata, &to->metadata);
    }
    return err;
}

kf_err kf__member_take_face(const kf_allocator *alloc, struct kf__consumer_member *member,
                            const struct kf__classic_face *face)
{
    struct kf__classic_face *copy = NULL;
    kf_err err = face ? copy_face(alloc, face, &copy) : KF_OK;
    if (err) {
        free_face(alloc, copy);
        return err;
    }
    free_face(alloc, member->classic);
    member->classic = copy;
    return KF_OK;
}

/* ---- groups ---- */

kf_err kf__consumer_group_new(const kf_allocator *alloc, kf_string id,
                              struct kf__consumer_group **group)
{
    struct kf__consumer_group *made = kf_alloc_zero(alloc, sizeof *made);
    *group = made;
    if (!made)
        return KF_ERR_NO_MEMORY;
    made->epoch = made->assignment_epoch = 1;
    made->assigned_at = made->resolved_at = KF_FOREVER;
    made->resubscribed = true;
    kf_err err = kf__text_copy(alloc, id, &made->id);
    if (err) {
        kf_free(alloc, made);
        *group = NULL;
    }
    return err;
}

static void free_regex(const kf_allocator *alloc, struct kf__group_regex *regex)
{
    kf__text_free(alloc, &regex->text);
    kf__texts_free(alloc, regex->topics, regex->topic_count);
}

void kf__consumer_group_free(const kf_allocator *alloc, struct kf__consumer_group *group)
{
    for (int32_t i = 0; i < group->member_count; i++)
        free_member(alloc, group->members[i]);
    for (int32_t i = 0; i < group->regex_count; i++)
        free_regex(alloc, &group->regexes[i]);
    kf_free(alloc, group->members);
    kf_free(alloc, group->regexes);
    kf__text_free(alloc, &group->id);
    kf_free(alloc, group);
}

const char *kf__consumer_group_state(const struct kf__consumer_group *group)
{
    if (group->member_count == 0)
        return "Empty";
    if (group->epoch > group->assignment_epoch)
        return "Assigning";
    for (int32_t i = 0; i < group->member_count; i++)
        if (!kf__member_is_reconciled(group, group->members[i]))
            return "Reconciling";
    return "Stable";
}

static size_t texts_bytes(const kf_string *texts, int32_t count)
{
    size_t bytes = 0;
    for (int32_t i = 0; i < count; i++)
        bytes += sizeof *texts + texts[i].size + 1;
    return bytes;
}

size_t kf__consumer_member_bytes(const struct kf__consumer_member *member)
{
    size_t bytes = sizeof *member + member->id.size + member->instance_id.size +
                   member->rack_id.size + member->client_id.size + member->regex.size +
                   texts_bytes(member->topics, member->topic_count);
    bytes += (member->assigned.capacity + member->revoking.capacity + member->target.capacity) *
             sizeof(struct kf__held);
    for (int32_t i = 0; member->classic && i < member->classic->protocol_count; i++)
        bytes +=
            member->classic->protocols[i].name.size + member->classic->protocols[i].metadata.size;
    return bytes;
}

size_t kf__group_regex_bytes(const struct kf__group_regex *regex)
{
    return sizeof *regex + regex->text.size + texts_bytes(regex->topics, regex->topic_count);
}

/* ---- expressions ---- */

int32_t kf__consumer_group_subscribers(const struct kf__consumer_group *group, kf_string regex)
{
    int32_t count = 0;
    for (int32_t i = 0; i < group->member_count; i++)
        count += kf__text_equal(group->members[i]->regex, regex);
    return count;
}

struct kf__group_regex *kf__consumer_group_regex(const struct kf__consumer_group *group,
                                                 kf_string text)
{
    for (int32_t i = 0; i < group->regex_count && text.size > 0; i++)
        if (kf__text_equal(group->regexes[i].text, text))
            return &group->regexes[i];
    return NULL;
}

void kf__consumer_group_drop_regexes(const kf_allocator *alloc, struct kf__consumer_group *group)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < group->regex_count; i++) {
        if (kf__consumer_group_subscribers(group, group->regexes[i].text) == 0)
            free_regex(alloc, &group->regexes[i]);
        else
            group->regexes[kept++] = group->regexes[i];
    }
    group->regex_count = kept;
    if (kept == 0)
        group->resolved_at = KF_FOREVER;
}

kf_err kf__consumer_group_add_regex(const kf_allocator *alloc, struct kf__consumer_group *group,
                                    kf_string text, struct kf__group_regex **regex)
{
    struct kf__group_regex *regexes =
        kf_realloc(alloc, group->regexes, (size_t)(group->regex_count + 1) * sizeof *regexes);
    if (!regexes)
        return KF_ERR_NO_MEMORY;
    group->regexes = regexes;
    *regex = &regexes[group->regex_count];
    **regex = (struct kf__group_regex){0};
    kf_err err = kf__text_copy(alloc, text, &(*regex)->text);
    group->regex_count += !err;
    return err;
}

void kf__group_regex_take(const kf_allocator *alloc, struct kf__group_regex *regex,
                          kf_string *topics, int32_t count)
{
    kf__texts_free(alloc, regex->topics, regex->topic_count);
    regex->topics = topics;
    regex->topic_count = count;
    regex->resolved = true;
}

bool kf__consumer_group_subscribes(const struct kf__consumer_group *group, kf_string topic)
{
    for (int32_t i = 0; i < group->member_count; i++)
        if (kf__texts_find(group->members[i]->topics, group->members[i]->topic_count, topic) >= 0)
            return true;
    for (int32_t i = 0; i < group->regex_count; i++)
        if (kf__texts_find(group->regexes[i].topics, group->regexes[i].topic_count, topic) >= 0)
            return true;
    return false;
}

/* Two are known; of equally many Java's map shows "uniform" first. */
kf_string kf__consumer_group_assignor(const struct kf__consumer_group *group)
{
    int32_t uniform = 0, range = 0;
    for (int32_t i = 0; i < group->member_count; i++) {
        uniform += kf__text_equal(group->members[i]->assignor, kf__text("uniform"));
        range += kf__text_equal(group->members[i]->assignor, kf__text("range"));
    }
    bool none = uniform == 0 && range == 0;
    return kf__text((none && group->range_first) || range > uniform ? "range" : "uniform");
}

int32_t kf__consumer_group_classic(const struct kf__consumer_group *group)
{
    int32_t count = 0;
    for (int32_t i = 0; i < group->member_count; i++)
        count += group->members[i]->classic != NULL;
    return count;
}
