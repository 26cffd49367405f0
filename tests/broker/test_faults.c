#include "tools/broker/faults.h"

#include "tools/broker/text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

enum {
    FETCH = 1,
    PRODUCE = 0
};

static struct kf__faults faults;

static void open_faults(void) { kf__faults_init(&faults, &kf_default_allocator); }

static void close_faults(void) { kf__faults_free(&faults); }

TestSuite(broker_faults, .init = open_faults, .fini = close_faults);

static kf_broker_fault drop(int16_t api)
{
    return (kf_broker_fault){
        .size = sizeof(kf_broker_fault), .kind = KF_BROKER_DROP, .api_key = api};
}

Test(broker_faults, hits_only_the_api_it_names)
{
    kf_broker_fault fault = drop(FETCH);
    cr_assert(eq(i32, kf__faults_add(&faults, &fault), 1));
    cr_assert(not(kf__faults_judge(&faults, PRODUCE, 1).drop));
    cr_assert(kf__faults_judge(&faults, FETCH, 1).drop);
    cr_assert(eq(i64, kf__faults_hits(&faults, 1), 1));
}

Test(broker_faults, begins_at_the_first_and_hits_every_nth_so_many_times)
{
    kf_broker_fault fault = drop(KF_BROKER_ANY_API);
    fault.first = 3;
    fault.every = 2;
    fault.times = 2;
    kf__faults_add(&faults, &fault);
    char seen[11] = {0};
    for (int i = 0; i < 10; i++)
        seen[i] = kf__faults_judge(&faults, FETCH, 1).drop ? 'x' : '.';
    cr_assert(eq(str, seen, "..x.x....."));
}

Test(broker_faults, means_one_partition_of_one_topic)
{
    kf_broker_fault fault = {.size = sizeof fault,
                             .kind = KF_BROKER_ANSWER_ERROR,
                             .api_key = FETCH,
                             .topic = "orders",
                             .one_partition = true,
                             .partition = 2,
                             .error = KF_ERR_NOT_LEADER_OR_FOLLOWER};
    kf__faults_add(&faults, &fault);
    const struct kf__fault *error = kf__faults_judge(&faults, FETCH, 1).error;
    cr_assert(eq(int, kf__fault_error(error, kf__text("orders"), 2), 6));
    cr_assert(eq(int, kf__fault_error(error, kf__text("orders"), 1), 0));
    cr_assert(eq(int, kf__fault_error(error, kf__text("order"), 2), 0));
    cr_assert(eq(int, kf__fault_error(error, (kf_string){0}, -1), 0));
}

Test(broker_faults, refuses_what_makes_no_sense)
{
    kf_broker_fault nothing = {.size = sizeof nothing};
    kf_broker_fault no_error = {.size = sizeof no_error, .kind = KF_BROKER_ANSWER_ERROR};
    cr_assert(eq(i32, kf__faults_add(&faults, &nothing), 0));
    cr_assert(eq(i32, kf__faults_add(&faults, &no_error), 0));
}
