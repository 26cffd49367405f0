#include "tools/broker/faults/rules.h"

#include "tools/broker/text.h"

#define GOLDEN UINT64_C(0x9E3779B97F4A7C15)

void kf__rules_init(struct kf__rules *rules, const kf_allocator *alloc, uint64_t seed)
{
    *rules = (struct kf__rules){.alloc = alloc, .seed = seed};
}

static void free_rule(const kf_allocator *alloc, struct kf__rule *rule)
{
    kf__text_free(alloc, &rule->topic);
    kf__text_free(alloc, &rule->client);
    kf__text_free(alloc, &rule->event.name);
    kf_free(alloc, rule);
}

void kf__rules_free(struct kf__rules *rules)
{
    kf__rules_clear(rules, 0);
    kf_free(rules->alloc, rules->items);
    rules->items = NULL;
}

/* ---- adding and clearing ---- */

static bool counts_make_sense(const kf_broker_fault *what)
{
    return what->first >= 0 && what->every >= 0 && what->times >= 0 && what->last >= 0 &&
           what->ms >= 0 && what->ms <= INT32_MAX && what->probability >= 0 &&
           what->probability <= 1 && (!what->by_version || what->min_version <= what->max_version);
}

static bool makes_sense(const kf_broker_fault *what, const struct kf__event *event)
{
    if (!counts_make_sense(what))
        return false;
    if (event->kind != KF__NO_EVENT)
        return what->kind == 0;
    return what->kind >= KF_BROKER_ANSWER_ERROR && what->kind <= KF_BROKER_CORRUPT_CRC &&
           (what->kind != KF_BROKER_ANSWER_ERROR || (what->error >= -1 && what->error != 0));
}

static kf_err copy_texts(const kf_allocator *alloc, struct kf__rule *rule,
                         const kf_broker_fault *what, const struct kf__event *event)
{
    kf_err err = kf__text_copy(alloc, kf__text(what->topic), &rule->topic);
    if (!err)
        err = kf__text_copy(alloc, kf__text(what->client_id), &rule->client);
    if (!err)
        err = kf__text_copy(alloc, event->name, &rule->event.name);
    return err;
}

int32_t kf__rules_add(struct kf__rules *rules, const kf_broker_fault *what,
                      const struct kf__event *event, kf_time at, kf_time period)
{
    static const struct kf__event none;
    event = event ? event : &none;
    if (!makes_sense(what, event))
        return 0;
    struct kf__rule **items =
        kf_realloc(rules->alloc, rules->items, (rules->count + 1) * sizeof(*items));
    if (!items)
        return 0;
    rules->items = items;
    struct kf__rule *rule = kf_alloc_zero(rules->alloc, sizeof *rule);
    if (!rule)
        return 0;
    rule->what = *what;
    rule->event = *event;
    rule->event.name = (kf_string){0};
    if (copy_texts(rules->alloc, rule, what, event)) {
        free_rule(rules->alloc, rule);
        return 0;
    }
    rule->at = at;
    rule->period = period;
    rule->id = ++rules->last_id;
    rule->dice = (what->seed ? what->seed : rules->seed) + (uint64_t)rule->id * GOLDEN;
    items[rules->count++] = rule;
    return rule->id;
}

static void clear_if(struct kf__rules *rules, int32_t id, bool above)
{
    size_t kept = 0;
    for (size_t i = 0; i < rules->count; i++) {
        struct kf__rule *rule = rules->items[i];
        if (above ? rule->id > id : id == 0 || rule->id == id)
            free_rule(rules->alloc, rule);
        else
            rules->items[kept++] = rule;
    }
    rules->count = kept;
}

void kf__rules_clear(struct kf__rules *rules, int32_t id) { clear_if(rules, id, false); }

void kf__rules_clear_above(struct kf__rules *rules, int32_t id) { clear_if(rules, id, true); }

int64_t kf__rules_hits(const struct kf__rules *rules, int32_t id)
{
    for (size_t i = 0; i < rules->count; i++)
        if (rules->items[i]->id == id)
            return rules->items[i]->hits;
    return 0;
}

/* ---- matching ---- */

static bool is_meant(const struct kf__rule *rule, const struct kf__sight *sight)
{
    const kf_broker_fault *what = &rule->what;
    if (what->api_key != KF_BROKER_ANY_API && what->api_key != sight->api_key)
        return false;
    if (what->by_version &&
        (sight->version < what->min_version || sight->version > what->max_version))
        return false;
    if (what->node != 0 && what->node != sight->node)
        return false;
    if (what->connection != 0 && what->connection != sight->connection)
        return false;
    if (rule->client.data && !kf__text_equal(rule->client, sight->client_id))
        return false;
    return !rule->topic.data ||
           sight->mentions(sight->context, rule->topic, what->one_partition ? what->partition : -1);
}

/* splitmix64, as a fraction of 1. */
static double roll(struct kf__rule *rule)
{
    uint64_t x = (rule->dice += GOLDEN);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (double)((x ^ (x >> 31)) >> 11) / 9007199254740992.0; /* 2^53 */
}

static bool is_chosen(struct kf__rule *rule)
{
    const kf_broker_fault *what = &rule->what;
    int64_t first = what->first > 0 ? what->first : 1;
    int64_t every = what->every > 0 ? what->every : 1;
    rule->seen++;
    if (rule->seen < first || (rule->seen - first) % every != 0)
        return false;
    if ((what->last > 0 && rule->seen > what->last) ||
        (what->times > 0 && rule->hits >= what->times))
        return false;
    if (what->probability > 0 && roll(rule) >= what->probability)
        return false;
    rule->hits++;
    return true;
}

/* Together no longer than an answer can say. */
static int64_t longer(int64_t ms, int64_t more)
{
    return ms + more < INT32_MAX ? ms + more : INT32_MAX;
}

static void sentence(struct kf__verdict *verdict, struct kf__rule *rule)
{
    switch (rule->what.kind) {
    case KF_BROKER_ANSWER_ERROR:
        verdict->error = rule;
        break;
    case KF_BROKER_CLOSE:
        verdict->close = true;
        break;
    case KF_BROKER_CLOSE_ANSWER:
        verdict->close_answer = true;
        break;
    case KF_BROKER_DROP_REQUEST:
        verdict->drop_request = true;
        break;
    case KF_BROKER_DROP_ANSWER:
        verdict->drop_answer = true;
        break;
    case KF_BROKER_DELAY:
        verdict->delay_ms = longer(verdict->delay_ms, rule->what.ms);
        break;
    case KF_BROKER_CUT:
        verdict->cut = true;
        verdict->bytes = rule->what.bytes;
        break;
    case KF_BROKER_GARBAGE:
        verdict->garbage = true;
        verdict->bytes = rule->what.bytes;
        break;
    case KF_BROKER_THROTTLE:
        verdict->throttle_ms = longer(verdict->throttle_ms, rule->what.ms);
        break;
    case KF_BROKER_CORRUPT_CRC:
        verdict->corrupt = true;
        break;
    }
}

struct kf__verdict kf__rules_judge(struct kf__rules *rules, const struct kf__sight *sight)
{
    struct kf__verdict verdict = {0};
    for (size_t i = 0; i < rules->count; i++) {
        struct kf__rule *rule = rules->items[i];
        if (rule->at != KF_FOREVER || !is_meant(rule, sight) || !is_chosen(rule))
            continue;
        if (rule->event.kind == KF__NO_EVENT) {
            sentence(&verdict, rule);
        } else {
            rule->due++;
            rules->due = true;
        }
    }
    return verdict;
}

kf_err kf__rule_error(const struct kf__rule *rule, kf_string topic, int32_t partition)
{
    if (!rule)
        return KF_OK;
    if (rule->topic.data && !kf__text_equal(rule->topic, topic))
        return KF_OK;
    if (rule->what.one_partition && rule->what.partition != partition)
        return KF_OK;
    return rule->what.error;
}

/* ---- events ---- */

bool kf__rules_tick(struct kf__rules *rules, kf_time now)
{
    kf_time earliest = KF_FOREVER;
    for (size_t i = 0; i < rules->count; i++)
        if (rules->items[i]->at > 0 && rules->items[i]->at < earliest)
            earliest = rules->items[i]->at;
    if (earliest > now)
        return false;
    for (size_t i = 0; i < rules->count; i++) {
        struct kf__rule *rule = rules->items[i];
        if (rule->at != earliest)
            continue;
        rule->hits++;
        rule->due++;
        rules->due = true;
        /* A done one keeps its place, so that its hits can be asked for. */
        rule->at = rule->period > 0 ? now - (now - rule->at) % rule->period + rule->period : 0;
    }
    return true;
}

kf_time kf__rules_deadline(const struct kf__rules *rules)
{
    kf_time deadline = KF_FOREVER;
    for (size_t i = 0; i < rules->count; i++)
        if (rules->items[i]->at > 0 && rules->items[i]->at < deadline)
            deadline = rules->items[i]->at;
    return rules->due ? 0 : deadline;
}

bool kf__rules_take_event(struct kf__rules *rules, struct kf__event *event)
{
    for (size_t i = 0; rules->due && i < rules->count; i++) {
        if (rules->items[i]->due == 0)
            continue;
        rules->items[i]->due--;
        *event = rules->items[i]->event;
        return true;
    }
    rules->due = false;
    return false;
}
