#include "tools/broker/faults/script.h"

#include "tools/broker/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/messages.h>

static struct kf__rules rules;

static void open_rules(void) { kf__rules_init(&rules, &kf_default_allocator, 1); }

static void close_rules(void) { kf__rules_free(&rules); }

TestSuite(broker_script, .init = open_rules, .fini = close_rules);

static const struct kf__rule *rule(const char *text)
{
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(int, kf__script_load(&rules, text, 1000 * KF_SECOND, &error), KF_OK), "%s: %s",
              text, error.text);
    return rules.items[rules.count - 1];
}

static void expect_error(const char *text, const char *told)
{
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(int, kf__script_load(&rules, text, 0, &error), KF_ERR_INVALID_ARGUMENT));
    cr_assert(eq(str, error.text, (char *)(uintptr_t)told));
    cr_assert(eq(sz, rules.count, 0));
}

Test(broker_script, reads_the_sentence_of_the_manual)
{
    const struct kf__rule *read =
        rule("on Fetch #3 topic=orders partition=0 answer NOT_LEADER_OR_FOLLOWER");
    cr_assert(eq(int, (int)read->what.kind, KF_BROKER_ANSWER_ERROR));
    cr_assert(eq(int, read->what.error, KF_ERR_NOT_LEADER_OR_FOLLOWER));
    cr_assert(eq(i16, read->what.api_key, KF_API_FETCH));
    cr_assert(eq(i64, read->what.first, 3));
    cr_assert(eq(i64, read->what.last, 3));
    cr_assert(read->what.one_partition);
    cr_assert(eq(i32, read->what.partition, 0));
    cr_assert(eq(int, memcmp(read->topic.data, "orders", 7), 0));
}

Test(broker_script, reads_every_condition)
{
    const struct kf__rule *read =
        rule("on Produce #2-5 version=9-13 client=\"my app\" connection=4 "
             "node=2 every 3rd 7 times 25% close");
    cr_assert(eq(i64, read->what.first, 2));
    cr_assert(eq(i64, read->what.last, 5));
    cr_assert(eq(i64, read->what.every, 3));
    cr_assert(eq(i64, read->what.times, 7));
    cr_assert(read->what.by_version);
    cr_assert(eq(i16, read->what.min_version, 9));
    cr_assert(eq(i16, read->what.max_version, 13));
    cr_assert(eq(int, memcmp(read->client.data, "my app", 7), 0));
    cr_assert(eq(u64, read->what.connection, 4));
    cr_assert(eq(i32, read->what.node, 2));
    cr_assert(eq(dbl, read->what.probability, 0.25));
    cr_assert(eq(i64, rule("on any from #10 drop")->what.first, 10));
    cr_assert(eq(i64, rule("on 1 every 20th drop")->what.first, 20));
}

Test(broker_script, reads_every_action)
{
    static const struct {
        const char *text;
        kf_broker_fault_kind kind;
        int64_t ms;
        size_t bytes;
    } lines[] = {
        {"on any delay 250ms", KF_BROKER_DELAY, 250, 0},
        {"on any throttle 2s", KF_BROKER_THROTTLE, 2000, 0},
        {"on any drop", KF_BROKER_DROP_REQUEST, 0, 0},
        {"on any drop answer", KF_BROKER_DROP_ANSWER, 0, 0},
        {"on any close", KF_BROKER_CLOSE, 0, 0},
        {"on any close answer", KF_BROKER_CLOSE_ANSWER, 0, 0},
        {"on any cut after 10 bytes", KF_BROKER_CUT, 0, 10},
        {"on any cut 0", KF_BROKER_CUT, 0, 0},
        {"on any garbage", KF_BROKER_GARBAGE, 0, 64},
        {"on any garbage 9 bytes", KF_BROKER_GARBAGE, 0, 9},
        {"on Fetch corrupt CRC", KF_BROKER_CORRUPT_CRC, 0, 0},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const struct kf__rule *read = rule(lines[i].text);
        cr_assert(eq(int, (int)read->what.kind, (int)lines[i].kind), "%s", lines[i].text);
        cr_assert(eq(i64, read->what.ms, lines[i].ms), "%s", lines[i].text);
        cr_assert(eq(sz, read->what.bytes, lines[i].bytes), "%s", lines[i].text);
    }
}

Test(broker_script, reads_every_event)
{
    static const struct {
        const char *text;
        enum kf__event_kind kind;
        const char *name;
        int32_t node, partition;
        int64_t number;
    } lines[] = {
        {"after 2s stop node 2", KF__STOP_NODE, "", 2, 0, 0},
        {"after 1min start node 2", KF__START_NODE, "", 2, 0, 0},
        {"at Produce #100 move leader orders/0 to 3", KF__MOVE_LEADER, "orders", 3, 0, 0},
        {"at Fetch #1 move coordinator g to 1", KF__MOVE_COORDINATOR, "g", 1, 0, 0},
        {"after 1h create topic t 4", KF__CREATE_TOPIC, "t", 0, 0, 4},
        {"after 1s create partitions t 6", KF__CREATE_PARTITIONS, "t", 0, 0, 6},
        {"after 1s delete topic t", KF__DELETE_TOPIC, "t", 0, 0, 0},
        {"after 1s delete records t/3 before 10", KF__DELETE_RECORDS, "t", 0, 3, 10},
        {"every 1s close connections", KF__CLOSE_CONNECTIONS, "", 0, 0, 0},
        {"after 1s pause", KF__PAUSE, "", 0, 0, 0},
        {"after 2s resume", KF__RESUME, "", 0, 0, 0},
        {"after 2s elect leader t/1", KF__ELECT_LEADER, "t", 0, 1, 0},
        {"after 2s elect leader t/1 unclean", KF__ELECT_LEADER, "t", 0, 1, 1},
        {"at Produce #5 hold replica t/1 on 2", KF__HOLD_REPLICA, "t", 2, 1, 0},
        {"after 2s release replica t/1 on 2", KF__RELEASE_REPLICA, "t", 2, 1, 0},
        {"every 1h expire offsets", KF__EXPIRE_OFFSETS, "", 0, 0, 0},
        {"every 1h expire producers", KF__EXPIRE_PRODUCERS, "", 0, 0, 0},
        {"every 5min clean topics", KF__CLEAN, "", 0, 0, 0},
        {"after 1s clean topic t", KF__CLEAN, "t", 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const struct kf__event *read = &rule(lines[i].text)->event;
        cr_assert(eq(int, (int)read->kind, (int)lines[i].kind), "%s", lines[i].text);
        cr_assert(eq(i32, read->node, lines[i].node), "%s", lines[i].text);
        cr_assert(eq(i32, read->partition, lines[i].partition), "%s", lines[i].text);
        cr_assert(eq(i64, read->number, lines[i].number), "%s", lines[i].text);
        if (*lines[i].name)
            cr_assert(eq(str, (char *)(uintptr_t)read->name.data, (char *)lines[i].name));
    }
    cr_assert(eq(i64, rule("after 2s pause")->at, 1002 * KF_SECOND));
    cr_assert(eq(i64, rule("every 3s resume")->period, 3 * KF_SECOND));
    cr_assert(eq(i64, rule("at Fetch #1 pause")->at, KF_FOREVER));
}

Test(broker_script, skips_comments_and_empty_lines_and_takes_a_seed)
{
    kf_error error = KF_ERROR_INIT;
    const char *text = "# a comment\n\n  seed 42 # and one behind\r\non Fetch #3 close  ## twice\n"
                       "#x\non any close";
    cr_assert(eq(int, kf__script_load(&rules, text, 0, &error), KF_OK), "%s", error.text);
    cr_assert(eq(sz, rules.count, 2));
    cr_assert(eq(u64, rules.seed, 42));
}

Test(broker_script, an_error_names_line_column_and_the_nearest_word)
{
    expect_error("on Fetsh close", "line 1, column 4: the name of an API, or any, is expected, not "
                                   "\"Fetsh\" (did you mean Fetch?)");
    expect_error("\non Fetch answer NOT_LEADER", "line 2, column 17: the name of an error is "
                                                 "expected, not \"NOT_LEADER\"");
    expect_error("on Fetch answer NOT_LEADER_OR_FOLOWER",
                 "line 1, column 17: the name of an error is expected, not "
                 "\"NOT_LEADER_OR_FOLOWER\" (did you mean NOT_LEADER_OR_FOLLOWER?)");
    expect_error("onn Fetch close", "line 1, column 1: on, at, after, every or seed is expected, "
                                    "not \"onn\" (did you mean on?)");
    expect_error("on Fetch", "line 1, column 9: answer, delay, throttle, drop, close, cut, garbage "
                             "or corrupt is expected, but the line ends");
    expect_error("on Fetch delay 5", "line 1, column 16: a time as 250ms, 2s, 5min or 1h is "
                                     "expected, not \"5\"");
    expect_error("on Fetch close now",
                 "line 1, column 16: the end of the line is expected, not \"now\"");
    expect_error("on Fetch partition=1 close", "line 1, column 22: topic=NAME beside partition= is "
                                               "expected, not \"close\"");
    expect_error("on Fetch #5-2 close",
                 "line 1, column 10: a count as #3 or #2-5 is expected, not \"#5-2\"");
    expect_error("at Produce #1 move leader orders to 3",
                 "line 1, column 27: TOPIC/PARTITION is expected, not \"orders\"");
    expect_error("after 2s stop nod 2",
                 "line 1, column 15: node is expected, not \"nod\" (did you mean node?)");
}

/* What would be something else than it says is refused where it stands. */
Test(broker_script, an_error_names_the_word_that_makes_no_sense)
{
    expect_error("on Fetch #0 close",
                 "line 1, column 10: a count as #3 or #2-5 is expected, not \"#0\"");
    expect_error("on Fetch from #0 close",
                 "line 1, column 15: a count as #10 is expected, not \"#0\"");
    expect_error("on Fetch node=0 close",
                 "line 1, column 10: node=N from 1 is expected, not \"node=0\"");
    expect_error("on Fetch topic=\"my topic close",
                 "line 1, column 10: topic=NAME is expected, not \"topic=\"my topic close\"");
    expect_error("after 1000000000h pause",
                 "line 1, column 7: a time of at most 500h is expected, not \"1000000000h\"");
    expect_error("every 0min pause", "line 1, column 7: a time above 0 is expected, not \"0min\"");
    expect_error(
        "on Fetch answer AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "line 1, column 17: the name of an error is expected, not "
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA…\"");
}

Test(broker_script, a_script_with_an_error_leaves_no_rule)
{
    kf_error error = KF_ERROR_INIT;
    rule("on any close");
    const char *text = "seed 5\non Fetch close\non Fetch clos";
    cr_assert(eq(int, kf__script_load(&rules, text, 0, &error), KF_ERR_INVALID_ARGUMENT));
    cr_assert(eq(sz, rules.count, 1));
    cr_assert(eq(u64, rules.seed, 1));
}
