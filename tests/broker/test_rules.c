#include "tools/broker/faults/rules.h"

#include "tools/broker/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

enum {
    FETCH = 1,
    PRODUCE = 0
};

static struct kf__rules rules;

static void open_rules(void) { kf__rules_init(&rules, &kf_default_allocator, 1); }

static void close_rules(void) { kf__rules_free(&rules); }

TestSuite(broker_rules, .init = open_rules, .fini = close_rules);

static bool mentions(const void *context, kf_string topic, int32_t partition)
{
    (void)partition;
    return kf__text_equal(topic, kf__text(context));
}

static struct kf__sight sight = {
    .version = 5, .node = 1, .connection = 7, .context = "orders", .mentions = mentions};

static struct kf__verdict judge(int16_t api)
{
    sight.api_key = api;
    return kf__rules_judge(&rules, &sight);
}

static int32_t add(const kf_broker_fault *fault)
{
    return kf__rules_add(&rules, fault, NULL, KF_FOREVER, 0);
}

static kf_broker_fault closing(int16_t api)
{
    return (kf_broker_fault){
        .size = sizeof(kf_broker_fault), .kind = KF_BROKER_CLOSE, .api_key = api};
}

Test(broker_rules, hits_only_the_api_it_names)
{
    kf_broker_fault fault = closing(FETCH);
    cr_assert(eq(i32, add(&fault), 1));
    cr_assert(not(judge(PRODUCE).close));
    cr_assert(judge(FETCH).close);
    cr_assert(eq(i64, kf__rules_hits(&rules, 1), 1));
}

Test(broker_rules, begins_at_the_first_and_hits_every_nth_so_many_times)
{
    kf_broker_fault fault = closing(KF_BROKER_ANY_API);
    fault.first = 3;
    fault.every = 2;
    fault.times = 2;
    add(&fault);
    char seen[11] = {0};
    for (int i = 0; i < 10; i++)
        seen[i] = judge(FETCH).close ? 'x' : '.';
    cr_assert(eq(str, seen, "..x.x....."));
}

Test(broker_rules, means_one_partition_of_one_topic)
{
    kf_broker_fault fault = {.size = sizeof fault,
                             .kind = KF_BROKER_ANSWER_ERROR,
                             .api_key = FETCH,
                             .topic = "orders",
                             .one_partition = true,
                             .partition = 2,
                             .error = KF_ERR_NOT_LEADER_OR_FOLLOWER};
    add(&fault);
    const struct kf__rule *error = judge(FETCH).error;
    cr_assert(eq(int, kf__rule_error(error, kf__text("orders"), 2), 6));
    cr_assert(eq(int, kf__rule_error(error, kf__text("orders"), 1), 0));
    cr_assert(eq(int, kf__rule_error(error, kf__text("order"), 2), 0));
    cr_assert(eq(int, kf__rule_error(error, (kf_string){0}, -1), 0));
}

Test(broker_rules, refuses_what_makes_no_sense)
{
    kf_broker_fault nothing = {.size = sizeof nothing};
    kf_broker_fault no_error = {.size = sizeof no_error, .kind = KF_BROKER_ANSWER_ERROR};
    cr_assert(eq(i32, add(&nothing), 0));
    cr_assert(eq(i32, add(&no_error), 0));
}

Test(broker_rules, counts_only_requests_that_name_the_topic)
{
    kf_broker_fault fault = closing(FETCH);
    fault.topic = "payments";
    fault.first = 1;
    add(&fault);
    cr_assert(not(judge(FETCH).close));
    cr_assert(eq(i64, rules.items[0]->seen, 0));
    sight.context = "payments";
    cr_assert(judge(FETCH).close);
}

Test(broker_rules, means_versions_clients_connections_and_nodes)
{
    kf_broker_fault fault = closing(FETCH);
    fault.by_version = true;
    fault.min_version = 5;
    fault.max_version = 6;
    fault.client_id = "app";
    fault.connection = 7;
    fault.node = 1;
    add(&fault);
    sight.client_id = kf__text("app");
    cr_assert(judge(FETCH).close);
    sight.version = 7;
    cr_assert(not(judge(FETCH).close));
    sight.version = 5;
    sight.client_id = kf__text("ap");
    cr_assert(not(judge(FETCH).close));
    sight.client_id = kf__text("app");
    sight.connection = 8;
    cr_assert(not(judge(FETCH).close));
    sight.connection = 7;
    sight.node = 2;
    cr_assert(not(judge(FETCH).close));
}

Test(broker_rules, ends_after_the_last)
{
    kf_broker_fault fault = closing(FETCH);
    fault.first = 2;
    fault.last = 3;
    add(&fault);
    char seen[6] = {0};
    for (int i = 0; i < 5; i++)
        seen[i] = judge(FETCH).close ? 'x' : '.';
    cr_assert(eq(str, seen, ".xx.."));
}

Test(broker_rules, a_chance_is_kept_and_repeats_with_its_seed)
{
    kf_broker_fault fault = closing(FETCH);
    fault.probability = 0.25;
    fault.seed = 99;
    add(&fault);
    char first[1001] = {0}, second[1001] = {0};
    for (int i = 0; i < 1000; i++)
        first[i] = judge(FETCH).close ? 'x' : '.';
    int64_t hits = kf__rules_hits(&rules, 1);
    cr_assert(lt(i64, 200, hits));
    cr_assert(lt(i64, hits, 300));

    kf__rules_free(&rules);
    kf__rules_init(&rules, &kf_default_allocator, 2);
    add(&fault);
    for (int i = 0; i < 1000; i++)
        second[i] = judge(FETCH).close ? 'x' : '.';
    cr_assert(eq(str, first, second));
}

Test(broker_rules, a_counted_event_is_due_when_its_request_comes)
{
    kf_broker_fault what = {.size = sizeof what, .api_key = FETCH, .first = 2, .times = 1};
    struct kf__event event = {.kind = KF__MOVE_LEADER, .name = kf__text("orders"), .node = 3};
    struct kf__event taken = {0};
    cr_assert(eq(i32, kf__rules_add(&rules, &what, &event, KF_FOREVER, 0), 1));
    judge(FETCH);
    cr_assert(not(kf__rules_take_event(&rules, &taken)));
    judge(FETCH);
    cr_assert(kf__rules_take_event(&rules, &taken));
    cr_assert(eq(i32, taken.node, 3));
    cr_assert(not(kf__rules_take_event(&rules, &taken)));
}

Test(broker_rules, a_timed_event_happens_once_and_a_periodic_one_again)
{
    kf_broker_fault what = {.size = sizeof what};
    struct kf__event once = {.kind = KF__PAUSE}, often = {.kind = KF__RESUME}, taken = {0};
    kf__rules_add(&rules, &what, &once, 10, 0);
    kf__rules_add(&rules, &what, &often, 20, 20);
    cr_assert(eq(i64, kf__rules_deadline(&rules), 10));
    kf__rules_tick(&rules, 9);
    cr_assert(not(kf__rules_take_event(&rules, &taken)));
    kf__rules_tick(&rules, 15);
    cr_assert(kf__rules_take_event(&rules, &taken));
    cr_assert(eq(int, (int)taken.kind, KF__PAUSE));
    cr_assert(not(kf__rules_take_event(&rules, &taken)));
    cr_assert(eq(i64, kf__rules_deadline(&rules), 20));
    kf__rules_tick(&rules, 41);
    cr_assert(kf__rules_take_event(&rules, &taken));
    cr_assert(eq(int, (int)taken.kind, KF__RESUME));
    cr_assert(not(kf__rules_take_event(&rules, &taken)));
    cr_assert(eq(i64, kf__rules_deadline(&rules), 60));
}

/* A broker that had no turn for a while does what it missed in order of time, not of lines. */
Test(broker_rules, late_events_happen_in_their_order)
{
    kf_broker_fault what = {.size = sizeof what};
    struct kf__event later = {.kind = KF__START_NODE}, sooner = {.kind = KF__STOP_NODE}, taken;
    kf__rules_add(&rules, &what, &later, 20, 0);
    kf__rules_add(&rules, &what, &sooner, 10, 0);
    cr_assert(kf__rules_tick(&rules, 30));
    cr_assert(kf__rules_take_event(&rules, &taken));
    cr_assert(eq(int, (int)taken.kind, KF__STOP_NODE));
    cr_assert(not(kf__rules_take_event(&rules, &taken)));
    cr_assert(kf__rules_tick(&rules, 30));
    cr_assert(kf__rules_take_event(&rules, &taken));
    cr_assert(eq(int, (int)taken.kind, KF__START_NODE));
    cr_assert(not(kf__rules_tick(&rules, 30)));
}

Test(broker_rules, are_refused_where_an_answer_could_not_say_their_time)
{
    kf_broker_fault fault = {.size = sizeof fault, .kind = KF_BROKER_THROTTLE, .ms = INT32_MAX};
    cr_assert(lt(i32, 0, add(&fault)));
    cr_assert(lt(i32, 0, add(&fault)));
    cr_assert(eq(i64, judge(PRODUCE).throttle_ms, INT32_MAX));
    fault.ms++;
    cr_assert(eq(i32, add(&fault), 0));
}
