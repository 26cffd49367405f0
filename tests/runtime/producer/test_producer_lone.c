/* kf_produce_wait on a plain thread turns the loop itself, where the I/O thread has stepped aside.
 */
#include "runtime/producer/producer_inside.h"
#include "tests/runtime/producer/help_producer.h"

#include <kafiber/messages.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

static kf_broker *broker;
static kf_error error;
static kf_producer *producer;
static const char *const patient[] = {"linger.ms", "50", NULL};

static void start_broker(void)
{
    error = (kf_error)KF_ERROR_INIT;
    broker = help_start_broker((kf_broker_options){.nodes = 1}, 2);
}

static void stop_broker(void) { kf_broker_stop(broker); }

TestSuite(producer_lone, .init = start_broker, .fini = stop_broker, .timeout = 60);

/* What the I/O thread asks for: nothing, while others do its work. */
static pthread_t io_thread;
static atomic_int by_io_thread;

static void *resize(void *context, void *pointer, size_t size)
{
    (void)context;
    if (pthread_equal(pthread_self(), io_thread))
        atomic_fetch_add(&by_io_thread, 1);
    return kf_default_allocator.resize(NULL, pointer, size);
}

static kf_config *configure(void)
{
    static const kf_allocator alloc = {resize, NULL};
    return help_configure(broker, &alloc, &error);
}

static void open_with(kf_config *config, const char *const *settings)
{
    producer = help_open_producer(config, settings, &error);
    cr_assert(ne(ptr, (void *)producer, NULL), "%s", error.text);
    io_thread = producer->io.thread;
}

static const kf_record record = {
    .topic = "orders", .partition = 0, .value = {(const uint8_t *)"v", 1}};

static kf_err send_one(kf_time deadline, kf_delivery *delivery)
{
    return kf_produce_wait(producer, &record, deadline, delivery, &error);
}

/* True: the I/O thread had no part in it. */
static bool sends_alone(void)
{
    int before = atomic_load(&by_io_thread);
    cr_assert(eq(int, send_one(in(5 * KF_SECOND), NULL), KF_OK), "%s", error.text);
    return atomic_load(&by_io_thread) == before;
}

/* The I/O thread comes back now and then, and stays where the machine is busy: in the end it goes.
 */
static void send_until_alone(void)
{
    int sends = 1;
    while (!sends_alone() && sends < 2000)
        sends++;
    cr_assert(lt(int, sends, 2000));
}

Test(producer_lone, takes_the_loop_over_from_the_second_send_on)
{
    open_with(configure(), NULL);
    cr_assert(not(sends_alone()));
    send_until_alone();
    kf_producer_close(producer, in(KF_SECOND));
}

Test(producer_lone, leaves_the_loop_to_others_when_its_time_is_up)
{
    kf_delivery delivery;
    open_with(configure(), NULL);
    send_until_alone();
    kf_broker_pause(broker);
    cr_assert(eq(int, send_one(in(50 * KF_MILLISECOND), &delivery), KF_ERR_TIMED_OUT));
    cr_assert(eq(int, (int)delivery.fate, KF_FATE_UNKNOWN));
    kf_broker_resume(broker);
    cr_assert(eq(int, kf_flush(producer, in(10 * KF_SECOND)), KF_OK));
    kf_producer_close(producer, in(KF_SECOND));
}

static atomic_int told;

static void take_verdict(void *context, const kf_delivery *delivery)
{
    (void)context;
    cr_assert(eq(int, (int)delivery->fate, KF_STORED));
    atomic_fetch_add(&told, 1);
}

Test(producer_lone, leaves_what_lingers_to_the_io_thread)
{
    open_with(configure(), patient);
    send_until_alone();
    kf_record other = record;
    other.partition = 1;
    kf_err err = kf_produce(producer, &other, take_verdict, NULL, in(KF_SECOND), &error);
    cr_assert(eq(int, err, KF_OK), "%s", error.text);
    cr_assert(eq(int, send_one(in(5 * KF_SECOND), NULL), KF_OK));
    while (!atomic_load(&told))
        kf_sleep(KF_MILLISECOND);
    kf_producer_close(producer, in(KF_SECOND));
}

/* ---- a child process ---- */

static void leave_alone(void *context, kf_bytes value)
{
    (void)context;
    (void)value;
    _exit(9);
}

/* What the child sees first that is not as it should be; 0: nothing. */
static int refused_in_child(void)
{
    kf_delivery results[2];
    kf_record records[2] = {record, record};
    if (kf_produce(producer, &record, NULL, NULL, KF_FOREVER, NULL) != KF_ERR_FORKED)
        return 1;
    if (send_one(KF_FOREVER, NULL) != KF_ERR_FORKED)
        return 2;
    if (kf_produce_batch(producer, records, 2, KF_FOREVER, results, NULL) != KF_ERR_FORKED)
        return 3;
    if (kf_produce_take(producer, &record, leave_alone, NULL, NULL, KF_FOREVER, NULL) !=
        KF_ERR_FORKED)
        return 4;
    if (kf_flush(producer, KF_FOREVER) != KF_ERR_FORKED)
        return 5;
    return kf_producer_close(producer, KF_FOREVER) == KF_ERR_FORKED ? 0 : 6;
}

static atomic_bool stop_sending;

static void *keep_sending(void *argument)
{
    (void)argument;
    while (!atomic_load(&stop_sending))
        cr_assert(eq(int, kf_produce_wait(producer, &record, in(20 * KF_SECOND), NULL, NULL), 0));
    return NULL;
}

/* Whoever turns the loop stays behind in the parent. */
Test(producer_lone, is_refused_in_a_child_process_while_a_thread_of_the_parent_turns_the_loop)
{
    pthread_t thread;
    open_with(configure(), NULL);
    pthread_create(&thread, NULL, keep_sending, NULL);
    for (int i = 0; i < 10; i++) {
        kf_sleep(5 * KF_MILLISECOND);
        pid_t child = fork();
        if (child == 0)
            _exit(refused_in_child());
        int status;
        cr_assert(eq(int, waitpid(child, &status, 0), child));
        cr_assert(eq(int, status, 0));
    }
    atomic_store(&stop_sending, true);
    pthread_join(thread, NULL);
    cr_assert(eq(int, kf_producer_close(producer, in(20 * KF_SECOND)), KF_OK));
}

/* ---- callbacks in its turn ---- */

static pthread_t sender;
static atomic_int inside; /* events on the sending thread */
static atomic_int outcome;

static void produce_inside(void *context, const kf_log_event *event)
{
    (void)context;
    (void)event;
    if (!pthread_equal(pthread_self(), sender))
        return;
    atomic_store(&outcome, kf_produce_wait(producer, &record, in(5 * KF_SECOND), NULL, NULL));
    atomic_fetch_add(&inside, 1);
}

/* It would wait for itself. */
Test(producer_lone, refuses_to_wait_for_a_record_within_its_own_turn)
{
    kf_broker_fault fault = {.size = sizeof fault,
                             .kind = KF_BROKER_CLOSE_ANSWER,
                             .api_key = KF_API_PRODUCE,
                             .every = 2};
    kf_config *config = configure();
    kf_config_log(config, KF_LOG_DEBUG, produce_inside, NULL);
    sender = pthread_self();
    open_with(config, (const char *[]){"retry.backoff.ms", "1", "reconnect.backoff.ms", "1",
                                       "reconnect.backoff.max.ms", "1", NULL});
    cr_assert(lt(i32, 0, kf_broker_fault_add(broker, &fault)));
    for (int sends = 0; sends < 2000 && !atomic_load(&inside); sends++)
        cr_assert(eq(int, send_one(in(5 * KF_SECOND), NULL), KF_OK), "%s", error.text);
    cr_assert(lt(int, 0, atomic_load(&inside)));
    cr_assert(eq(int, atomic_load(&outcome), KF_ERR_STATE));
    kf_producer_close(producer, in(KF_SECOND));
}
