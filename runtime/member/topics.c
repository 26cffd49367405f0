/* topics: see topics.h. Belongs to the loop's thread. */
#include "runtime/member/topics.h"

#include "runtime/member/consumer.h"

#include <stdlib.h>
#include <string.h>

/* ---- the subscription ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Borrowed names, sorted: of routes by name, and of known topics that a pattern takes. */
static kf_err list_wanted(struct kf__consumer *consumer, char ***out, size_t *out_count)
{
    size_t most = (size_t)kf__cluster_topic_count(consumer->cluster);
    for (const struct kf__route *route = consumer->routes; route; route = route->next)
        most++;
    char **names = kf_alloc_array(consumer->alloc, most + 1, sizeof *names);
    if (!names)
        return KF_ERR_NO_MEMORY;
    size_t count = 0;
    for (const struct kf__route *route = consumer->routes; route; route = route->next)
        if (!route->is_pattern)
            names[count++] = route->topic;
    int32_t topics = kf__cluster_topic_count(consumer->cluster);
    for (int32_t i = 0; i < topics; i++) {
        const struct kf__topic_info *info = kf__cluster_topic(consumer->cluster, i);
        if (!info->known || info->error || info->internal)
            continue;
        const struct kf__route *route = kf__route_find(consumer->routes, info->name);
        if (route && route->is_pattern)
            names[count++] = (char *)(uintptr_t)info->name;
    }
    qsort(names, count, sizeof *names, by_name);
    *out = names;
    *out_count = count;
    return KF_OK;
}

static bool is_as_before(const struct kf__topics *topics, char **names, size_t count)
{
    if (!topics->told || topics->subscribed_count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (strcmp(topics->subscribed[i], names[i]) != 0)
            return false;
    return true;
}

static void subscribe(struct kf__consumer *consumer)
{
    struct kf__topics *topics = &consumer->topics;
    char **names;
    size_t count;
    if (list_wanted(consumer, &names, &count)) {
        kf__consumer_fail(consumer, KF_ERR_NO_MEMORY, "no memory for the subscription");
        return;
    }
    if (is_as_before(topics, names, count)) {
        kf_free(consumer->alloc, names);
        return;
    }
    kf_string *list = kf_alloc_array(consumer->alloc, count + 1, sizeof *list);
    kf_err err = list ? KF_OK : KF_ERR_NO_MEMORY;
    for (size_t i = 0; list && i < count; i++)
        list[i] = (kf_string){names[i], strlen(names[i])};
    if (!err)
        err = kf__member_subscribe(consumer->member, list, count, kf__loop_now(consumer->loop));
    kf_free(consumer->alloc, list);
    kf_free(consumer->alloc, topics->subscribed);
    topics->subscribed = names;
    topics->subscribed_count = count;
    topics->told = true;
    if (err)
        kf__consumer_fail(consumer, err, "subscribing to the topics failed");
}

static bool has_patterns(const struct kf__consumer *consumer)
{
    for (const struct kf__route *route = consumer->routes; route; route = route->next)
        if (route->is_pattern)
            return true;
    return false;
}

/* Says once of each missing topic that it is waited for. */
static void warn_missing(struct kf__consumer *consumer)
{
    for (struct kf__route *route = consumer->routes; route; route = route->next) {
        if (route->is_pattern)
            continue;
        int32_t index =
            kf__cluster_find_topic(consumer->cluster, route->topic, strlen(route->topic));
        const struct kf__topic_info *info =
            index >= 0 ? kf__cluster_topic(consumer->cluster, index) : NULL;
        if (!info || !info->known || info->error == route->told)
            continue;
        route->told = info->error;
        if (info->error)
            kf__consumer_log(consumer, KF_LOG_WARNING, "topic.unavailable", NULL, -1, info->error,
                             "topic %s can't be used yet: %s", info->name,
                             kf_err_text(info->error));
    }
}

/* ---- what the leader must know ---- */

static kf_err fill_racks(struct kf__consumer *consumer, const struct kf__topic_info *info,
                         kf_arena *arena, struct kf__topic_shape *shape)
{
    struct kf__rack_list *lists =
        kf_arena_alloc(arena, (size_t)info->partition_count * sizeof *lists);
    if (!lists)
        return KF_ERR_NO_MEMORY;
    bool any = false;
    for (int32_t p = 0; p < info->partition_count; p++) {
        const struct kf__partition_info *partition = &info->partitions[p];
        kf_string *racks = kf_arena_alloc(arena, (size_t)partition->replica_count * sizeof *racks);
        if (!racks)
            return KF_ERR_NO_MEMORY;
        size_t count = 0;
        for (int32_t r = 0; r < partition->replica_count; r++) {
            const char *rack = kf__cluster_rack(consumer->cluster, partition->replicas[r]);
            if (rack)
                racks[count++] = (kf_string){rack, strlen(rack)};
        }
        any |= count > 0;
        lists[p] = (struct kf__rack_list){racks, count};
    }
    shape->racks = any ? lists : NULL;
    return KF_OK;
}

static kf_err answer_leader(struct kf__consumer *consumer, kf_arena *arena)
{
    struct kf__topics *topics = &consumer->topics;
    struct kf__topic_shape *shapes =
        kf_arena_alloc(arena, topics->described_count * sizeof *shapes);
    if (!shapes)
        return KF_ERR_NO_MEMORY;
    size_t count = 0;
    for (size_t i = 0; i < topics->described_count; i++) {
        const struct kf__topic_info *info =
            kf__cluster_topic(consumer->cluster, topics->described[i]);
        if (info->error || info->partition_count == 0)
            continue;
        struct kf__topic_shape *shape = &shapes[count++];
        *shape = (struct kf__topic_shape){.name = {info->name, strlen(info->name)},
                                          .partition_count = info->partition_count};
        kf_err err = fill_racks(consumer, info, arena, shape);
        if (err)
            return err;
    }
    return kf__member_topics(consumer->member, shapes, count, kf__loop_now(consumer->loop));
}

/*
 * Whether metadata says for sure how many partitions a topic has, or that it
 * does not exist. A passing error is no reason to take a topic from the group.
 */
static bool is_settled(const struct kf__topic_info *info)
{
    return info->known && (!info->error || !kf_err_retriable(info->error) ||
                           info->error == KF_ERR_UNKNOWN_TOPIC_OR_PARTITION);
}

static bool all_settled(struct kf__consumer *consumer)
{
    struct kf__topics *topics = &consumer->topics;
    for (size_t i = 0; i < topics->described_count; i++)
        if (!is_settled(kf__cluster_topic(consumer->cluster, topics->described[i])))
            return false;
    return true;
}

static void tell_leader(struct kf__consumer *consumer, bool changed)
{
    struct kf__topics *topics = &consumer->topics;
    if (!topics->described || (topics->answered && !changed) || !all_settled(consumer))
        return;
    topics->answered = true;
    kf_arena arena;
    kf_arena_init(&arena, consumer->alloc, 0);
    if (answer_leader(consumer, &arena))
        kf__consumer_fail(consumer, KF_ERR_NO_MEMORY, "no memory for the group's assignment");
    kf_arena_free(&arena);
}

void kf__topics_describe(void *owner, const kf_string *names, size_t count)
{
    struct kf__consumer *consumer = owner;
    struct kf__topics *topics = &consumer->topics;
    int32_t *described = kf_alloc_array(consumer->alloc, count + 1, sizeof *described);
    kf_err err = described ? KF_OK : KF_ERR_NO_MEMORY;
    for (size_t i = 0; !err && i < count; i++) {
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)names[i].size, names[i].data);
        err = kf__cluster_add_topic(consumer->cluster, name, &described[i]);
    }
    kf_free(consumer->alloc, topics->described);
    topics->described = described;
    topics->described_count = err ? 0 : count;
    topics->answered = false;
    if (err) {
        kf__consumer_fail(consumer, err, "no memory for the group's topics");
        return;
    }
    /* Answered from a turn of its own: the member is in the middle of a step. */
    kf__loop_post(consumer->loop, &consumer->answer_leader);
}

/* ---- the rest ---- */

static void run_answer(struct kf__task *task)
{
    struct kf__consumer *consumer = KF__OWNER(task, struct kf__consumer, answer_leader);
    tell_leader(consumer, false);
}

kf_err kf__topics_open(struct kf__consumer *consumer)
{
    consumer->answer_leader.run = run_answer;
    for (const struct kf__route *route = consumer->routes; route; route = route->next) {
        int32_t index;
        kf_err err = route->is_pattern
                         ? KF_OK
                         : kf__cluster_add_topic(consumer->cluster, route->topic, &index);
        if (err)
            return err;
    }
    if (has_patterns(consumer))
        kf__cluster_want_all_topics(consumer->cluster, true);
    kf__cluster_refresh(consumer->cluster);
    return KF_OK;
}

void kf__topics_close(struct kf__consumer *consumer)
{
    kf_free(consumer->alloc, consumer->topics.subscribed);
    kf_free(consumer->alloc, consumer->topics.described);
    consumer->topics = (struct kf__topics){0};
}

void kf__topics_metadata(struct kf__consumer *consumer, bool changed)
{
    if (!consumer->stopping)
        subscribe(consumer);
    warn_missing(consumer);
    tell_leader(consumer, changed);
}
