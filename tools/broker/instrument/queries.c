/*
 * queries: what a test asks afterwards: was it produced, committed, asked for?
 * Where the answer is no, the message shows what comes nearest to it. The
 * macros over these are in kafiber/broker_assert.h.
 */
#include <kafiber/broker.h>

#include "tools/broker/faults/nearest.h"
#include "tools/broker/group/any_group.h"
#include "tools/broker/state.h"

#include <inttypes.h>
#include <kafiber/dissect.h>
#include <stdarg.h>

enum {
    SHOWN_BYTES = 60, /* of a key or value in a message */
    LIST_BYTES = 240,
    FAR_OFF = 1000, /* edits: more than any that are counted */
};

/* ---- words for the message ---- */

struct shown {
    char text[SHOWN_BYTES * 4 + 8];
};

/* In quotes, what doesn't print as \xNN; null as null. */
static struct shown show(const void *data, size_t size)
{
    struct shown shown;
    size_t used = 0;
    if (!data) {
        snprintf(shown.text, sizeof shown.text, "null");
        return shown;
    }
    shown.text[used++] = '"';
    for (size_t i = 0; i < size && i < SHOWN_BYTES; i++) {
        unsigned char c = ((const unsigned char *)data)[i];
        bool plain = c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
        used += (size_t)snprintf(shown.text + used, sizeof shown.text - used,
                                 plain ? "%c" : "\\x%02x", c);
    }
    snprintf(shown.text + used, sizeof shown.text - used, size > SHOWN_BYTES ? "…\"" : "\"");
    return shown;
}

static struct shown show_text(const char *text) { return show(text, text ? strlen(text) : 0); }

/* What there is instead; where it is too much, an ellipsis, never half of one. */
struct list {
    char text[LIST_BYTES];
    size_t used;
    bool full;
};

KF_PRINTF(2, 3)
static void add(struct list *list, const char *format, ...)
{
    static const char more[] = ", …", between[] = ", ";
    char item[LIST_BYTES];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(item, sizeof item, format, args);
    va_end(args);
    size_t gap = list->used > 0 ? sizeof between - 1 : 0;
    size_t room = sizeof list->text - list->used;
    if (list->full)
        return;
    list->full = length < 0 || (size_t)length + gap + sizeof more > room;
    if (list->full)
        snprintf(list->text + list->used, room, "%s", list->used > 0 ? more : "…");
    else
        snprintf(list->text + list->used, room, "%s%s", gap ? between : "", item);
    list->used += strlen(list->text + list->used);
}

static void miss_topic(const kf_broker *broker, const char *topic, kf_error *miss)
{
    struct kf__nearest nearest = kf__nearest_to(kf__text(topic));
    for (size_t i = 0; i < broker->topics.count; i++)
        kf__nearest_offer(&nearest, broker->topics.items[i]->name);
    if (nearest.best.data)
        kf_error_set(miss, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION,
                     "there is no topic %s (did you mean %.*s?)", topic, (int)nearest.best.size,
                     nearest.best.data);
    else
        kf_error_set(miss, KF_ERR_UNKNOWN_TOPIC_OR_PARTITION, "there is no topic %s, of %zu topics",
                     topic, broker->topics.count);
}

/* ---- records ---- */

/* What is looked for, and what was seen on the way. NULL: any. */
struct search {
    const char *key;
    const char *value;
    int64_t records;
    int64_t found;
    int best; /* how near the nearest is: 0 nothing, 3 the best */
    size_t distance;
    int32_t partition;
    int64_t offset;
    struct shown best_key, best_value;
};

static bool is_text(kf_bytes bytes, const char *text)
{
    return !text ||
           (bytes.data && bytes.size == strlen(text) && memcmp(bytes.data, text, bytes.size) == 0);
}

static kf_string as_text(kf_bytes bytes)
{
    return (kf_string){(const char *)bytes.data, bytes.size};
}

/* Edits between what was found and what is wanted. */
static size_t distance(kf_bytes found, const char *wanted)
{
    struct kf__nearest nearest = kf__nearest_to(kf__text(wanted));
    if (!wanted || is_text(found, wanted))
        return 0;
    return kf__nearest_offer(&nearest, as_text(found)) ? nearest.distance : FAR_OFF;
}

static void look_at(struct search *search, int32_t partition, const struct kf__record *record)
{
    bool key = is_text(record->key, search->key), value = is_text(record->value, search->value);
    search->records++;
    if (key && value) {
        search->found++;
        return;
    }
    /* The same key with another value tells more than the same value under another key. */
    int score = key && search->key ? 3 : value && search->value ? 2 : 1;
    size_t far = distance(record->key, search->key) + distance(record->value, search->value);
    if (score < search->best || (score == search->best && far >= search->distance))
        return;
    search->best = score;
    search->distance = far;
    search->partition = partition;
    search->offset = record->offset;
    search->best_key = show(record->key.data, record->key.size);
    search->best_value = show(record->value.data, record->value.size);
}

static kf_err search_log(kf_broker *broker, const struct kf__partition_log *log, int32_t partition,
                         struct search *search)
{
    for (size_t i = 0; i < log->batch_count; i++) {
        struct kf__batch batch;
        struct kf__records records;
        struct kf__record record;
        bool more = true;
        broker->scratch.used = 0;
        kf_err err = kf__batch_peek(log->batches[i].bytes, log->batches[i].size, &batch);
        if (!err && batch.control)
            continue;
        if (!err)
            err = kf__batch_open(&batch, &broker->codecs, &broker->scratch, KF__MAX_UNPACKED_BYTES,
                                 &records);
        while (!err && more) {
            err = kf__records_next(&records, &record, &more);
            if (!err && more && record.offset >= log->start_offset)
                look_at(search, partition, &record);
        }
        if (err)
            return err;
    }
    return KF_OK;
}

static kf_err search_topic(kf_broker *broker, const struct kf__topic *topic, struct search *search)
{
    kf_err err = KF_OK;
    for (int32_t p = 0; p < topic->partition_count && !err; p++)
        err = search_log(broker, &topic->partitions[p].log, p, search);
    return err;
}

/* Another topic that has it. */
static const struct kf__topic *elsewhere(kf_broker *broker, const char *key, const char *value)
{
    for (size_t i = 0; i < broker->topics.count; i++) {
        struct search search = {.key = key, .value = value};
        if (search_topic(broker, broker->topics.items[i], &search) == KF_OK && search.found > 0)
            return broker->topics.items[i];
    }
    return NULL;
}

static void miss_record(kf_broker *broker, const char *topic, const struct search *search,
                        kf_error *miss)
{
    char where[200] = "";
    struct shown key = show_text(search->key), value = show_text(search->value);
    const struct kf__topic *other = elsewhere(broker, search->key, search->value);
    if (other)
        snprintf(where, sizeof where, "it is in %s", other->name.data);
    else if (search->records == 0)
        snprintf(where, sizeof where, "it is empty");
    if (*where)
        kf_error_set(miss, KF_ERR_OFFSET_OUT_OF_RANGE,
                     "%s has no record with key %s and value %s: %s", topic,
                     search->key ? key.text : "(any)", search->value ? value.text : "(any)", where);
    else
        kf_error_set(miss, KF_ERR_OFFSET_OUT_OF_RANGE,
                     "%s has no record with key %s and value %s: of %" PRId64
                     " the nearest is %s/%" PRId32 "@%" PRId64 " with key %s and value %s",
                     topic, search->key ? key.text : "(any)", search->value ? value.text : "(any)",
                     search->records, topic, search->partition, search->offset,
                     search->best_key.text, search->best_value.text);
}

static void miss_search(const char *topic, kf_err err, kf_error *miss)
{
    kf_error_set(miss, err, "%s can't be searched: %s", topic, kf_err_text(err));
}

int64_t kf_broker_count_produced(kf_broker *broker, const char *topic, const char *key,
                                 const char *value)
{
    struct search search = {.key = key, .value = value};
    pthread_mutex_lock(&broker->lock);
    const struct kf__topic *found = kf__broker_topics_find(&broker->topics, kf__text(topic));
    if (found)
        search_topic(broker, found, &search);
    pthread_mutex_unlock(&broker->lock);
    return search.found;
}

bool kf_broker_check_produced(kf_broker *broker, const char *topic, const char *key,
                              const char *value, kf_error *miss)
{
    struct search search = {.key = key, .value = value};
    pthread_mutex_lock(&broker->lock);
    const struct kf__topic *found = kf__broker_topics_find(&broker->topics, kf__text(topic));
    if (!found)
        miss_topic(broker, topic, miss);
    kf_err err = found ? search_topic(broker, found, &search) : KF_OK;
    if (err && search.found == 0)
        miss_search(topic, err, miss);
    else if (found && search.found == 0)
        miss_record(broker, topic, &search, miss);
    pthread_mutex_unlock(&broker->lock);
    return search.found > 0;
}

bool kf_broker_check_records(kf_broker *broker, const char *topic, int64_t count, kf_error *miss)
{
    struct search search = {0};
    pthread_mutex_lock(&broker->lock);
    const struct kf__topic *found = kf__broker_topics_find(&broker->topics, kf__text(topic));
    if (!found)
        miss_topic(broker, topic, miss);
    kf_err err = found ? search_topic(broker, found, &search) : KF_OK;
    pthread_mutex_unlock(&broker->lock);
    if (err)
        miss_search(topic, err, miss);
    else if (found && search.records != count)
        kf_error_set(miss, KF_ERR_OFFSET_OUT_OF_RANGE, "%s holds %" PRId64 " records, not %" PRId64,
                     topic, search.records, count);
    return found && !err && search.records == count;
}

/* ---- groups ---- */

static void miss_group(const kf_broker *broker, const char *group, kf_error *miss)
{
    struct kf__nearest nearest = kf__nearest_to(kf__text(group));
    for (size_t i = 0; i < broker->committed.group_count; i++)
        kf__nearest_offer(&nearest, broker->committed.groups[i].group);
    for (size_t i = 0; i < broker->coordinator.group_count; i++)
        kf__nearest_offer(&nearest, broker->coordinator.groups[i]->id);
    for (size_t i = 0; i < broker->consumers.group_count; i++)
        kf__nearest_offer(&nearest, broker->consumers.groups[i]->id);
    kf_error_set(miss, KF_ERR_GROUP_ID_NOT_FOUND, "there is no group %s%s%.*s%s", group,
                 nearest.best.data ? " (did you mean " : "", (int)nearest.best.size,
                 nearest.best.data ? nearest.best.data : "", nearest.best.data ? "?)" : "");
}

/* What the group has committed instead: the same topic's partitions first. */
static void miss_commit(const struct kf__committed_group *group, const char *topic,
                        int32_t partition, kf_error *miss)
{
    struct list list = {0};
    for (int other = 0; other < 2; other++)
        for (size_t i = 0; i < group->count; i++) {
            const struct kf__committed_offset *one = &group->items[i];
            if (kf__text_equal(one->topic, kf__text(topic)) != other)
                add(&list, "%s/%" PRId32 "@%" PRId64, one->topic.data, one->partition, one->offset);
        }
    kf_error_set(miss, KF_ERR_OFFSET_OUT_OF_RANGE,
                 "group %s has committed nothing for %s/%" PRId32 ", only %s", group->group.data,
                 topic, partition, list.text);
}

bool kf_broker_check_committed(kf_broker *broker, const char *group, const char *topic,
                               int32_t partition, int64_t offset, kf_error *miss)
{
    pthread_mutex_lock(&broker->lock);
    const struct kf__committed_offset *found =
        kf__committed_find(&broker->committed, kf__text(group), kf__text(topic), partition);
    const struct kf__committed_group *known = NULL;
    for (size_t i = 0; i < broker->committed.group_count; i++)
        if (kf__text_equal(broker->committed.groups[i].group, kf__text(group)))
            known = &broker->committed.groups[i];
    bool good = found && found->offset == offset;
    if (found && !good)
        kf_error_set(miss, KF_ERR_OFFSET_OUT_OF_RANGE,
                     "group %s has committed %s/%" PRId32 "@%" PRId64 ", not @%" PRId64, group,
                     topic, partition, found->offset, offset);
    else if (!good && known && known->count > 0)
        miss_commit(known, topic, partition, miss);
    else if (!good && kf__any_group_is(kf__any_group(&broker->consumers, kf__text(group))))
        kf_error_set(miss, KF_ERR_OFFSET_OUT_OF_RANGE, "group %s has committed nothing", group);
    else if (!good)
        miss_group(broker, group, miss);
    pthread_mutex_unlock(&broker->lock);
    return good;
}

static bool has_client(struct kf__any_group group, const char *client_id)
{
    for (int32_t i = 0; i < kf__any_group_members(group); i++)
        if (kf__text_equal(kf__any_group_member(group, i).client_id, kf__text(client_id)))
            return true;
    return false;
}

bool kf_broker_check_member(kf_broker *broker, const char *group, const char *client_id,
                            kf_error *miss)
{
    pthread_mutex_lock(&broker->lock);
    struct kf__any_group found = kf__any_group(&broker->consumers, kf__text(group));
    bool good = has_client(found, client_id);
    if (!kf__any_group_is(found)) {
        miss_group(broker, group, miss);
    } else if (!good) {
        struct list list = {0};
        for (int32_t i = 0; i < kf__any_group_members(found); i++)
            add(&list, "%s", kf__any_group_member(found, i).client_id.data);
        kf_error_set(miss, KF_ERR_UNKNOWN_MEMBER_ID,
                     "group %s has no member with client id %s: it is %s%s%s", group, client_id,
                     kf__any_group_state(found), list.used ? " with " : " and empty", list.text);
    }
    pthread_mutex_unlock(&broker->lock);
    return good;
}

bool kf_broker_check_members(kf_broker *broker, const char *group, int32_t count, kf_error *miss)
{
    pthread_mutex_lock(&broker->lock);
    struct kf__any_group found = kf__any_group(&broker->consumers, kf__text(group));
    int32_t members = kf__any_group_members(found);
    if (members != count && !kf__any_group_is(found))
        miss_group(broker, group, miss);
    else if (members != count)
        kf_error_set(miss, KF_ERR_UNKNOWN_MEMBER_ID,
                     "group %s has %" PRId32 " members, not %" PRId32 ": it is %s", group, members,
                     count, kf__any_group_state(found));
    pthread_mutex_unlock(&broker->lock);
    return members == count;
}

bool kf_broker_group_member_at(kf_broker *broker, const char *group, int32_t index,
                               kf_broker_member *member)
{
    *member = (kf_broker_member){.size = sizeof *member};
    pthread_mutex_lock(&broker->lock);
    struct kf__any_group found = kf__any_group(&broker->consumers, kf__text(group));
    bool good = index >= 0 && index < kf__any_group_members(found);
    if (good) {
        struct kf__any_member one = kf__any_group_member(found, index);
        snprintf(member->id, sizeof member->id, "%s", one.id.data);
        snprintf(member->instance_id, sizeof member->instance_id, "%s",
                 one.instance_id.data ? one.instance_id.data : "");
        snprintf(member->client_id, sizeof member->client_id, "%s", one.client_id.data);
        member->leads = found.classic && found.classic->members[index] == found.classic->leader;
    }
    pthread_mutex_unlock(&broker->lock);
    return good;
}

/* ---- requests ---- */

int64_t kf_broker_requests_of(kf_broker *broker, const char *client_id, int16_t api_key)
{
    pthread_mutex_lock(&broker->lock);
    int64_t count = kf__census_of(&broker->census, kf__text(client_id), api_key);
    pthread_mutex_unlock(&broker->lock);
    return count;
}

/* Who has sent such requests instead. */
static void list_others(const kf_broker *broker, int16_t api_key, struct list *list)
{
    for (size_t i = 0; i < broker->census.count; i++) {
        const struct kf__census_row *row = &broker->census.rows[i];
        if (row->api_key == api_key)
            add(list, "%s %" PRId64, row->client.data ? row->client.data : "-", row->count);
    }
}

static void miss_requests(const kf_broker *broker, int16_t api_key, const char *client_id,
                          int64_t found, const int64_t wanted[2], kf_error *miss)
{
    size_t size = 0;
    const char *api = api_key < 0 ? NULL : kf_api_name(api_key, &size);
    struct list others = {0};
    char bounds[64];
    if (wanted[0] == wanted[1])
        snprintf(bounds, sizeof bounds, "%" PRId64, wanted[0]);
    else if (wanted[1] == INT64_MAX)
        snprintf(bounds, sizeof bounds, "%" PRId64 " or more", wanted[0]);
    else
        snprintf(bounds, sizeof bounds, "%" PRId64 " to %" PRId64, wanted[0], wanted[1]);
    if (client_id)
        list_others(broker, api_key, &others);
    kf_error_set(miss, KF_ERR_INVALID_REQUEST, "%" PRId64 " requests %.*s came from %s, not %s%s%s",
                 found, api ? (int)size : (int)strlen("of all APIs"), api ? api : "of all APIs",
                 client_id ? client_id : "all", bounds, others.used ? "; " : "", others.text);
}

bool kf_broker_check_requests(kf_broker *broker, int16_t api_key, const char *client_id,
                              int64_t least, int64_t most, kf_error *miss)
{
    int64_t found = client_id ? kf_broker_requests_of(broker, client_id, api_key)
                              : kf_broker_requests(broker, api_key);
    bool good = found >= least && found <= most;
    pthread_mutex_lock(&broker->lock);
    if (!good)
        miss_requests(broker, api_key, client_id, found, (int64_t[]){least, most}, miss);
    pthread_mutex_unlock(&broker->lock);
    return good;
}

int64_t kf_broker_refusals(kf_broker *broker, kf_error *why)
{
    pthread_mutex_lock(&broker->lock);
    int64_t count = broker->refusals;
    if (count > 0)
        kf_error_set(why, KF_ERR_INVALID_REQUEST, "%s", broker->refusal);
    pthread_mutex_unlock(&broker->lock);
    return count;
}
