#include "net/loop/thread.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <signal.h>

TestSuite(thread);

static void *take_mask(void *mask)
{
    pthread_sigmask(SIG_SETMASK, NULL, mask);
    return mask;
}

Test(thread, blocks_the_programs_signals_and_not_the_faults_of_its_own)
{
    sigset_t before, its, after;
    pthread_t thread;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    cr_assert(eq(int, kf__thread_start(&thread, take_mask, &its), KF_OK));
    pthread_join(thread, NULL);
    for (int number = 1; number < 32; number++) {
        bool fault = number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL;
        if (number != SIGKILL && number != SIGSTOP)
            cr_assert(eq(int, sigismember(&its, number), !fault), "signal %d", number);
    }
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int number = 1; number < 32; number++)
        cr_assert(eq(int, sigismember(&after, number), sigismember(&before, number)));
}
