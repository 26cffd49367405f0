/*
 * stack: pools of guarded stacks, one for each power of two.
 *
 * Stacks are cut from slabs, one mapping of many, so that a hundred thousand
 * of them are not as many mappings. A guard is a page-table mark where the
 * kernel has MADV_GUARD_INSTALL (Linux 6.13); elsewhere mprotect, which
 * splits the mapping in two for each, so that it ends at half of
 * vm.max_map_count. A few free stacks of each size stay warm; the memory of
 * the others goes back to the kernel, their addresses stay. Never looks into
 * a stack. fiber.c takes and gives.
 */
#include "runtime/fiber/stack.h"

#include "runtime/fiber/sanitizer.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/random.h>
#endif

enum {
    SLAB_BYTES = 4 << 20,
    SLAB_MOST = 64,
    WARM = 64,         /* free stacks of a class that keep their memory */
    GUARD = 16 * 1024, /* a frame larger than this may jump over it */
    LINUX_GUARD_INSTALL = 102,
};

/* Instrumented frames are larger. */
#if defined(KF__ASAN) || defined(KF__TSAN)
enum {
    FRAME_SHIFT = 2
};
#else
enum {
    FRAME_SHIFT = 0
};
#endif

enum {
    FRAME_FACTOR = 1 << FRAME_SHIFT,
    SMALLEST = 14,              /* 2^14: 16 KiB */
    LARGEST = 26 + FRAME_SHIFT, /* KF__STACK_MOST */
    CLASSES = LARGEST - SMALLEST + 1,
};

enum guard_kind {
    GUARD_BY_MARK,
    GUARD_BY_MPROTECT
};

struct slab {
    struct slab *next;
    uint8_t *memory;
    size_t bytes;
    size_t count;
    size_t cut; /* stacks handed out so far; the rest has no guard yet */
    struct kf__stack stacks[];
};

struct size_class {
    struct kf__stack *warm;
    struct kf__stack *cold;
    size_t warm_count;
    struct slab *slab; /* the one that is being cut */
};

struct kf__stack_pool {
    const kf_allocator *alloc;
    pthread_mutex_t lock;
    size_t page;
    enum guard_kind guard_kind;
    size_t guards_left; /* by mprotect */
    struct slab *slabs;
    struct size_class classes[CLASSES];
};

static size_t max_map_count(void)
{
    size_t count = 65530; /* the kernel's default */
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    if (!file)
        return count;
    char text[32];
    if (fgets(text, sizeof text, file)) {
        unsigned long value = strtoul(text, NULL, 10);
        if (value > 0)
            count = value;
    }
    fclose(file);
    return count;
}

/* An emulator may accept the advice and do nothing, so ask the kernel to write there. */
static bool kernel_has_guard_marks(size_t page)
{
#if defined(__linux__)
    void *probe = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (probe == MAP_FAILED)
        return false;
    bool has = madvise(probe, page, LINUX_GUARD_INSTALL) == 0 &&
               getrandom(probe, 1, GRND_NONBLOCK) < 0 && errno == EFAULT;
    munmap(probe, page);
    return has;
#else
    (void)page;
    return false;
#endif
}

kf_err kf__stack_pool_new(const kf_allocator *alloc, struct kf__stack_pool **pool)
{
    struct kf__stack_pool *new_pool = kf_alloc_zero(alloc, sizeof *new_pool);
    if (!new_pool)
        return KF_ERR_NO_MEMORY;
    if (pthread_mutex_init(&new_pool->lock, NULL) != 0) {
        kf_free(alloc, new_pool);
        return KF_ERR_SYSTEM;
    }
    new_pool->alloc = alloc;
    new_pool->page = (size_t)sysconf(_SC_PAGESIZE);
    new_pool->guard_kind =
        kernel_has_guard_marks(new_pool->page) ? GUARD_BY_MARK : GUARD_BY_MPROTECT;
    new_pool->guards_left = max_map_count() / 4; /* two mappings each, half of all */
    *pool = new_pool;
    return KF_OK;
}

static void forget_stack(const struct kf__stack *stack)
{
#ifdef KF__TSAN
    if (stack->tsan_fiber)
        __tsan_destroy_fiber(stack->tsan_fiber);
#elif defined(KF__VALGRIND)
    VALGRIND_STACK_DEREGISTER(stack->valgrind_id);
#else
    (void)stack;
#endif
}

void kf__stack_pool_free(struct kf__stack_pool *pool)
{
    if (!pool)
        return;
    for (struct slab *slab = pool->slabs, *next; slab; slab = next) {
        next = slab->next;
        for (size_t i = 0; i < slab->cut; i++)
            forget_stack(&slab->stacks[i]);
        munmap(slab->memory, slab->bytes);
        kf_free(pool->alloc, slab);
    }
    pthread_mutex_destroy(&pool->lock);
    kf_free(pool->alloc, pool);
}

_Static_assert((size_t)1 << 26 == KF__STACK_MOST, "the largest class holds the largest stack");

static size_t class_bytes(unsigned size_class) { return (size_t)1 << (size_class + SMALLEST); }

static size_t guard_bytes(const struct kf__stack_pool *pool)
{
    return pool->page > GUARD ? pool->page : GUARD;
}

static kf_err add_slab(struct kf__stack_pool *pool, unsigned size_class)
{
    size_t stride = class_bytes(size_class) + guard_bytes(pool);
    size_t count = SLAB_BYTES / stride;
    count = count < 1 ? 1 : count > SLAB_MOST ? SLAB_MOST : count;

    struct slab *slab = kf_alloc_zero(pool->alloc, sizeof *slab + count * sizeof(struct kf__stack));
    if (!slab)
        return KF_ERR_NO_MEMORY;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#ifdef MAP_NORESERVE
    flags |= MAP_NORESERVE;
#endif
    slab->memory = mmap(NULL, count * stride, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (slab->memory == MAP_FAILED) {
        kf_free(pool->alloc, slab);
        return KF_ERR_NO_STACK;
    }
#ifdef MADV_NOHUGEPAGE
    /* One touched page must not become two megabytes. */
    (void)madvise(slab->memory, count * stride, MADV_NOHUGEPAGE);
#endif
    slab->bytes = count * stride;
    slab->count = count;
    slab->next = pool->slabs;
    pool->slabs = slab;
    pool->classes[size_class].slab = slab;
    return KF_OK;
}

static kf_err guard(struct kf__stack_pool *pool, void *address, size_t size)
{
    if (pool->guard_kind == GUARD_BY_MARK) {
        if (madvise(address, size, LINUX_GUARD_INSTALL) == 0)
            return KF_OK;
        /* Locked memory (mlockall) can't be marked. */
        pool->guard_kind = GUARD_BY_MPROTECT;
    }
    if (pool->guards_left == 0 || mprotect(address, size, PROT_NONE) != 0)
        return KF_ERR_NO_STACK;
    pool->guards_left--;
    return KF_OK;
}

static kf_err cut(struct kf__stack_pool *pool, unsigned size_class, struct kf__stack **stack)
{
    struct size_class *class = &pool->classes[size_class];
    if (!class->slab || class->slab->cut == class->slab->count) {
        kf_err err = add_slab(pool, size_class);
        if (err)
            return err;
    }
    struct slab *slab = class->slab;
    size_t guarded = guard_bytes(pool);
    uint8_t *low = slab->memory + slab->cut * (class_bytes(size_class) + guarded) + guarded;
    kf_err err = guard(pool, low - guarded, guarded);
    if (err)
        return err;

    *stack = &slab->stacks[slab->cut++];
    **stack = (struct kf__stack){
        .low = low,
        .size = class_bytes(size_class),
        .guard = guarded,
        .size_class = size_class,
    };
#ifdef KF__VALGRIND
    (*stack)->valgrind_id = (unsigned)VALGRIND_STACK_REGISTER(low, low + class_bytes(size_class));
#endif
    return KF_OK;
}

kf_err kf__stack_take(struct kf__stack_pool *pool, size_t bytes, struct kf__stack **stack)
{
    unsigned size_class = 0;
    while (size_class < CLASSES && class_bytes(size_class) / FRAME_FACTOR < bytes)
        size_class++;
    if (size_class == CLASSES)
        return KF_ERR_NO_STACK;

    kf_err err = KF_OK;
    struct size_class *class = &pool->classes[size_class];
    pthread_mutex_lock(&pool->lock);
    if (class->warm) {
        *stack = class->warm;
        class->warm = (*stack)->next;
        class->warm_count--;
    } else if (class->cold) {
        *stack = class->cold;
        class->cold = (*stack)->next;
    } else {
        err = cut(pool, size_class, stack);
    }
    pthread_mutex_unlock(&pool->lock);
    return err;
}

/* With the memory goes the coroutine that rested there. Its sanitizer's state could not follow, so
 * that under one all stacks stay warm. */
static void cool(struct kf__stack *stack)
{
    (void)madvise(stack->low, stack->size, MADV_DONTNEED);
    stack->sp = NULL;
}

void kf__stack_give(struct kf__stack_pool *pool, struct kf__stack *stack)
{
    struct size_class *class = &pool->classes[stack->size_class];
    pthread_mutex_lock(&pool->lock);
    bool keep = class->warm_count < WARM;
#if defined(KF__ASAN) || defined(KF__TSAN)
    keep = true;
#endif
    if (keep) {
        stack->next = class->warm;
        class->warm = stack;
        class->warm_count++;
    }
    pthread_mutex_unlock(&pool->lock);
    if (keep)
        return;

    cool(stack);
    pthread_mutex_lock(&pool->lock);
    stack->next = class->cold;
    class->cold = stack;
    pthread_mutex_unlock(&pool->lock);
}
