#include "help_member.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/messages.h>

TestSuite(member_scenarios, .timeout = 60);

static struct member member;

static void begin(int32_t partitions, kf_semantics semantics)
{
    member_broker(&member, NULL);
    kf_broker_create_topic(member.broker, "t", partitions, 1);
    (void)semantics;
}

static void run(kf_semantics semantics)
{
    member_handle(&member, "t", semantics);
    member_start(&member);
}

Test(member_scenarios, handles_every_record_once_and_commits_it)
{
    begin(3, KF_AT_LEAST_ONCE);
    for (int32_t p = 0; p < 3; p++)
        produce(&member, "t", p, 50);
    member_open(&member, NULL);
    run(KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) >= 150);
    cr_assert(eq(int, member_stop(&member), KF_OK));
    for (int32_t p = 0; p < 3; p++) {
        cr_assert(eq(i64, span_of(&member, "t", p, 50).missing, 0));
        cr_assert(eq(i64, span_of(&member, "t", p, 50).repeated, 0));
        cr_assert(eq(i64, member_committed(&member, "t", p), 50));
    }
    cr_assert(eq(i32, kf_broker_group_members(member.broker, "g", NULL), 0));
    member_close(&member);
}
