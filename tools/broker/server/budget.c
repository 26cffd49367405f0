#include "tools/broker/server/budget.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    STATE_SHARE = 8, /* one part in so many is not for state */
};

/* In front of every allocation: how large it is. */
union head {
    size_t size;
    max_align_t aligned;
};

/* Never more than the cap, not for a moment: others read what is held. */
static bool take(struct kf__budget *budget, size_t cap, size_t before, size_t after)
{
    size_t held = atomic_load(&budget->held);
    do {
        if (after > before && (after > cap || held - before > cap - after))
            return false;
    } while (!atomic_compare_exchange_weak(&budget->held, &held, held - before + after));
    return true;
}

static void *resize(struct kf__budget *budget, size_t cap, void *pointer, size_t size)
{
    union head *head = pointer ? (union head *)pointer - 1 : NULL;
    size_t before = head ? head->size : 0;
    if (size == 0) {
        atomic_fetch_sub(&budget->held, before);
        kf_free(budget->below, head);
        return NULL;
    }
    size_t after = size + sizeof *head;
    if (after < size || !take(budget, cap, before, after))
        return NULL;
    head = kf_realloc(budget->below, head, after);
    if (!head) {
        atomic_fetch_add(&budget->held, before - after);
        return NULL;
    }
    head->size = after;
    return head + 1;
}

static void *resize_work(void *context, void *pointer, size_t size)
{
    struct kf__budget *budget = context;
    return resize(budget, budget->cap, pointer, size);
}

static void *resize_state(void *context, void *pointer, size_t size)
{
    struct kf__budget *budget = context;
    return resize(budget, budget->cap - budget->cap / STATE_SHARE, pointer, size);
}

void kf__budget_init(struct kf__budget *budget, const kf_allocator *below, size_t cap)
{
    budget->below = below;
    budget->cap = cap;
    atomic_init(&budget->held, 0);
    budget->work = (kf_allocator){.resize = resize_work, .context = budget};
    budget->state = (kf_allocator){.resize = resize_state, .context = budget};
}
