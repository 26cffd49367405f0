/*
 * fiber: enters and leaves functions that run on stacks of their own.
 *
 *      thread's stack                fiber's stack
 *   kf__fiber_enter ──switch──▶ coroutine: run(fiber) … kf__fiber_suspend
 *   kf__fiber_enter ◀──────────────────switch───────────────────┘
 *
 * What runs on a stack is an endless coroutine: when a fiber ends, its
 * coroutine rests at the end of its loop and the stack goes to the pool with
 * it; the next fiber enters there. So what the sanitizers know of a stack
 * (call depth, fake frames) stays true from one fiber to the next. Knows no
 * queue and no thread; sched.c decides who is entered, and where.
 */
#include "runtime/fiber/fiber.h"

#include "runtime/fiber/sanitizer.h"
#include "runtime/fiber/stack.h"
#include "runtime/fiber/switch.h"
#include <assert.h>

#if defined(__GNUC__) && !defined(__clang__)
#define NEVER_INLINED __attribute__((noipa))
#elif defined(__GNUC__)
#define NEVER_INLINED __attribute__((noinline))
#else
#define NEVER_INLINED
#endif

/* Initial-exec: no hidden call, so that a signal handler may look too. */
#if defined(__GNUC__) && defined(__ELF__)
__attribute__((tls_model("initial-exec")))
#endif
static _Thread_local struct kf__fiber *current;

/*
 * The only two functions that know a thread-local address. A compiler that
 * inlined them could keep the address across a switch, and then write to the
 * thread where the fiber was before.
 */
NEVER_INLINED struct kf__fiber *kf__fiber_current(void)
{
    struct kf__fiber *fiber = current;
#if defined(__GNUC__)
    __asm__ volatile("" ::: "memory");
#endif
    return fiber;
}

NEVER_INLINED static void set_current(struct kf__fiber *fiber)
{
#if defined(__GNUC__)
    __asm__ volatile("" ::: "memory");
#endif
    current = fiber;
}

/* On the fiber's stack, right after a switch to it. */
static void arrived(struct kf__fiber *fiber)
{
#ifdef KF__ASAN
    __sanitizer_finish_switch_fiber(fiber->asan_fake, &fiber->asan_back_bottom,
                                    &fiber->asan_back_size);
#else
    (void)fiber;
#endif
}

/* From the fiber's stack to the thread's. Returns the fiber that is entered next on this stack: the
 * same one, unless it had ended. */
static struct kf__fiber *leave(struct kf__fiber *fiber)
{
#ifdef KF__ASAN
    __sanitizer_start_switch_fiber(&fiber->asan_fake, fiber->asan_back_bottom,
                                   fiber->asan_back_size);
#endif
#ifdef KF__TSAN
    __tsan_switch_to_fiber(fiber->tsan_back, 0);
#endif
    struct kf__fiber *entered = kf__switch(&fiber->sp, fiber->back, NULL);
    arrived(entered);
    return entered;
}

static void coroutine(void *argument)
{
    struct kf__fiber *fiber = argument;
    arrived(fiber);
    for (;;) {
        fiber->run(fiber);
        fiber->finished = true;
        fiber = leave(fiber);
    }
}

kf_err kf__fiber_start(struct kf__fiber *fiber, struct kf__stack_pool *pool, size_t stack_bytes,
                       void (*run)(struct kf__fiber *fiber), void *owner)
{
    struct kf__stack *stack;
    kf_err err = kf__stack_take(pool, stack_bytes, &stack);
    if (err)
        return err;
    *fiber = (struct kf__fiber){.stack = stack, .run = run, .owner = owner};
    if (!stack->sp)
        stack->sp = kf__switch_prepare(stack->low + stack->size, coroutine);
    fiber->sp = stack->sp;
    fiber->asan_fake = stack->asan_fake;
#ifdef KF__TSAN
    if (!stack->tsan_fiber)
        stack->tsan_fiber = __tsan_create_fiber(0);
    fiber->tsan_fiber = stack->tsan_fiber;
#endif
    return KF_OK;
}

static void switch_to(struct kf__fiber *fiber)
{
#ifdef KF__ASAN
    const struct kf__stack *stack = fiber->stack;
    void *fake = NULL;
    __sanitizer_start_switch_fiber(&fake, stack->low, stack->size);
#endif
#ifdef KF__TSAN
    fiber->tsan_back = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber->tsan_fiber, 0);
#endif
    kf__switch(&fiber->back, fiber->sp, fiber);
#ifdef KF__ASAN
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
}

bool kf__fiber_enter(struct kf__fiber *fiber, struct kf__stack_pool *pool)
{
    assert(fiber->stack && !fiber->finished);
    struct kf__fiber *outer = kf__fiber_current();
    set_current(fiber);
    fiber->entered = true;
    switch_to(fiber);
    fiber->entered = false;
    set_current(outer);
    if (!fiber->finished)
        return false;

    struct kf__stack *stack = fiber->stack;
    stack->sp = fiber->sp;
    stack->asan_fake = fiber->asan_fake;
    fiber->stack = NULL;
    kf__stack_give(pool, stack);
    return true;
}

void kf__fiber_suspend(struct kf__fiber *fiber)
{
    assert(fiber->entered);
    struct kf__fiber *again = leave(fiber);
    assert(again == fiber);
    (void)again;
}

bool kf__fiber_guard_hit(const struct kf__fiber *fiber, const void *address)
{
    const struct kf__stack *stack = fiber->stack;
    const uint8_t *at = address;
    return stack && at >= stack->low - stack->guard && at < stack->low;
}

size_t kf__fiber_stack_bytes(const struct kf__fiber *fiber)
{
    const struct kf__stack *stack = fiber->stack;
    return stack ? stack->size : 0;
}
