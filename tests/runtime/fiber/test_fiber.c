#include "net/loop/loop.h"
#include "runtime/fiber/fiber.h"
#include "runtime/fiber/sanitizer.h"
#include "runtime/fiber/sched.h"
#include <criterion/criterion.h>
#include <fenv.h>
#include <kafiber/fiber.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Registers, depth and threads are in tests/threads/fiber_basic.c, which runs everywhere. */

static struct kf__stack_pool *pool;

static void open_pool(void)
{
    cr_assert_eq(kf__stack_pool_new(&kf_default_allocator, &pool), KF_OK);
}

static void close_pool(void) { kf__stack_pool_free(pool); }

TestSuite(fiber, .init = open_pool, .fini = close_pool);

static void count_twice(struct kf__fiber *fiber)
{
    int *count = fiber->owner;
    ++*count;
    kf__fiber_suspend(fiber);
    ++*count;
}

Test(fiber, runs_until_it_suspends_then_to_its_end)
{
    struct kf__fiber fiber;
    int count = 0;
    cr_assert_eq(kf__fiber_start(&fiber, pool, 65536, count_twice, &count), KF_OK);
    cr_assert_eq(count, 0);
    cr_assert_not(kf__fiber_enter(&fiber, pool));
    cr_assert_eq(count, 1);
    cr_assert_not_null(fiber.stack);
    cr_assert(kf__fiber_enter(&fiber, pool));
    cr_assert_eq(count, 2);
    cr_assert_null(fiber.stack);
    cr_assert_eq(kf__fiber_stack_bytes(&fiber), 0);
}

Test(fiber, a_stack_serves_one_fiber_after_the_other)
{
    struct kf__fiber fiber;
    int count = 0;
    for (int i = 0; i < 100000; i++) {
        cr_assert_eq(kf__fiber_start(&fiber, pool, 65536, count_twice, &count), KF_OK);
        cr_assert_not(kf__fiber_enter(&fiber, pool));
        cr_assert(kf__fiber_enter(&fiber, pool));
    }
    cr_assert_eq(count, 200000);
}

static void enter_another(struct kf__fiber *fiber)
{
    struct kf__fiber *inner = fiber->owner;
    cr_assert_eq(kf__fiber_current(), fiber);
    cr_assert_not(kf__fiber_enter(inner, pool));
    cr_assert_eq(kf__fiber_current(), fiber);
    cr_assert(kf__fiber_enter(inner, pool));
    cr_assert_eq(kf__fiber_current(), fiber);
}

Test(fiber, fibers_nest)
{
    struct kf__fiber outer, inner;
    int count = 0;
    cr_assert_eq(kf__fiber_start(&inner, pool, 65536, count_twice, &count), KF_OK);
    cr_assert_eq(kf__fiber_start(&outer, pool, 65536, enter_another, &inner), KF_OK);
    cr_assert(kf__fiber_enter(&outer, pool));
    cr_assert_eq(count, 2);
    cr_assert_null(kf__fiber_current());
}

static void round_upward(struct kf__fiber *fiber)
{
    int *mode = fiber->owner;
    *mode = fegetround();
    fesetround(FE_UPWARD);
    kf__fiber_suspend(fiber);
    cr_assert_eq(fegetround(), FE_UPWARD);
}

Test(fiber, rounding_mode_stays_with_the_fiber)
{
    struct kf__fiber fiber;
    int mode = -1;
    cr_assert_eq(kf__fiber_start(&fiber, pool, 65536, round_upward, &mode), KF_OK);
    fesetround(FE_TOWARDZERO);
    cr_assert_not(kf__fiber_enter(&fiber, pool));
    cr_assert_eq(fegetround(), FE_TOWARDZERO);
    cr_assert(kf__fiber_enter(&fiber, pool));
    cr_assert_eq(fegetround(), FE_TOWARDZERO);
    cr_assert_eq(mode, FE_TONEAREST);
}

Test(fiber, knows_its_guard)
{
    struct kf__fiber fiber;
    int count = 0;
    cr_assert_eq(kf__fiber_start(&fiber, pool, 65536, count_twice, &count), KF_OK);
    const char *top = fiber.sp;
    cr_assert_not(kf__fiber_guard_hit(&fiber, top));
    cr_assert_not(kf__fiber_guard_hit(&fiber, top - 60000));
    cr_assert(kf__fiber_guard_hit(&fiber, top - kf__fiber_stack_bytes(&fiber)));
    cr_assert_not(kf__fiber_guard_hit(&fiber, top - 2 * kf__fiber_stack_bytes(&fiber)));
    kf__fiber_enter(&fiber, pool);
    kf__fiber_enter(&fiber, pool);
}

/* ---- the overflow reporter, in a child process ---- */

struct overflowing {
    struct kf__activation activation; /* first */
    bool in_child;
};

static int go_down(int depth)
{
    volatile char frame[300];
    frame[0] = (char)depth;
    return depth == INT32_MAX ? 0 : go_down(depth + 1) + frame[0];
}

static kf_err overflow(void *context)
{
    (void)context;
    return (kf_err)go_down(0);
}

static void run_overflow(struct kf__activation *activation)
{
    struct overflowing *self = (struct overflowing *)(void *)activation;
    kf_fiber *child;
    if (!self->in_child)
        overflow(NULL);
    else if (kf_spawn(overflow, NULL, &child) == KF_OK)
        kf_join(child);
}

static const char *describe(struct kf__activation *activation, char *text, size_t size)
{
    (void)activation;
    static const char what[] = "topic orders partition 3 offset 42";
    cr_assert_geq(size, sizeof what);
    return memcpy(text, what, sizeof what);
}

static void overflow_in_sched(bool in_child, bool reporter)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGSEGV, SIG_DFL);
    struct kf__loop *loop;
    struct kf__sched *sched;
    struct kf__sched_settings settings = {.workers = 1, .workers_max = 1, .stack_bytes = 65536};
    if (kf__loop_open(&kf_default_allocator, &kf__real_world, KF__BACKEND_AUTO, &loop) ||
        kf__sched_open(loop, &settings, &sched) || (reporter && kf__overflow_reporter_install()))
        _exit(3);
    struct overflowing unit = {.in_child = in_child};
    kf__activation_init(&unit.activation, sched, run_overflow, NULL);
    unit.activation.describe = describe;
    kf__sched_ready(sched, &unit.activation);
    for (;;)
        kf__loop_turn(loop, KF_FOREVER);
}

static int overflow_in_process(bool in_child, bool reporter, char *text, size_t size)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        overflow_in_sched(in_child, reporter);
    }
    close(ends[1]);
    size_t used = 0;
    for (ssize_t got; (got = read(ends[0], text + used, size - 1 - used)) > 0;)
        used += (size_t)got;
    text[used] = '\0';
    close(ends[0]);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    return status;
}

#ifdef KF__ASAN
#define STACK_BYTES "262144"
#else
#define STACK_BYTES "65536"
#endif

Test(overflow, names_the_handler_and_dies_by_the_signal)
{
    char text[512];
    int status = overflow_in_process(false, true, text, sizeof text);
    cr_assert_str_eq(text, "kafiber: handler overflowed its stack of " STACK_BYTES
                           " bytes: topic orders partition 3 offset 42\n");
    cr_assert(WIFSIGNALED(status));
    cr_assert_eq(WTERMSIG(status), SIGSEGV);
}

Test(overflow, of_a_child_fiber_names_its_parents_record)
{
    char text[512];
    int status = overflow_in_process(true, true, text, sizeof text);
    cr_assert_str_eq(text, "kafiber: handler overflowed its stack of " STACK_BYTES
                           " bytes: topic orders partition 3 offset 42\n");
    cr_assert(WIFSIGNALED(status));
}

Test(overflow, without_the_reporter_is_silent_and_dies_all_the_same)
{
    char text[512];
    int status = overflow_in_process(false, false, text, sizeof text);
    cr_assert_str_eq(text, "");
    cr_assert(WIFSIGNALED(status));
    cr_assert_eq(WTERMSIG(status), SIGSEGV);
}

/* A fault elsewhere is not ours: no line, and the earlier handler gets it. */
static void leave_with_9(int signal_number)
{
    (void)signal_number;
    _exit(9);
}

Test(overflow, other_faults_go_to_who_was_there_before)
{
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, leave_with_9);
        if (kf__overflow_reporter_install() == KF_OK)
            raise(SIGSEGV);
        _exit(1);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 9);
}
