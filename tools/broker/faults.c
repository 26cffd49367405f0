#include "tools/broker/faults.h"

#include "tools/broker/text.h"

void kf__faults_init(struct kf__faults *faults, const kf_allocator *alloc)
{
    *faults = (struct kf__faults){.alloc = alloc};
}

static void free_fault(const kf_allocator *alloc, struct kf__fault *fault)
{
    kf__text_free(alloc, &fault->topic);
    kf_free(alloc, fault);
}

void kf__faults_free(struct kf__faults *faults)
{
    kf__faults_clear(faults, 0);
    kf_free(faults->alloc, faults->items);
    faults->items = NULL;
}

static bool makes_sense(const kf_broker_fault *what)
{
    return what->kind >= KF_BROKER_ANSWER_ERROR && what->kind <= KF_BROKER_CORRUPT_CRC &&
           what->first >= 0 && what->every >= 0 && what->times >= 0 && what->ms >= 0 &&
           (what->kind != KF_BROKER_ANSWER_ERROR || (what->error >= -1 && what->error != 0));
}

int32_t kf__faults_add(struct kf__faults *faults, const kf_broker_fault *what)
{
    if (!makes_sense(what))
        return 0;
    struct kf__fault **items =
        kf_realloc(faults->alloc, faults->items, (faults->count + 1) * sizeof(*items));
    if (!items)
        return 0;
    faults->items = items;
    struct kf__fault *fault = kf_alloc_zero(faults->alloc, sizeof *fault);
    if (!fault)
        return 0;
    if (kf__text_copy(faults->alloc, kf__text(what->topic), &fault->topic)) {
        kf_free(faults->alloc, fault);
        return 0;
    }
    fault->what = *what;
    fault->id = ++faults->last_id;
    items[faults->count++] = fault;
    return fault->id;
}

void kf__faults_clear(struct kf__faults *faults, int32_t id)
{
    size_t kept = 0;
    for (size_t i = 0; i < faults->count; i++) {
        if (id == 0 || faults->items[i]->id == id)
            free_fault(faults->alloc, faults->items[i]);
        else
            faults->items[kept++] = faults->items[i];
    }
    faults->count = kept;
}

int64_t kf__faults_hits(const struct kf__faults *faults, int32_t id)
{
    for (size_t i = 0; i < faults->count; i++)
        if (faults->items[i]->id == id)
            return faults->items[i]->hits;
    return 0;
}

static bool matches(struct kf__fault *fault, int16_t api_key, int32_t node)
{
    const kf_broker_fault *what = &fault->what;
    if (what->api_key != KF_BROKER_ANY_API && what->api_key != api_key)
        return false;
    if (what->node != 0 && what->node != node)
        return false;
    fault->seen++;
    int64_t first = what->first > 0 ? what->first : 1;
    int64_t every = what->every > 0 ? what->every : 1;
    if (fault->seen < first || (fault->seen - first) % every != 0)
        return false;
    if (what->times > 0 && fault->hits >= what->times)
        return false;
    fault->hits++;
    return true;
}

struct kf__verdict kf__faults_judge(struct kf__faults *faults, int16_t api_key, int32_t node)
{
    struct kf__verdict verdict = {0};
    for (size_t i = 0; i < faults->count; i++) {
        struct kf__fault *fault = faults->items[i];
        if (!matches(fault, api_key, node))
            continue;
        switch (fault->what.kind) {
        case KF_BROKER_ANSWER_ERROR:
            verdict.error = fault;
            break;
        case KF_BROKER_DROP:
            verdict.drop = true;
            break;
        case KF_BROKER_DROP_ANSWER:
            verdict.drop_answer = true;
            break;
        case KF_BROKER_SILENCE:
            verdict.silence = true;
            break;
        case KF_BROKER_DELAY:
            verdict.delay_ms += fault->what.ms;
            break;
        case KF_BROKER_CUT:
            verdict.cut = true;
            verdict.bytes = fault->what.bytes;
            break;
        case KF_BROKER_GARBAGE:
            verdict.garbage = true;
            verdict.bytes = fault->what.bytes;
            break;
        case KF_BROKER_THROTTLE:
            verdict.throttle_ms += fault->what.ms;
            break;
        case KF_BROKER_CORRUPT_CRC:
            verdict.corrupt = true;
            break;
        }
    }
    return verdict;
}

kf_err kf__fault_error(const struct kf__fault *fault, kf_string topic, int32_t partition)
{
    if (!fault)
        return KF_OK;
    if (fault->topic.data && !kf__text_equal(fault->topic, topic))
        return KF_OK;
    if (fault->what.one_partition && fault->what.partition != partition)
        return KF_OK;
    return fault->what.error;
}
