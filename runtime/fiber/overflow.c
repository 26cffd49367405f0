/*
 * overflow: says which handler overflowed its stack before the process dies.
 *
 * A fault in the guard of the running fiber's stack becomes one line on
 * stderr; then what was installed before goes on, or the default action, so
 * that the process still dies by the signal. It can't run on the stack that
 * is full: each worker has a stack for signals. Only kf_runtime_run installs
 * it. Everything here but the installing is async-signal-safe.
 */
#include "runtime/fiber/sched_run.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum {
    SIGNAL_STACK_BYTES = 64 * 1024, /* wide vector registers alone take 11 KiB */
    LINE_BYTES = 512,
};

static struct sigaction before_segv;
static struct sigaction before_bus;

struct line {
    char text[LINE_BYTES];
    size_t used;
};

static void add(struct line *line, const char *text)
{
    while (*text && line->used < sizeof line->text - 1)
        line->text[line->used++] = *text++;
}

static void add_number(struct line *line, size_t number)
{
    char digits[24];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do
        digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    add(line, digits + at);
}

static void report(const struct kf__fiber *fiber)
{
    struct line line = {.used = 0};
    add(&line, "kafiber: handler overflowed its stack of ");
    add_number(&line, kf__fiber_stack_bytes(fiber));
    add(&line, " bytes");

    struct kf__activation *activation = kf__activation_current();
    char text[LINE_BYTES / 2];
    const char *what = activation && activation->describe
                           ? activation->describe(activation, text, sizeof text)
                           : NULL;
    if (what) {
        add(&line, ": ");
        add(&line, what);
    }
    add(&line, "\n");
    ssize_t ignored = write(STDERR_FILENO, line.text, line.used);
    (void)ignored;
}

/* What faulted is executed again after this returns, and then meets the action set here. */
static void chain(int signal_number, siginfo_t *info, void *context)
{
    const struct sigaction *before = signal_number == SIGBUS ? &before_bus : &before_segv;
    if (before->sa_flags & SA_SIGINFO) {
        before->sa_sigaction(signal_number, info, context);
    } else if (before->sa_handler == SIG_DFL || before->sa_handler == SIG_IGN) {
        struct sigaction by_default;
        memset(&by_default, 0, sizeof by_default);
        by_default.sa_handler = SIG_DFL;
        sigaction(signal_number, &by_default, NULL);
    } else {
        before->sa_handler(signal_number);
    }
}

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    int saved = errno;
    const struct kf__fiber *fiber = kf__fiber_current();
    if (fiber && kf__fiber_guard_hit(fiber, info->si_addr))
        report(fiber);
    chain(signal_number, info, context);
    errno = saved;
}

/* A fault that is blocked kills without any handler. */
static void unblock_faults(void)
{
    sigset_t faults;
    sigemptyset(&faults);
    sigaddset(&faults, SIGSEGV);
    sigaddset(&faults, SIGBUS);
    sigaddset(&faults, SIGFPE);
    sigaddset(&faults, SIGILL);
    pthread_sigmask(SIG_UNBLOCK, &faults, NULL);
}

void *kf__overflow_thread_begin(const kf_allocator *alloc)
{
    unblock_faults();
    stack_t present;
    if (sigaltstack(NULL, &present) != 0 || !(present.ss_flags & SS_DISABLE))
        return NULL;
    stack_t own;
    memset(&own, 0, sizeof own);
    own.ss_size = SIGNAL_STACK_BYTES;
    own.ss_sp = kf_alloc(alloc, own.ss_size);
    if (!own.ss_sp)
        return NULL;
    if (sigaltstack(&own, NULL) != 0) {
        kf_free(alloc, own.ss_sp);
        return NULL;
    }
    return own.ss_sp;
}

void kf__overflow_thread_end(const kf_allocator *alloc, void *signal_stack)
{
    if (!signal_stack)
        return;
    stack_t none;
    memset(&none, 0, sizeof none);
    none.ss_flags = SS_DISABLE;
    none.ss_size = SIGNAL_STACK_BYTES; /* some systems look at it even so */
    sigaltstack(&none, NULL);
    kf_free(alloc, signal_stack);
}

static kf_err install(int signal_number, struct sigaction *before)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigfillset(&action.sa_mask);
    sigdelset(&action.sa_mask, signal_number);
    return sigaction(signal_number, &action, before) == 0 ? KF_OK : KF_ERR_SYSTEM;
}

kf_err kf__overflow_reporter_install(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool installed;
    kf_err err = KF_OK;
    pthread_mutex_lock(&lock);
    if (!installed) {
        err = install(SIGSEGV, &before_segv);
        if (!err)
            err = install(SIGBUS, &before_bus);
        installed = !err;
    }
    pthread_mutex_unlock(&lock);
    return err;
}
