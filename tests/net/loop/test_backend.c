/* What is particular to the back-ends: hang-ups, and slots that are used again. */
#include "net/loop/backend.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SLOT = 3,
    MOST_NEWS = 8,
};

static struct {
    uint32_t slot, generation;
    int events;
} news[MOST_NEWS];
static int news_count;

static const enum kf__backend backends[] = {KF__BACKEND_AUTO, KF__BACKEND_POLL};
#define FOR_BOTH(i) for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)

static const struct kf__backend_table *table;
static void *state;
static int pair[2];

static void open_pair(enum kf__backend backend)
{
    table = kf__backend_of(backend);
    cr_assert(eq(int, table->open(&kf_default_allocator, NULL, &state), KF_OK));
    cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0));
}

static void close_pair(void)
{
    table->close(state);
    close(pair[0]);
}

static void want(uint32_t generation, int before, int now)
{
    cr_assert(eq(int, table->want(state, SLOT, generation, pair[0], before, now), KF_OK));
}

static void take_news(void *context, uint32_t slot, uint32_t generation, int events)
{
    cr_assert(eq(ptr, context, news));
    cr_assert(lt(int, news_count, MOST_NEWS));
    news[news_count].slot = slot;
    news[news_count].generation = generation;
    news[news_count++].events = events;
}

/* How much there is. */
static int look(void)
{
    news_count = 0;
    cr_assert(eq(int, table->wait(state, 0), KF_OK));
    table->dispatch(state, take_news, news);
    return news_count;
}

Test(backend, tells_of_a_hang_up_where_nothing_else_is_wanted)
{
    FOR_BOTH(i)
    {
        open_pair(backends[i]);
        want(7, 0, KF__HANGUP);
        cr_assert(eq(i64, write(pair[1], "x", 1), 1));
        cr_assert(eq(int, look(), 0));
        close(pair[1]);
        cr_assert(eq(int, look(), 1));
        cr_assert(eq(u32, news[0].slot, SLOT));
        cr_assert(eq(u32, news[0].generation, 7));
        cr_assert(eq(int, news[0].events, KF__READABLE | KF__WRITABLE | KF__HANGUP));
        want(7, KF__HANGUP, 0);
        cr_assert(eq(int, look(), 0));
        close_pair();
    }
}

Test(backend, tells_what_is_wanted_now_under_the_generation_of_now)
{
    FOR_BOTH(i)
    {
        open_pair(backends[i]);
        want(1, 0, KF__WRITABLE | KF__HANGUP);
        cr_assert(eq(int, look(), 1));
        cr_assert(eq(int, news[0].events, KF__WRITABLE));
        want(1, KF__WRITABLE | KF__HANGUP, KF__READABLE | KF__HANGUP);
        cr_assert(eq(int, look(), 0));
        want(1, KF__READABLE | KF__HANGUP, 0);
        want(2, 0, KF__READABLE | KF__HANGUP);
        cr_assert(eq(i64, write(pair[1], "x", 1), 1));
        cr_assert(eq(int, look(), 1));
        cr_assert(eq(u32, news[0].generation, 2));
        cr_assert(eq(int, news[0].events, KF__READABLE));
        close(pair[1]);
        close_pair();
    }
}

Test(backend, is_missing_where_the_system_has_none)
{
#if defined(__linux__)
    cr_assert(eq(ptr, (void *)(uintptr_t)kf__backend_of(KF__BACKEND_AUTO),
                 (void *)(uintptr_t)kf__backend_of(KF__BACKEND_EPOLL)));
#else
    cr_assert(eq(ptr, (void *)(uintptr_t)kf__backend_of(KF__BACKEND_EPOLL), NULL));
#endif
    cr_assert(ne(ptr, (void *)(uintptr_t)kf__backend_of(KF__BACKEND_POLL), NULL));
}
