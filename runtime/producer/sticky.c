/* sticky: see sticky.h. */
#include "runtime/producer/sticky.h"

#include <assert.h>

bool kf__sticky_stays(const struct kf__sticky *sticky, size_t share, bool has_room)
{
    if (sticky->partition < 0)
        return false;
    if (sticky->bytes < share)
        return true;
    return has_room && sticky->bytes / 2 < share;
}

static bool may_be_chosen(const struct kf__sticky_view *view, int32_t index, bool near)
{
    return view->waiting[index] >= 0 && (!near || view->near[index]);
}

static bool has_near(const struct kf__sticky_view *view)
{
    if (!view->near)
        return false;
    for (int32_t i = 0; i < view->partitions; i++)
        if (may_be_chosen(view, i, true))
            return true;
    return false;
}

static int32_t longest_queue(const struct kf__sticky_view *view, bool near)
{
    int32_t longest = 0;
    for (int32_t i = 0; i < view->partitions; i++)
        if (may_be_chosen(view, i, near) && view->waiting[i] > longest)
            longest = view->waiting[i];
    return longest;
}

/* The longest queue weighs 1, an empty one as much as the longest has batches and one more. */
static uint64_t weight_of(const struct kf__sticky_view *view, int32_t index, bool near,
                          int32_t longest)
{
    return may_be_chosen(view, index, near) ? (uint64_t)(longest - view->waiting[index]) + 1 : 0;
}

static int32_t draw(const struct kf__sticky_view *view, uint64_t random)
{
    bool near = has_near(view);
    int32_t longest = longest_queue(view, near);
    uint64_t sum = 0;
    for (int32_t i = 0; i < view->partitions; i++)
        sum += weight_of(view, i, near, longest);
    if (sum == 0)
        return (int32_t)(random % (uint64_t)view->partitions);
    uint64_t left = random % sum;
    for (int32_t i = 0; i < view->partitions; i++) {
        uint64_t weight = weight_of(view, i, near, longest);
        if (left < weight)
            return i;
        left -= weight;
    }
    return 0; /* not reached */
}

void kf__sticky_move(struct kf__sticky *sticky, const struct kf__sticky_view *view, uint64_t random)
{
    assert(view->partitions > 0);
    sticky->partition = draw(view, random);
    sticky->bytes = 0;
}
