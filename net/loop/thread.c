/* thread: see thread.h. A thread inherits the mask of the one that starts it. */
#include "net/loop/thread.h"

#include "net/loop/world.h"

#include <signal.h>
#include <time.h>

static void block_signals(sigset_t *before)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    sigset_t blocked;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, before);
}

kf_err kf__thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument)
{
    sigset_t before;
    block_signals(&before);
    int failed = pthread_create(thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed ? KF_ERR_SYSTEM : KF_OK;
}

kf_err kf__thread_detach(void *(*run)(void *argument), void *argument)
{
    pthread_t thread;
    kf_err err = kf__thread_start(&thread, run, argument);
    if (!err)
        pthread_detach(thread);
    return err;
}

void kf__condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

bool kf__condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, kf_time deadline)
{
    if (deadline == KF_FOREVER)
        return pthread_cond_wait(condition, lock) == 0;
    if (deadline <= kf__real_world.now(NULL))
        return false;
    struct timespec until = {
        .tv_sec = (time_t)(deadline / KF_SECOND),
        .tv_nsec = (long)(deadline % KF_SECOND),
    };
    return pthread_cond_timedwait(condition, lock, &until) == 0;
}
