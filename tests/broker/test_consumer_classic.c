#include "tools/broker/group/consumer_classic.h"

#include "tools/broker/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>

/* What an asker was told; `count` 0: nothing yet. */
struct told {
    int count;
    kf_err error;
    int32_t generation;
    char member[80];
    uint8_t assignment[80];
    size_t size;
};

static struct kf__topics topics;
static struct kf__coordinator classic;
static struct kf__consumers consumers;
static struct kf__consumer_settings settings;
static struct kf__beat_answer answer;
static const kf_time T0 = 1000 * KF_SECOND;

static void on_joined(void *context, void *token, const struct kf__joined *joined)
{
    (void)context;
    struct told *told = token;
    told->count++;
    told->error = joined->error;
    told->generation = joined->generation;
    snprintf(told->member, sizeof told->member, "%.*s", (int)joined->member_id.size,
             joined->member_id.data);
}

static void on_synced(void *context, void *token, const struct kf__synced *synced)
{
    (void)context;
    struct told *told = token;
    told->count++;
    told->error = synced->error;
    told->size = synced->assignment.size;
    if (told->size > 0)
        memcpy(told->assignment, synced->assignment.data, told->size);
}

static void tell_settings(void *context, kf_string group, struct kf__consumer_settings *told)
{
    (void)context;
    (void)group;
    *told = settings;
}

static void open_all(void)
{
    struct kf__group_sink sink = {.joined = on_joined, .synced = on_synced};
    settings = (struct kf__consumer_settings){.session_timeout = 45 * KF_SECOND,
                                              .max_size = 100,
                                              .classic_max_size = 100,
                                              .migration = KF__MIGRATE_UP | KF__MIGRATE_DOWN};
    kf__broker_topics_init(&topics, &kf_default_allocator, 1, 7);
    kf__topics_create(&topics, kf__text("t"), 4, 1, NULL);
    kf__coordinator_init(&classic, &kf_default_allocator, sink);
    kf__consumers_init(&consumers, &kf_default_allocator, &topics, &classic);
    consumers.settings = tell_settings;
}

static void close_all(void)
{
    kf__consumers_free(&consumers);
    kf__coordinator_free(&classic);
    kf__broker_topics_free(&topics);
}

TestSuite(consumer_classic, .init = open_all, .fini = close_all, .timeout = 60);

/* Version 1: topic "t", no user data, what is owned of it. */
static const uint8_t owns_nothing[] = {0,    1,    0,    0,    0, 1, 0, 1, 't',
                                       0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0};
static const uint8_t owns_01[] = {0, 1, 0, 0,   0, 1, 0, 1, 't', 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0,
                                  1, 0, 1, 't', 0, 0, 0, 2, 0,   0,    0,    0,    0,    0, 0, 1};
/* Of an assignment. */
static const uint8_t all_four[] = {0, 1, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 4,    0,    0,    0,   0,
                                   0, 0, 0, 1, 0, 0, 0, 2, 0,   0, 0, 3, 0xFF, 0xFF, 0xFF, 0xFF};
static const uint8_t first_two[] = {0, 1, 0, 0, 0, 1, 0, 1, 't',  0,    0,    0,   2,
                                    0, 0, 0, 0, 0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF};

static void join(const char *id, const uint8_t *metadata, size_t size, struct told *told)
{
    struct kf__group_protocol protocol = {.name = {"range", 5}, .metadata = {metadata, size}};
    struct kf__join asked = {.group = kf__text("g"),
                             .member_id = kf__text(id),
                             .client_id = kf__text("old"),
                             .client_host = kf__text("/127.0.0.1"),
                             .protocol_type = kf__text("consumer"),
                             .protocols = &protocol,
                             .protocol_count = 1,
                             .session_timeout = 10 * KF_SECOND,
                             .rebalance_timeout = 60 * KF_SECOND};
    if (!kf__consumers_join(&consumers, T0, &asked, told))
        kf__coordinator_join(&classic, T0, &asked, told);
}

static struct kf__member_claim claim(const struct told *who)
{
    return (struct kf__member_claim){
        .group = kf__text("g"), .member_id = kf__text(who->member), .generation = who->generation};
}

static void sync_with(const struct told *who, const uint8_t *assignment, size_t size,
                      struct told *told)
{
    struct kf__member_assignment one = {.member_id = kf__text(who->member),
                                        .assignment = {assignment, size}};
    struct kf__sync sync = {
        .who = claim(who), .assignments = &one, .assignment_count = assignment ? 1 : 0};
    if (!kf__consumers_sync(&consumers, T0, &sync, told))
        kf__coordinator_sync(&classic, T0, &sync, told);
}

static kf_err heartbeat(const struct told *who)
{
    struct kf__member_claim it = claim(who);
    kf_err err = KF_OK;
    if (!kf__consumers_heartbeat(&consumers, T0, &it, &err))
        err = kf__coordinator_heartbeat(&classic, T0, &it);
    return err;
}

static kf_err beat(const char *id, int32_t epoch)
{
    kf_string name = kf__text("t");
    struct kf__beat it = {.version = 1,
                          .group = kf__text("g"),
                          .member_id = kf__text(id),
                          .member_epoch = epoch,
                          .client_id = kf__text("new"),
                          .client_host = kf__text("/127.0.0.1"),
                          .rebalance_timeout_ms = epoch == 0 ? 60000 : -1,
                          .topics = &name,
                          .topic_count = epoch == 0 ? 1 : -1,
                          .owned_topics = 0};
    kf__consumers_beat(&consumers, T0, &it, &answer);
    return answer.error;
}

/* A classic group of one that has all partitions. */
static struct told classic_group(void)
{
    struct told joined = {0}, synced = {0};
    join("", owns_nothing, sizeof owns_nothing, &joined);
    cr_assert(eq(int, joined.error, KF_OK));
    sync_with(&joined, all_four, sizeof all_four, &synced);
    cr_assert(eq(int, synced.error, KF_OK));
    return joined;
}

static bool is_consumer_group(void)
{
    return kf__consumers_find(&consumers, kf__text("g")) != NULL;
}

Test(consumer_classic, a_classic_group_becomes_one_of_both)
{
    struct told old = classic_group(), again = {0}, synced = {0};
    cr_assert(eq(int, beat("new", 0), KF_OK));
    cr_assert(is_consumer_group());
    cr_assert(eq(sz, classic.group_count, 0));
    cr_assert(eq(i32, answer.member_epoch, 2));
    cr_assert(eq(sz, answer.assignment->count, 0), "the classic member has it all");

    cr_assert(eq(int, heartbeat(&old), KF_ERR_REBALANCE_IN_PROGRESS));
    join(old.member, owns_01, sizeof owns_01, &again);
    cr_assert(eq(int, again.count, 1), "nobody waits for anybody");
    cr_assert(eq(int, again.error, KF_OK));
    cr_assert(eq(i32, again.generation, 2));
    sync_with(&again, NULL, 0, &synced);
    cr_assert(eq(sz, synced.size, sizeof first_two));
    cr_assert(eq(int, memcmp(synced.assignment, first_two, sizeof first_two), 0));
    cr_assert(eq(int, heartbeat(&again), KF_OK));

    cr_assert(eq(int, beat("new", 2), KF_OK));
    cr_assert(eq(sz, answer.assignment->count, 2));
}

Test(consumer_classic, goes_back_when_the_last_new_member_leaves)
{
    struct told old = classic_group(), again = {0};
    beat("new", 0);
    cr_assert(eq(int, beat("new", KF__EPOCH_LEAVES), KF_OK));
    cr_assert(eq(int, is_consumer_group(), false));
    const struct kf__classic_group *group = kf__coordinator_find(&classic, kf__text("g"));
    cr_assert(eq(int, group->state, KF__GROUP_PREPARING));
    cr_assert(eq(str, (char *)group->members[0]->id.data, old.member));
    join(old.member, owns_nothing, sizeof owns_nothing, &again);
    cr_assert(eq(int, again.error, KF_OK));
    cr_assert(eq(i32, again.generation, 3), "the group epoch goes on as the generation");
}

Test(consumer_classic, stays_what_it_is_where_migration_is_off)
{
    struct told old = classic_group(), other = {0};
    settings.migration = KF__MIGRATE_NEVER;
    cr_assert(eq(int, beat("new", 0), KF_ERR_GROUP_ID_NOT_FOUND));
    cr_assert(eq(str, answer.why,
                 "Cannot upgrade classic group g to consumer group because online upgrade is "
                 "disabled."));
    cr_assert(eq(int, heartbeat(&old), KF_OK));
    cr_assert(eq(int, is_consumer_group(), false));

    settings.migration = KF__MIGRATE_UP;
    beat("new", 0);
    settings.migration = KF__MIGRATE_NEVER;
    join("", owns_nothing, sizeof owns_nothing, &other);
    cr_assert(eq(int, other.error, KF_ERR_INCONSISTENT_GROUP_PROTOCOL));
    beat("new", KF__EPOCH_LEAVES);
    cr_assert(is_consumer_group(), "and no way back");
}

Test(consumer_classic, does_not_take_what_it_cannot_read)
{
    struct told old = {0}, other = {0}, synced = {0};
    static const uint8_t broken[] = {0, 1, 0x7F, 0xFF, 0xFF, 0xFF};
    join("", broken, sizeof broken, &old);
    sync_with(&old, NULL, 0, &synced);
    cr_assert(eq(int, beat("new", 0), KF_ERR_GROUP_ID_NOT_FOUND));
    cr_assert(eq(str, answer.why,
                 "Cannot upgrade classic group g to consumer group because the embedded consumer "
                 "protocol is malformed."));
    cr_assert(eq(int, heartbeat(&old), KF_OK), "nothing has changed for the group");
    struct kf__member_claim leaves = claim(&old);
    kf__coordinator_leave(&classic, T0, &leaves);
    beat("new", 0);
    join("", broken, sizeof broken, &other);
    cr_assert(eq(int, other.error, KF_ERR_INCONSISTENT_GROUP_PROTOCOL));
}

Test(consumer_classic, expels_a_classic_member_that_does_not_come_back)
{
    struct told old = classic_group();
    beat("new", 0);
    cr_assert(eq(int, heartbeat(&old), KF_ERR_REBALANCE_IN_PROGRESS));
    const struct kf__consumer_group *group = kf__consumers_find(&consumers, kf__text("g"));
    cr_assert(eq(i64, group->members[0]->classic->join_deadline, T0 + 60 * KF_SECOND));
    kf__consumers_tick(&consumers, T0 + 10 * KF_SECOND);
    cr_assert(eq(i32, group->member_count, 1), "its session is over before that");
}

Test(consumer_classic, a_new_member_is_nobody_to_the_classic_requests)
{
    struct told synced = {0}, who = {.generation = 2};
    beat("new", 0);
    strcpy(who.member, "new");
    cr_assert(eq(int, heartbeat(&who), KF_ERR_UNKNOWN_MEMBER_ID));
    sync_with(&who, NULL, 0, &synced);
    cr_assert(eq(int, synced.error, KF_ERR_UNKNOWN_MEMBER_ID));
    struct kf__member_claim leaves = claim(&who);
    kf_err err = KF_OK;
    cr_assert(kf__consumers_leave(&consumers, T0, &leaves, 1, &err));
    cr_assert(eq(int, err, KF_OK), "but it may be removed by LeaveGroup");
}
