/* Starting, turning and ending a runtime, in each order a program may find. */
#include "help_member.h"
#include "runtime/fiber/sanitizer.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <criterion/redirect.h>
#include <kafiber/messages.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(member_lifecycle, .timeout = 60);

static struct member member;

static void begin(int32_t partitions, int records)
{
    member_broker(&member, NULL);
    kf_broker_create_topic(member.broker, "t", partitions, 1);
    for (int32_t p = 0; p < partitions; p++)
        produce(&member, "t", p, records);
}

static void run(kf_semantics semantics)
{
    member_handle(&member, "t", semantics);
    member_start(&member);
}

/* ---- the caller's own loop ---- */

static int wait_of(kf_time deadline)
{
    if (deadline == KF_FOREVER)
        return 100;
    kf_time left = deadline - kf_now();
    return left <= 0 ? 0 : left > 100 * KF_MILLISECOND ? 100 : (int)(left / KF_MILLISECOND) + 1;
}

/* As a host's loop does it: its own poll, then a step that doesn't wait. */
static void turn(struct member *of)
{
    struct pollfd fd = {.fd = kf_loop_fd(of->runtime), .events = POLLIN};
    if (fd.fd >= 0)
        poll(&fd, 1, wait_of(kf_loop_deadline(of->runtime)));
    kf_time until = fd.fd >= 0 ? 0 : kf_now() + 10 * KF_MILLISECOND;
    cr_assert(eq(int, kf_loop_step(of->runtime, until), KF_OK));
}

static void turn_until_handled(size_t handled)
{
    kf_time end = kf_now() + PATIENCE_MS * KF_MILLISECOND;
    while (member_handled(&member) < handled && kf_now() < end)
        turn(&member);
    cr_assert(eq(sz, member_handled(&member), handled));
}

static void loop_mode(const char *backend)
{
    begin(3, 40);
    member_open(&member, "worker.threads=0", backend, NULL);
    run(KF_AT_LEAST_ONCE);
    turn_until_handled(120);
    kf_snapshot *snapshot = kf_runtime_snapshot(member.runtime);
    cr_assert(eq(i64, snapshot->records_processed, 120));
    cr_assert(eq(i32, snapshot->workers, 0));
    kf_snapshot_free(snapshot);
    kf_runtime_stop(member.runtime);
    kf_err err;
    while ((err = kf_loop_step(member.runtime, kf_now() + 10 * KF_MILLISECOND)) == KF_OK)
        continue;
    cr_assert(eq(int, err, KF_ERR_CLOSED));
    cr_assert(eq(int, member_stop(&member), KF_OK));
    for (int32_t p = 0; p < 3; p++) {
        cr_assert(eq(i64, span_of(&member, "t", p, 40).missing, 0));
        cr_assert(eq(i64, span_of(&member, "t", p, 40).repeated, 0));
        cr_assert(eq(i64, member_committed(&member, "t", p), 40));
    }
    member_close(&member);
}

Test(member_lifecycle, the_callers_loop_turns_it_with_epoll) { loop_mode("loop.backend=epoll"); }

Test(member_lifecycle, the_callers_loop_turns_it_with_poll) { loop_mode("loop.backend=poll"); }

Test(member_lifecycle, a_step_returns_soon_however_long_the_batch)
{
    begin(1, 0);
    kf_broker_produce(member.broker, "t", 0, (kf_bytes){NULL, 0}, (kf_bytes){NULL, 0}, -1, NULL);
    atomic_store(&member.sleep_ms, 1);
    produce(&member, "t", 0, 1500);
    member_open(&member, "worker.threads=0", NULL);
    run(KF_AT_LEAST_ONCE);
    size_t most = 0; /* records in one step: each takes a millisecond and more */
    kf_time end = kf_now() + PATIENCE_MS * KF_MILLISECOND;
    while (member_handled(&member) < 1501 && kf_now() < end) {
        size_t before = member_handled(&member);
        kf_loop_step(member.runtime, kf_now());
        if (member_handled(&member) - before > most)
            most = member_handled(&member) - before;
    }
    cr_assert(eq(sz, member_handled(&member), 1501));
    cr_assert(lt(sz, most, 100));
    cr_assert(eq(sz, member.lost, 0));
    member_close(&member);
}

static void *pause_all(void *argument)
{
    atomic_store((atomic_int *)argument, kf_pause(member.runtime, "t", -1));
    return NULL;
}

Test(member_lifecycle, another_threads_question_waits_for_the_callers_turn)
{
    begin(1, 5);
    member_open(&member, "worker.threads=0", NULL);
    run(KF_AT_LEAST_ONCE);
    turn_until_handled(5);
    atomic_int err = KF_ERR_STATE;
    pthread_t thread;
    pthread_create(&thread, NULL, pause_all, &err);
    while (atomic_load(&err) == KF_ERR_STATE)
        turn(&member);
    pthread_join(thread, NULL);
    cr_assert(eq(int, atomic_load(&err), KF_OK));
    kf_snapshot *snapshot = kf_runtime_snapshot(member.runtime);
    cr_assert(snapshot->partitions[0].paused);
    kf_snapshot_free(snapshot);
    member_close(&member);
}

static kf_verdict sleep_until_cancelled(struct member *of, const kf_message *message)
{
    (void)message;
    atomic_store(&of->is_stuck, true);
    return kf_sleep(3600 * KF_SECOND) == KF_ERR_CANCELLED ? KF_FAILED : KF_HANDLED;
}

/* The loop stood still from before the handler was to be asked until the time to stop was over. */
Test(member_lifecycle, a_handler_that_was_asked_to_end_just_now_is_not_stuck)
{
    begin(1, 1);
    atomic_store(&member.decide, sleep_until_cancelled);
    member_open(&member, "worker.threads=0", "shutdown.timeout.ms=500", NULL);
    run(KF_AT_LEAST_ONCE);
    while (!atomic_load(&member.is_stuck))
        turn(&member);
    kf_runtime_stop(member.runtime);
    cr_assert(eq(int, kf_loop_step(member.runtime, 0), KF_OK));
    usleep(700000);
    kf_err err;
    while ((err = kf_loop_step(member.runtime, kf_now() + 10 * KF_MILLISECOND)) == KF_OK)
        continue;
    cr_assert(eq(int, err, KF_ERR_CLOSED));
    cr_assert(eq(int, member_stop(&member), KF_OK), "%s", member.error.text);
    cr_assert(eq(i64, member_committed(&member, "t", 0), 0));
    member_close(&member);
}

/* ---- stops: those that end at once could last a minute, and would be found out ---- */

static void stops_at_once(void)
{
    kf_time before = kf_now();
    cr_assert(eq(int, member_stop(&member), KF_OK));
    cr_assert(lt(i64, kf_now() - before, 30 * KF_SECOND));
}

Test(member_lifecycle, a_stop_before_the_first_metadata_ends_at_once)
{
    begin(1, 1);
    kf_broker_pause(member.broker);
    member_open(&member, "shutdown.timeout.ms=60000", NULL);
    run(KF_AT_LEAST_ONCE);
    stops_at_once();
    kf_broker_resume(member.broker);
    member_close(&member);
}

Test(member_lifecycle, a_stop_before_the_start_is_heeded)
{
    begin(1, 1);
    member_open(&member, "shutdown.timeout.ms=60000", NULL);
    kf_runtime_stop(member.runtime);
    run(KF_AT_LEAST_ONCE);
    stops_at_once();
    cr_assert(eq(sz, member_count(&member), 0));
    member_close(&member);
}

Test(member_lifecycle, a_stop_while_joining_leaves_nobody_behind)
{
    begin(1, 1);
    int32_t fault =
        kf_broker_fault_add(member.broker, &(kf_broker_fault){.size = sizeof(kf_broker_fault),
                                                              .kind = KF_BROKER_DELAY,
                                                              .api_key = KF_API_SYNC_GROUP,
                                                              .ms = 60000});
    member_open(&member, "shutdown.timeout.ms=60000", NULL);
    run(KF_AT_LEAST_ONCE);
    WAIT_FOR(kf_broker_fault_hits(member.broker, fault) == 1);
    stops_at_once();
    cr_assert(eq(i32, kf_broker_group_members(member.broker, "g", NULL), 0));
    member_close(&member);
}

Test(member_lifecycle, a_broker_that_fell_silent_holds_a_stop_no_longer_than_its_time)
{
    begin(1, 5);
    member_open(&member, "shutdown.timeout.ms=700", NULL);
    run(KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) == 5);
    kf_broker_pause(member.broker);
    kf_time before = kf_now();
    member_stop(&member);
    cr_assert(lt(i64, kf_now() - before, 20 * KF_SECOND)); /* an answer's time is 30 s */
    kf_broker_resume(member.broker);
    member_close(&member);
}

Test(member_lifecycle, stopping_twice_is_stopping_once)
{
    begin(1, 5);
    member_open(&member, NULL);
    run(KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) == 5);
    kf_runtime_stop(member.runtime);
    kf_runtime_stop(member.runtime);
    cr_assert(eq(int, kf_runtime_wait(member.runtime, NULL), KF_OK));
    kf_runtime_stop(member.runtime);
    cr_assert(eq(int, kf_runtime_wait(member.runtime, NULL), KF_OK));
    cr_assert(eq(int, member_stop(&member), KF_OK));
    member_close(&member);
}

static void slow_callback(void *context, kf_rebalance_event event,
                          const kf_topic_partition *partitions, size_t count)
{
    (void)partitions;
    (void)count;
    if (event == KF_REVOKED)
        while (!atomic_load(&((struct member *)context)->let_go))
            usleep(2000);
}

Test(member_lifecycle, a_callback_that_does_not_return_ends_the_run_in_time)
{
    begin(1, 5);
    member_open(&member, "shutdown.timeout.ms=600", NULL);
    kf_runtime_on_rebalance(member.runtime, slow_callback, &member);
    run(KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) == 5);
    kf_runtime_stop(member.runtime);
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(int, kf_runtime_wait(member.runtime, &error), KF_ERR_HANDLER_STUCK));
    cr_assert(strstr(error.text, "callback") != NULL, "%s", error.text);
    atomic_store(&member.let_go, true);
    kf_runtime_close(member.runtime);
    member.is_open = false;
    kf_config_free(member.config);
    member_close(&member);
}

/* ---- misuse ---- */

Test(member_lifecycle, closing_without_running_frees_everything)
{
    begin(1, 1);
    member_open(&member, NULL);
    member_handle(&member, "t", KF_AT_LEAST_ONCE);
    kf_snapshot *snapshot = kf_runtime_snapshot(member.runtime);
    cr_assert(eq(i32, snapshot->generation, -1));
    cr_assert(eq(sz, snapshot->partition_count, 0));
    kf_snapshot_free(snapshot);
    cr_assert(eq(int, kf_pause(member.runtime, "t", 0), KF_ERR_STATE));
    cr_assert(eq(int, kf_runtime_close(member.runtime), KF_OK));
    member.is_open = false;
    kf_config_free(member.config);
    member_close(&member);
}

Test(member_lifecycle, a_second_start_is_refused_and_harmless)
{
    begin(1, 5);
    member_open(&member, NULL);
    run(KF_AT_LEAST_ONCE);
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(int, kf_runtime_start(member.runtime, &error), KF_ERR_STATE));
    cr_assert(eq(int, error.code, KF_ERR_STATE));
    cr_assert(eq(int, kf_runtime_handle(member.runtime, "u", KF_AT_LEAST_ONCE, NULL, NULL),
                 KF_ERR_STATE));
    WAIT_FOR(member_handled(&member) == 5);
    cr_assert(eq(int, member_stop(&member), KF_OK));
    member_close(&member);
}

Test(member_lifecycle, the_first_error_sticks)
{
    begin(1, 1);
    member_open(&member, NULL);
    member_handle(&member, "", KF_AT_LEAST_ONCE);
    member_handle(&member, "t", KF_AT_LEAST_ONCE);
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(int, kf_runtime_run(member.runtime, &error), KF_ERR_INVALID_ARGUMENT));
    cr_assert(strstr(error.text, "needs the name of its topic") != NULL);
    cr_assert(eq(int, kf_runtime_run(member.runtime, NULL), KF_ERR_INVALID_ARGUMENT));
    cr_assert(eq(int, kf_runtime_close(member.runtime), KF_OK));
    member.is_open = false;
    kf_config_free(member.config);
    member_close(&member);
}

static _Atomic int closed_inside;

static kf_verdict close_itself(struct member *self, const kf_message *message)
{
    (void)message;
    kf_err waited = kf_runtime_wait(self->runtime, NULL);
    kf_err closed = kf_runtime_close(self->runtime);
    atomic_fetch_add(&closed_inside, waited == KF_ERR_STATE && closed == KF_ERR_STATE);
    kf_runtime_stop(self->runtime);
    return KF_HANDLED;
}

Test(member_lifecycle, a_handler_may_stop_its_runtime_but_not_close_it)
{
    begin(1, 1);
    member_open(&member, NULL);
    atomic_store(&member.decide, close_itself);
    run(KF_AT_LEAST_ONCE);
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(int, kf_runtime_wait(member.runtime, &error), KF_OK), "%s", error.text);
    cr_assert(eq(int, atomic_load(&closed_inside), 1));
    cr_assert(eq(i64, member_committed(&member, "t", 0), 1));
    cr_assert(eq(int, member_stop(&member), KF_OK));
    member_close(&member);
}

/* No fiber could ever have it: its handlers would never run, and nobody would say so. */
Test(member_lifecycle, a_stack_larger_than_any_is_refused)
{
    begin(1, 1);
    member_open(&member, NULL);
    kf_topic_options options = {.size = sizeof options, .stack_bytes = (64 << 20) + 1};
    member_handle_with(&member, "t", KF_AT_LEAST_ONCE, &options);
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(int, kf_runtime_run(member.runtime, &error), KF_ERR_INVALID_ARGUMENT));
    cr_assert(strstr(error.text, "64 MiB") != NULL, "%s", error.text);
    cr_assert(eq(int, kf_config_set(member.config, "fiber.stack.bytes", "67108865", &error),
                 KF_ERR_CONFIG));
    cr_assert(eq(int, kf_runtime_close(member.runtime), KF_OK));
    member.is_open = false;
    kf_config_free(member.config);
    member_close(&member);
}

Test(member_lifecycle, no_runtime_at_all_does_nothing)
{
    kf_error error = KF_ERROR_INIT;
    kf_error_set(&error, KF_ERR_CONFIG, "as opened");
    cr_assert(eq(int, kf_runtime_handle(NULL, "t", KF_AT_LEAST_ONCE, NULL, NULL), KF_ERR_STATE));
    cr_assert(eq(int, kf_runtime_run(NULL, &error), KF_ERR_CONFIG));
    kf_runtime_stop(NULL);
    cr_assert(kf_runtime_snapshot(NULL) == NULL);
    cr_assert(eq(int, kf_loop_step(NULL, 0), KF_ERR_STATE));
    cr_assert(eq(int, kf_runtime_close(NULL), KF_OK));
}

Test(member_lifecycle, a_topic_that_does_not_exist_is_told_and_waited_for)
{
    kf_broker_options options = {.no_auto_create = true};
    member_broker(&member, &options);
    member_open(&member, "metadata.max.age.ms=200", NULL);
    run(KF_AT_LEAST_ONCE);
    WAIT_FOR(member_has_event(&member, "topic.unavailable"));
    kf_broker_create_topic(member.broker, "t", 1, 1);
    produce(&member, "t", 0, 3);
    WAIT_FOR(member_handled(&member) == 3);
    cr_assert(eq(sz, member_events(&member, "topic.unavailable"), 1));
    member_close(&member);
}

Test(member_lifecycle, a_forked_child_is_told_and_harms_nobody)
{
    begin(1, 5);
    member_open(&member, NULL);
    run(KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) == 5);
    pid_t child = fork();
    if (child == 0) {
        bool right = kf_pause(member.runtime, "t", 0) == KF_ERR_FORKED &&
                     kf_runtime_snapshot(member.runtime) == NULL &&
                     kf_runtime_wait(member.runtime, NULL) == KF_ERR_FORKED &&
                     kf_runtime_close(member.runtime) == KF_OK;
        _exit(right ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    cr_assert(eq(int, status, 0));
    produce(&member, "t", 0, 5);
    WAIT_FOR(member_handled(&member) == 10);
    cr_assert(eq(int, member_stop(&member), KF_OK));
    member_close(&member);
}

static void *end_when_handled(void *unused)
{
    while (member_handled(&member) < 5)
        usleep(2000);
    kill(getpid(), SIGTERM);
    return unused;
}

Test(member_lifecycle, a_signal_ends_the_run_where_asked)
{
    begin(1, 5);
    member_open(&member, "handle.signals=true", NULL);
    member_handle(&member, "t", KF_AT_LEAST_ONCE);
    pthread_t thread;
    pthread_create(&thread, NULL, end_when_handled, NULL);
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(int, kf_runtime_run(member.runtime, &error), KF_OK));
    cr_assert(eq(sz, member_handled(&member), 5));
    cr_assert(eq(i64, member_committed(&member, "t", 0), 5));
    pthread_join(thread, NULL);
    member_close(&member);
}

#if !defined(KF__ASAN) && !defined(KF__TSAN)
/* Volatile, so that the frames are not optimised into nothing. */
static int dig(volatile char *above, int depth)
{
    volatile char frame[1024];
    frame[0] = above ? above[0] : 1;
    return depth == 0 ? frame[0] : dig(frame, depth - 1) + frame[0];
}

static kf_verdict overflow(const kf_message *message, void *context)
{
    (void)context;
    return message->offset < 3 ? KF_HANDLED : dig(NULL, 1 << 20) ? KF_HANDLED : KF_FAILED;
}

static void overflow_in_child(int report)
{
    dup2(report, STDERR_FILENO);
    signal(SIGSEGV, SIG_DFL); /* a sanitizer's own report would end it with exit 1 */
    signal(SIGBUS, SIG_DFL);
    member_broker(&member, NULL);
    kf_broker_create_topic(member.broker, "orders", 1, 1);
    produce(&member, "orders", 0, 5);
    member_open(&member, "handle.signals=true", NULL);
    kf_runtime_handle(member.runtime, "orders", KF_AT_LEAST_ONCE, overflow, NULL);
    kf_runtime_run(member.runtime, NULL);
    _exit(0);
}

Test(member_lifecycle, a_handler_that_runs_out_of_stack_is_named)
{
    int ends[2];
    cr_assert(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0)
        overflow_in_child(ends[1]);
    close(ends[1]);
    char text[4096];
    size_t size = 0;
    ssize_t got;
    while (size < sizeof text - 1 && (got = read(ends[0], text + size, sizeof text - 1 - size)) > 0)
        size += (size_t)got;
    text[size] = '\0';
    int status = 0;
    waitpid(child, &status, 0);
    cr_assert(eq(int, WIFSIGNALED(status) != 0, 1));
    cr_assert(strstr(text, "topic orders partition 0 offset 3") != NULL, "%s", text);
}
#endif

/* ---- what a broker refuses ---- */

Test(member_lifecycle, fetches_that_go_on_failing_are_told_once)
{
    begin(1, 3);
    add_fault(&member,
              (kf_broker_fault){.kind = KF_BROKER_CLOSE, .api_key = KF_API_FETCH, .times = 8});
    member_open(&member, "retry.backoff.ms=10", "retry.backoff.max.ms=20", NULL);
    run(KF_AT_LEAST_ONCE);
    WAIT_FOR(member_handled(&member) == 3);
    cr_assert(eq(sz, member_events(&member, "fetch.failed"), 1));
    member_close(&member);
}

static void refused(int16_t api, kf_err wanted, const char *words)
{
    begin(1, 1);
    add_fault(&member,
              (kf_broker_fault){.kind = KF_BROKER_ANSWER_ERROR, .api_key = api, .error = wanted});
    member_open(&member, NULL);
    member_handle(&member, "t", KF_AT_LEAST_ONCE);
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(int, kf_runtime_run(member.runtime, &error), wanted));
    cr_assert(strstr(error.text, words) != NULL, "%s", error.text);
    member_close(&member);
}

Test(member_lifecycle, a_group_that_may_not_be_used_ends_the_run)
{
    refused(KF_API_FIND_COORDINATOR, KF_ERR_GROUP_AUTHORIZATION_FAILED, "group");
}

Test(member_lifecycle, a_group_with_an_impossible_name_ends_the_run)
{
    refused(KF_API_JOIN_GROUP, KF_ERR_INVALID_GROUP_ID, "group");
}

Test(member_lifecycle, a_group_of_another_protocol_ends_the_run)
{
    refused(KF_API_JOIN_GROUP, KF_ERR_INCONSISTENT_GROUP_PROTOCOL, "group");
}
