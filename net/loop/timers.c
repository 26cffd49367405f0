/* timers: the heap behind kf__timer_set. See timers.h. */
#include "net/loop/timers.h"

/* The later of two heaps goes below the earlier one, as its first child. Either may be empty. */
static struct kf__timer *meld(struct kf__timer *one, struct kf__timer *other)
{
    if (!one || !other)
        return one ? one : other;
    struct kf__timer *above = other->at < one->at ? other : one;
    struct kf__timer *below = above == one ? other : one;
    below->next = above->child;
    if (below->next)
        below->next->before = below;
    below->before = above;
    above->child = below;
    return above;
}

/* One heap of a row of them: in pairs from the left, then all pairs from the right. */
static struct kf__timer *meld_row(struct kf__timer *row)
{
    struct kf__timer *pairs = NULL; /* the last one first */
    while (row) {
        struct kf__timer *one = row;
        struct kf__timer *other = one->next;
        row = other ? other->next : NULL;
        one->next = NULL;
        if (other)
            other->next = NULL;
        struct kf__timer *pair = meld(one, other);
        pair->next = pairs;
        pairs = pair;
    }
    struct kf__timer *whole = NULL;
    while (pairs) {
        struct kf__timer *pair = pairs;
        pairs = pair->next;
        pair->next = NULL;
        whole = meld(whole, pair);
    }
    if (whole)
        whole->before = NULL;
    return whole;
}

/* Takes it out of the row that it stands in. */
static void unlink_timer(struct kf__timer *timer)
{
    if (timer->before->child == timer)
        timer->before->child = timer->next;
    else
        timer->before->next = timer->next;
    if (timer->next)
        timer->next->before = timer->before;
}

void kf__timers_cancel(struct kf__timers *timers, struct kf__timer *timer)
{
    if (!timer->set)
        return;
    struct kf__timer *children = meld_row(timer->child);
    if (timer == timers->root) {
        timers->root = children;
    } else {
        unlink_timer(timer);
        timers->root = meld(timers->root, children);
    }
    timer->child = timer->next = timer->before = NULL;
    timer->set = false;
    timers->count--;
}

void kf__timers_set(struct kf__timers *timers, struct kf__timer *timer, kf_time at)
{
    kf__timers_cancel(timers, timer);
    if (at == KF_FOREVER)
        return;
    timer->at = at;
    timer->set = true;
    timers->root = meld(timers->root, timer);
    timers->count++;
}

kf_time kf__timers_next(const struct kf__timers *timers)
{
    return timers->root ? timers->root->at : KF_FOREVER;
}

void kf__timers_fire(struct kf__timers *timers, kf_time now)
{
    for (size_t left = timers->count; left > 0 && timers->root; left--) {
        struct kf__timer *timer = timers->root;
        if (timer->at > now)
            return;
        kf__timers_cancel(timers, timer);
        timer->fire(timer, timer->owner);
    }
}
