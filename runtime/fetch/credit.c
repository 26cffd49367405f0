/* credit: see credit.h. Counters are atomic; every transition is one addition. */
#include "runtime/fetch/credit.h"

/* What a slab owes: one for each slab that carries batches. */
struct account {
    struct kf__credit *credit;
    atomic_uint waiting; /* batches not yet started */
    int64_t bytes;
};

static void drop_reference(struct kf__credit *credit)
{
    if (atomic_fetch_sub_explicit(&credit->references, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_destroy(&credit->lock);
    kf_free(credit->alloc, credit);
}

static void tell_whoever_waits(struct kf__credit *credit)
{
    if (!atomic_load(&credit->wanted) || !atomic_exchange(&credit->wanted, false))
        return;
    pthread_mutex_lock(&credit->lock);
    if (credit->returned)
        kf__loop_post(credit->loop, credit->returned);
    pthread_mutex_unlock(&credit->lock);
}

struct kf__credit *kf__credit_new(const kf_allocator *alloc, struct kf__loop *loop,
                                  int64_t fetch_max, int64_t budget_max, struct kf__task *returned)
{
    struct kf__credit *credit = kf_alloc_zero(alloc, sizeof *credit);
    if (!credit)
        return NULL;
    credit->alloc = alloc;
    credit->loop = loop;
    credit->fetch_max = fetch_max;
    credit->budget_max = budget_max;
    atomic_init(&credit->references, 1);
    credit->returned = returned;
    pthread_mutex_init(&credit->lock, NULL);
    return credit;
}

void kf__credit_drop(struct kf__credit *credit)
{
    if (!credit)
        return;
    pthread_mutex_lock(&credit->lock);
    credit->returned = NULL;
    pthread_mutex_unlock(&credit->lock);
    drop_reference(credit);
}

static int64_t room(const struct kf__credit *credit)
{
    int64_t by_fetch = credit->fetch_max - atomic_load(&credit->reserved);
    int64_t by_budget = credit->budget_max - atomic_load(&credit->held);
    return by_fetch < by_budget ? by_fetch : by_budget;
}

int64_t kf__credit_reserve(struct kf__credit *credit, int64_t least, int64_t most)
{
    int64_t bytes = room(credit);
    if (bytes < least) {
        /* Ask to be told, then look again: what came back in between was told to nobody. The wish
         * stays where there is room now: another's may be behind it. */
        atomic_store(&credit->wanted, true);
        bytes = room(credit);
        if (bytes < least)
            return 0;
    }
    if (bytes > most)
        bytes = most;
    atomic_fetch_add(&credit->reserved, bytes);
    return bytes;
}

void kf__credit_unreserve(struct kf__credit *credit, int64_t bytes)
{
    atomic_fetch_sub(&credit->reserved, bytes);
    tell_whoever_waits(credit);
}

static void slab_released(struct kf__slab *slab, void *owner)
{
    struct account *account = owner;
    struct kf__credit *credit = account->credit;
    slab->released = NULL;
    slab->owner = NULL;
    atomic_fetch_sub(&credit->held, account->bytes);
    kf_free(credit->alloc, account);
    tell_whoever_waits(credit);
    drop_reference(credit);
}

static struct account *open_account(struct kf__credit *credit, struct kf__slab *slab)
{
    if (slab->released == slab_released)
        return slab->owner;
    struct account *account = kf_alloc(credit->alloc, sizeof *account);
    if (!account)
        return NULL;
    account->credit = credit;
    account->bytes = (int64_t)slab->capacity;
    atomic_init(&account->waiting, 0);
    atomic_fetch_add(&credit->references, 1);
    atomic_fetch_add(&credit->held, account->bytes);
    slab->released = slab_released;
    slab->owner = account;
    return account;
}

kf_err kf__credit_hold(struct kf__credit *credit, struct kf__slab *slab, unsigned batches)
{
    struct account *account = open_account(credit, slab);
    if (!account)
        return KF_ERR_NO_MEMORY;
    if (batches && atomic_fetch_add(&account->waiting, batches) == 0)
        atomic_fetch_add(&credit->reserved, account->bytes);
    return KF_OK;
}

void kf__credit_started(struct kf__slab *slab)
{
    if (slab->released != slab_released)
        return;
    struct account *account = slab->owner;
    if (atomic_fetch_sub(&account->waiting, 1) != 1)
        return;
    atomic_fetch_sub(&account->credit->reserved, account->bytes);
    tell_whoever_waits(account->credit);
}
