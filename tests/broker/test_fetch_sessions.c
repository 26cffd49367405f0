#include "tools/broker/log/fetch_sessions.h"

#include "tools/broker/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static struct kf__fetch_sessions sessions;
static struct kf__fetch_session *session;

static const kf_time T0 = 1000 * KF_SECOND;

static void open_session(void)
{
    kf__fetch_sessions_init(&sessions, &kf_default_allocator, 1);
    session = kf__fetch_session_new(&sessions, false, 1, T0);
}

static void close_sessions(void) { kf__fetch_sessions_free(&sessions); }

TestSuite(fetch_sessions, .init = open_session, .fini = close_sessions);

enum {
    MOST = 100000
};

/* Partitions from `first` on of a topic; offset `offset` in all of them. */
static void ask(const char *topic, int32_t first, int32_t count, int64_t offset, int32_t forgets)
{
    static struct kf_fetch_request_fetch_partition partitions[MOST];
    static int32_t forgotten[MOST];
    struct kf_fetch_request request;
    struct kf_fetch_request_fetch_topic asked = {.topic = kf__text(topic)};
    struct kf_fetch_request_forgotten_topic gone = {.topic = kf__text(topic)};
    kf_reset(&kf_schema_of_fetch_request, &request);
    for (int32_t i = 0; i < count; i++)
        partitions[i] = (struct kf_fetch_request_fetch_partition){.partition = first + i,
                                                                  .fetch_offset = offset};
    for (int32_t i = 0; i < forgets; i++)
        forgotten[i] = i;
    asked.partitions.items = partitions;
    asked.partitions.count = count;
    gone.partitions.items = forgotten;
    gone.partitions.count = forgets;
    request.topics.items = &asked;
    request.topics.count = 1;
    request.forgotten_topics_data.items = &gone;
    request.forgotten_topics_data.count = forgets > 0;
    cr_assert(eq(int, kf__fetch_session_update(&sessions, session, &request), KF_OK));
}

Test(fetch_sessions, keep_the_order_and_take_the_last_offset)
{
    ask("a", 0, 3, 5, 0);
    ask("b", 1, 1, 6, 0);
    ask("a", 1, 1, 7, 0);
    cr_assert(eq(sz, session->count, 4));
    cr_assert(eq(i64, session->items[0].fetch_offset, 5));
    cr_assert(eq(i64, session->items[1].fetch_offset, 7));
    cr_assert(eq(i64, session->items[2].fetch_offset, 5));
    cr_assert(eq(i64, session->items[3].fetch_offset, 6));
}

/* More clients than sessions: those that come last do without, the others are not disturbed. */
Test(fetch_sessions, make_room_only_where_nobody_misses_them)
{
    int32_t first = session->id;
    sessions.most = 2;
    struct kf__fetch_session *large = kf__fetch_session_new(&sessions, false, 9, T0);
    int32_t second = large->id;
    cr_assert(eq(ptr, kf__fetch_session_new(&sessions, false, 9, T0 + 119 * KF_SECOND), NULL));
    kf__fetch_session_advance(session, T0 + 120 * KF_SECOND);
    kf__fetch_session_advance(large, T0 + 100 * KF_SECOND);

    /* All are in use; the first is old, and smaller than the new one. */
    cr_assert(eq(ptr, kf__fetch_session_new(&sessions, false, 0, T0 + 121 * KF_SECOND), NULL));
    cr_assert(ne(ptr, kf__fetch_session_new(&sessions, false, 5, T0 + 121 * KF_SECOND), NULL));
    cr_assert(eq(ptr, kf__fetch_session_find(&sessions, first), NULL));

    /* The second has not been used for two minutes. */
    cr_assert(ne(ptr, kf__fetch_session_find(&sessions, second), NULL));
    cr_assert(ne(ptr, kf__fetch_session_new(&sessions, false, 1, T0 + 221 * KF_SECOND), NULL));
    cr_assert(eq(ptr, kf__fetch_session_find(&sessions, second), NULL));

    sessions.most = 0;
    cr_assert(eq(ptr, kf__fetch_session_new(&sessions, false, 1, T0 + 221 * KF_SECOND), NULL));
}

Test(fetch_sessions, forget_what_they_are_told_to)
{
    ask("a", 0, 5, 1, 0);
    ask("b", 0, 1, 1, 0);
    ask("a", 4, 0, 1, 4);
    cr_assert(eq(sz, session->count, 2));
    cr_assert(eq(i32, session->items[0].partition, 4));
    cr_assert(kf__text_equal(session->items[1].topic, kf__text("b")));
    ask("a", 0, 1, 9, 1); /* named and forgotten at once: gone */
    cr_assert(eq(sz, session->count, 2));
}

Test(fetch_sessions, put_the_served_ones_behind_the_others)
{
    ask("a", 0, 5, 1, 0);
    session->items[0].marked = session->items[3].marked = true;
    kf__fetch_session_rotate(&sessions, session);
    static const int32_t order[] = {1, 2, 4, 0, 3};
    for (size_t i = 0; i < 5; i++) {
        cr_assert(eq(i32, session->items[i].partition, order[i]));
        cr_assert(not(session->items[i].marked));
    }
}

/* Looking for each among all would take minutes. */
Test(fetch_sessions, take_a_hundred_thousand_partitions_at_once)
{
    ask("a", 0, MOST, 1, 0);
    cr_assert(eq(sz, session->count, MOST));
    ask("a", 0, MOST, 2, 0);
    cr_assert(eq(sz, session->count, MOST));
    cr_assert(eq(i64, session->items[MOST - 1].fetch_offset, 2));
    for (size_t i = 0; i < session->count; i++)
        session->items[i].marked = i % 2 == 0;
    kf__fetch_session_rotate(&sessions, session);
    cr_assert(eq(i32, session->items[0].partition, 1));
    ask("a", 0, 0, 0, MOST);
    cr_assert(eq(sz, session->count, 0));
}
