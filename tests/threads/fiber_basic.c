/*
 * fiber_basic: fibers by themselves, without scheduler or test framework, so
 * that it runs where those don't: emulated processors, musl, Valgrind, the
 * thread sanitizer. Prints the cost of a switch; exit code 0 is success.
 */
#include "tests/check.h"

#include "runtime/fiber/fiber.h"
#include <fenv.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct kf__stack_pool *pool;

/* More live values than there are registers that a call preserves. */
static void keep_registers(struct kf__fiber *fiber)
{
    long *result = fiber->owner;
    long seed = *result;
    long a = seed, b = seed + 1, c = seed + 2, d = seed + 3, e = seed + 4, f = seed + 5;
    long g = seed + 6, h = seed + 7, i = seed + 8, j = seed + 9, k = seed + 10;
    double p = (double)seed, q = p + 1, r = p + 2, s = p + 3, t = p + 4, u = p + 5;
    double v = p + 6, w = p + 7, x = p + 8;
    for (int round = 0; round < 3; round++) {
        kf__fiber_suspend(fiber);
        a += b, b += c, c += d, d += e, e += f, f += g, g += h, h += i, i += j, j += k, k += a;
        p += q, q += r, r += s, s += t, t += u, u += v, v += w, w += x, x += p;
    }
    *result = a + b + c + d + e + f + g + h + i + j + k + (long)(p + q + r + s + t + u + v + w + x);
}

static long expected(long seed)
{
    long n[11];
    double z[9];
    for (int i = 0; i < 11; i++)
        n[i] = seed + i;
    for (int i = 0; i < 9; i++)
        z[i] = (double)(seed + i);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 11; i++)
            n[i] += n[(i + 1) % 11];
        for (int i = 0; i < 9; i++)
            z[i] += z[(i + 1) % 9];
    }
    long sum = 0;
    double real = 0;
    for (int i = 0; i < 11; i++)
        sum += n[i];
    for (int i = 0; i < 9; i++)
        real += z[i];
    return sum + (long)real;
}

static void registers_survive(void)
{
    enum {
        COUNT = 50
    };
    struct kf__fiber fibers[COUNT];
    long results[COUNT];
    for (int i = 0; i < COUNT; i++) {
        results[i] = i * 1000;
        CHECK(kf__fiber_start(&fibers[i], pool, 16384, keep_registers, &results[i]) == KF_OK);
    }
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < COUNT; i++)
            CHECK(!kf__fiber_enter(&fibers[i], pool));
    for (int i = 0; i < COUNT; i++) {
        CHECK(kf__fiber_enter(&fibers[i], pool));
        CHECK(fibers[i].stack == NULL);
        CHECK(results[i] == expected(i * 1000));
    }
}

#ifdef FE_UPWARD
static void round_upward(struct kf__fiber *fiber)
{
    int *modes = fiber->owner;
    modes[0] = fegetround();
    fesetround(FE_UPWARD);
    kf__fiber_suspend(fiber);
    modes[1] = fegetround();
    fesetround(FE_TONEAREST);
}

static void rounding_mode_belongs_to_the_fiber(void)
{
    struct kf__fiber fiber;
    int modes[2] = {-1, -1};
    CHECK(kf__fiber_start(&fiber, pool, 16384, round_upward, modes) == KF_OK);
    fesetround(FE_DOWNWARD);
    CHECK(!kf__fiber_enter(&fiber, pool));
    CHECK(fegetround() == FE_DOWNWARD);
    CHECK(kf__fiber_enter(&fiber, pool));
    CHECK(fegetround() == FE_DOWNWARD);
    fesetround(FE_TONEAREST);
#ifndef KAFIBER_SWITCH_UCONTEXT
    CHECK(modes[0] == FE_TONEAREST);
#endif
    CHECK(modes[1] == FE_UPWARD);
}
#endif

static int descend(int depth)
{
    volatile char frame[512];
    frame[0] = (char)depth;
    int below = depth > 0 ? descend(depth - 1) : 0;
    return below + (frame[0] == (char)depth);
}

static void go_deep(struct kf__fiber *fiber)
{
    int *depth = fiber->owner;
    *depth = descend(*depth);
}

static void deep_stacks_are_whole(void)
{
    struct kf__fiber fiber;
    int depth = 1500; /* some 800 KiB */
    CHECK(kf__fiber_start(&fiber, pool, 1 << 20, go_deep, &depth) == KF_OK);
    CHECK(kf__fiber_stack_bytes(&fiber) >= 1 << 20);
    CHECK(kf__fiber_enter(&fiber, pool));
    CHECK(depth == 1501);
}

static void note_current(struct kf__fiber *fiber)
{
    int *right = fiber->owner;
    *right += kf__fiber_current() == fiber;
    kf__fiber_suspend(fiber);
    *right += kf__fiber_current() == fiber;
    kf__fiber_suspend(fiber);
    *right += kf__fiber_current() == fiber;
}

static void *enter_elsewhere(void *argument)
{
    struct kf__fiber *fiber = argument;
    CHECK(kf__fiber_current() == NULL);
    CHECK(!kf__fiber_enter(fiber, pool));
    CHECK(kf__fiber_current() == NULL);
    return NULL;
}

static void fibers_move_between_threads(void)
{
    struct kf__fiber fiber;
    int right = 0;
    CHECK(kf__fiber_start(&fiber, pool, 16384, note_current, &right) == KF_OK);
    CHECK(!kf__fiber_enter(&fiber, pool));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, enter_elsewhere, &fiber) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(kf__fiber_enter(&fiber, pool));
    CHECK(right == 3);
    CHECK(kf__fiber_current() == NULL);
}

static void suspend_once(struct kf__fiber *fiber)
{
    int *count = fiber->owner;
    char text[256];
    snprintf(text, sizeof text, "fiber %d", *count);
    ++*count;
    kf__fiber_suspend(fiber);
    CHECK(strncmp(text, "fiber ", 6) == 0);
    --*count;
}

static void many_at_a_time(size_t many)
{
    struct kf__fiber *fibers = calloc(many, sizeof *fibers);
    CHECK(fibers);
    int count = 0;
    for (size_t i = 0; i < many; i++) {
        CHECK(kf__fiber_start(&fibers[i], pool, 65536, suspend_once, &count) == KF_OK);
        CHECK(!kf__fiber_enter(&fibers[i], pool));
    }
    CHECK(count == (int)many);
    for (size_t i = 0; i < many; i++)
        CHECK(kf__fiber_enter(&fibers[i], pool));
    CHECK(count == 0);
    free(fibers);
}

static void switch_for_ever(struct kf__fiber *fiber)
{
    const bool *stop = fiber->owner;
    while (!*stop)
        kf__fiber_suspend(fiber);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The best of many short rounds: the machine has others to serve. */
static void measure(int rounds)
{
    struct kf__fiber fiber;
    bool stop = false;
    double best = 1;
    CHECK(kf__fiber_start(&fiber, pool, 16384, switch_for_ever, &stop) == KF_OK);
    for (int round = 0; round < rounds; round++) {
        const int entries = 10000;
        double begin = seconds();
        for (int i = 0; i < entries; i++)
            CHECK(!kf__fiber_enter(&fiber, pool));
        double each = (seconds() - begin) / entries / 2;
        best = each < best ? each : best;
    }
    stop = true;
    CHECK(kf__fiber_enter(&fiber, pool));
    printf("%.1f ns for each switch\n", best * 1e9);
}

int main(int argc, char **argv)
{
    size_t many = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    CHECK(kf__stack_pool_new(&kf_default_allocator, &pool) == KF_OK);
    registers_survive();
#ifdef FE_UPWARD
    rounding_mode_belongs_to_the_fiber();
#endif
    deep_stacks_are_whole();
    fibers_move_between_threads();
    many_at_a_time(many);
    many_at_a_time(many);
    measure(100);
    kf__stack_pool_free(pool);
    return 0;
}
