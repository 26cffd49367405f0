/*
 * Several members, one coordinator, a network that delays and loses, and
 * virtual time. Members start, die, leave, are cut off; the coordinator
 * moves; topics grow. At every moment no partition may have two owners; when
 * the trouble ends each must have one.
 */
#include "group/help_alloc.h"
#include "group/help_coordinator.h"
#include "group/member.h"
#include "group/partitions.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    NODES = 5,
    TOPICS = 3,
    PARTITIONS = 16,
    EVENTS = 512,
    MAX_BYTES = 8192
};

static const char *const topic_names[TOPICS] = {"orders", "payments", "t"};

enum event_kind {
    REQUEST_ARRIVES,
    ANSWER_ARRIVES,
    COORDINATOR_FOUND,
    DRAINED,
    METADATA_ARRIVES,
    SUBSCRIBE,
};

struct event {
    bool used;
    kf_time at;
    enum event_kind kind;
    enum kf__member_request request;
    struct call call;
    kf_err err;
    size_t size;
    uint8_t bytes[MAX_BYTES];
};

struct node {
    struct kf__member *member;
    struct failing_allocator memory;
    unsigned life; /* answers of an earlier one are not for this */
    kf_time tick;
    kf_time cut_off_until;
    unsigned serial[KF__MEMBER_REQUESTS]; /* of the request under way; 0: none */
    bool handles[TOPICS][PARTITIONS];
    bool draining[TOPICS][PARTITIONS];
    unsigned drains; /* counts revokes */
    bool leaving;
};

static struct event events[EVENTS];
static struct node nodes[NODES];
static struct coordinator coordinator;
static int32_t partition_counts[TOPICS];
static kf_time now;
static uint64_t seed;
static unsigned serials;
static unsigned loss_percent;
static enum kf__assignor assignor;
static kf_arena arena;
static int rebalances;

static unsigned draw(unsigned below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(seed >> 33) % below;
}

static uint64_t random_bits(void *context)
{
    (void)context;
    return draw(1U << 31);
}

static struct event *plan(enum event_kind kind, int node, kf_time delay)
{
    for (size_t i = 0; i < EVENTS; i++) {
        if (events[i].used)
            continue;
        events[i].used = true;
        events[i].at = now + delay;
        events[i].kind = kind;
        events[i].err = KF_OK;
        events[i].size = 0;
        events[i].call = (struct call){.node = node, .serial = nodes[node].life};
        return &events[i];
    }
    cr_fail("too many events");
    return NULL;
}

static kf_time network_delay(void) { return (1 + draw(100)) * KF_MILLISECOND; }
static bool cut_off(int node) { return now < nodes[node].cut_off_until; }

/* Who handles what */

static int topic_number(kf_string name)
{
    for (int t = 0; t < TOPICS; t++)
        if (!kf__string_compare(name, (kf_string){topic_names[t], strlen(topic_names[t])}))
            return t;
    cr_fail("a topic of nobody's");
    return -1;
}

static void take_over(int node, const struct kf__topic_partition *partition)
{
    int topic = topic_number(partition->topic);
    cr_assert(lt(i32, partition->partition, partition_counts[topic]));
    for (int other = 0; other < NODES; other++) {
        bool handled = nodes[other].handles[topic][partition->partition];
        cr_assert(not(handled), "%s %d: node %d takes what node %d handles, seed %lu",
                  topic_names[topic], partition->partition, node, other, (unsigned long)seed);
    }
    nodes[node].handles[topic][partition->partition] = true;
}

static void stop_draining(struct node *node, bool handles_too)
{
    for (int t = 0; t < TOPICS; t++)
        for (int p = 0; p < PARTITIONS; p++) {
            if (handles_too && node->draining[t][p])
                node->handles[t][p] = false;
            node->draining[t][p] = false;
        }
}

/* The driver of a member */

static int number_of(const void *owner) { return (int)((const struct node *)owner - nodes); }

static int16_t version_of(int node, enum kf__member_request request)
{
    static const int16_t old[] = {2, 1, 1, 1};
    static const int16_t newest[] = {9, 5, 4, 5};
    return node % 2 ? old[request] : newest[request];
}

static const kf_schema *schema_of(enum kf__member_request request)
{
    static const kf_schema *const schemas[] = {
        &kf_schema_of_join_group_request, &kf_schema_of_sync_group_request,
        &kf_schema_of_heartbeat_request, &kf_schema_of_leave_group_request};
    return schemas[request];
}

static const kf_schema *answer_schema_of(enum kf__member_request request)
{
    static const kf_schema *const schemas[] = {
        &kf_schema_of_join_group_response, &kf_schema_of_sync_group_response,
        &kf_schema_of_heartbeat_response, &kf_schema_of_leave_group_response};
    return schemas[request];
}

static void put_bytes(struct event *event, const kf_schema *schema, const void *message)
{
    kf_writer writer;
    kf_writer_init(&writer, &kf_default_allocator);
    cr_assert(eq(int, kf_encode(schema, event->call.version, message, &writer), KF_OK));
    cr_assert(le(sz, writer.used, MAX_BYTES));
    memcpy(event->bytes, writer.bytes, writer.used);
    event->size = writer.used;
    kf_writer_free(&writer);
}

static void on_send(void *owner, enum kf__member_request request)
{
    struct node *node = owner;
    int number = number_of(owner);
    node->serial[request] = ++serials;
    struct call call = {.node = number, .serial = serials, .version = version_of(number, request)};
    const void *message;
    kf_arena own;
    kf_arena_init(&own, &node->memory.alloc, 0);
    kf_err err = kf__member_build(node->member, request, call.version, &own, &message);
    if (!err && (cut_off(number) || draw(100) < loss_percent))
        err = KF_ERR_DISCONNECTED;
    struct event *event = plan(err ? ANSWER_ARRIVES : REQUEST_ARRIVES, number, network_delay());
    event->request = request;
    event->call = call;
    event->err = err;
    if (!err)
        put_bytes(event, schema_of(request), message);
    kf_arena_free(&own);
}

/* The coordinator's answer leaves; it may get lost on its way. */
static void on_answer(struct call call, enum kf__member_request request, const kf_schema *schema,
                      const void *message)
{
    struct event *event = plan(ANSWER_ARRIVES, call.node, network_delay());
    event->request = request;
    event->call = call;
    if (cut_off(call.node) || draw(100) < loss_percent)
        event->err = KF_ERR_DISCONNECTED;
    else
        put_bytes(event, schema, message);
}

static void on_cancel(void *owner, enum kf__member_request request)
{
    ((struct node *)owner)->serial[request] = 0;
}

static void on_tick_at(void *owner, kf_time at) { ((struct node *)owner)->tick = at; }

static void on_coordinator_lost(void *owner, kf_err why)
{
    (void)why;
    plan(COORDINATOR_FOUND, number_of(owner), network_delay());
}

static void on_describe(void *owner, const kf_string *topics, size_t count)
{
    (void)topics;
    (void)count;
    plan(METADATA_ARRIVES, number_of(owner), network_delay());
}

static void on_assigned(void *owner, const struct kf__partition_list *added,
                        const struct kf__partition_list *all)
{
    (void)all;
    for (size_t i = 0; i < added->count; i++)
        take_over(number_of(owner), &added->items[i]);
}

static void on_revoked(void *owner, const struct kf__partition_list *list, kf_time deadline)
{
    struct node *node = owner;
    cr_assert(lt(sz, 0, list->count));
    cr_assert(lt(i64, now, deadline));
    for (size_t i = 0; i < list->count; i++) {
        int topic = topic_number(list->items[i].topic);
        cr_assert(node->handles[topic][list->items[i].partition]);
        node->draining[topic][list->items[i].partition] = true;
    }
    node->drains++;
    if (draw(4)) {
        plan(DRAINED, number_of(owner), draw(1500) * KF_MILLISECOND)->call.version =
            (int16_t)node->drains;
    } else {
        stop_draining(node, true);
        kf__member_drained(node->member, now);
    }
}

static void on_lost(void *owner, const struct kf__partition_list *list, kf_err why)
{
    (void)why;
    struct node *node = owner;
    for (size_t i = 0; i < list->count; i++) {
        int topic = topic_number(list->items[i].topic);
        cr_assert(node->handles[topic][list->items[i].partition]);
        node->handles[topic][list->items[i].partition] = false;
        node->draining[topic][list->items[i].partition] = false;
    }
    node->drains++; /* a drain under way is void */
}

static void on_left(void *owner, kf_err err)
{
    (void)err;
    struct node *node = owner;
    for (int t = 0; t < TOPICS; t++)
        for (int p = 0; p < PARTITIONS; p++)
            cr_assert(not(node->handles[t][p]));
    node->leaving = true;
    node->tick = KF_FOREVER;
}

static void on_fatal(void *owner, kf_err err, const char *text)
{
    (void)owner;
    cr_fail("fatal %s: %s", kf_err_name(err), text);
}

static void on_log(void *owner, const kf_log_event *event)
{
    (void)owner;
    rebalances += !strcmp(event->name, "rebalance");
}

static const struct kf__member_effects effects = {
    .send = on_send,
    .cancel = on_cancel,
    .tick_at = on_tick_at,
    .coordinator_lost = on_coordinator_lost,
    .describe_topics = on_describe,
    .assigned = on_assigned,
    .revoked = on_revoked,
    .lost = on_lost,
    .left = on_left,
    .fatal = on_fatal,
    .log = on_log,
};

static void start_node(int number)
{
    struct node *node = &nodes[number];
    struct kf__member_settings settings = {
        .group_id = "g",
        .client_id = "c",
        .session_timeout = 10 * KF_SECOND,
        .rebalance_timeout = 60 * KF_SECOND,
        .heartbeat_interval = KF_SECOND,
        .retry_backoff = 50 * KF_MILLISECOND,
        .retry_backoff_max = KF_SECOND,
        .assignors = {assignor},
        .assignor_count = 1,
        .random = random_bits,
    };
    struct node fresh = {.memory = node->memory, .life = node->life + 1, .tick = KF_FOREVER};
    *node = fresh;
    node->memory.alloc.context = &node->memory;
    struct kf__member_effects own = effects;
    own.owner = node;
    while (kf__member_new(&node->memory.alloc, &settings, &own, &node->member)) /* fails once */
        cr_assert(zero(ptr, node->member));
    plan(SUBSCRIBE, number, 0);
}

static void kill_node(int number)
{
    struct node *node = &nodes[number];
    kf__member_free(node->member);
    node->member = NULL;
    node->tick = KF_FOREVER;
    node->life++;
    memset(node->handles, 0, sizeof node->handles);
    memset(node->draining, 0, sizeof node->draining);
    memset(node->serial, 0, sizeof node->serial);
}

/* Odd nodes read all topics, even ones too, unless subscriptions are mixed. */
static bool mixed;
static void subscribe(int number)
{
    kf_string names[TOPICS];
    size_t count = mixed && number == 2 ? 1 : TOPICS;
    for (size_t t = 0; t < count; t++)
        names[t] = (kf_string){topic_names[t], strlen(topic_names[t])};
    if (!nodes[number].leaving && kf__member_subscribe(nodes[number].member, names, count, now))
        plan(SUBSCRIBE, number, KF_MILLISECOND);
}

static void tell_topics(int number)
{
    struct kf__topic_shape shapes[TOPICS];
    for (int t = 0; t < TOPICS; t++)
        shapes[t] = (struct kf__topic_shape){
            {topic_names[t], strlen(topic_names[t])}, partition_counts[t], NULL};
    kf__member_topics(nodes[number].member, shapes, TOPICS, now);
}

/* Time */

static void request_arrives(struct event *event)
{
    union {
        struct kf_join_group_request join;
        struct kf_sync_group_request sync;
        struct kf_heartbeat_request heartbeat;
        struct kf_leave_group_request leave;
    } message;
    kf_arena_reset(&arena);
    cr_assert(eq(int,
                 kf_decode(schema_of(event->request), event->call.version, event->bytes,
                           event->size, &arena, &message),
                 KF_OK));
    coordinator_request(&coordinator, event->call, event->request, &message);
}

static void answer_arrives(struct event *event)
{
    union {
        struct kf_join_group_response join;
        struct kf_sync_group_response sync;
        struct kf_heartbeat_response heartbeat;
        struct kf_leave_group_response leave;
    } message;
    struct node *node = &nodes[event->call.node];
    if (!node->member || node->serial[event->request] != event->call.serial)
        return;
    node->serial[event->request] = 0;
    kf_arena_reset(&arena);
    if (!event->err)
        cr_assert(eq(int,
                     kf_decode(answer_schema_of(event->request), event->call.version, event->bytes,
                               event->size, &arena, &message),
                     KF_OK));
    kf__member_answer(node->member, event->request, event->err, event->call.version, &message, now);
}

static void handle(struct event *event)
{
    int number = event->call.node;
    struct node *node = &nodes[number];
    if (event->kind == REQUEST_ARRIVES) {
        request_arrives(event);
        return;
    }
    if (event->kind == ANSWER_ARRIVES) {
        answer_arrives(event);
        return;
    }
    if (!node->member || event->call.serial != node->life)
        return;
    if (event->kind == COORDINATOR_FOUND) {
        if (cut_off(number) || now < coordinator.moved_until)
            plan(COORDINATOR_FOUND, number, 200 * KF_MILLISECOND);
        else
            kf__member_coordinator_found(node->member, now);
    } else if (event->kind == METADATA_ARRIVES) {
        if (cut_off(number))
            plan(METADATA_ARRIVES, number, 200 * KF_MILLISECOND);
        else
            tell_topics(number);
    } else if (event->kind == SUBSCRIBE) {
        subscribe(number);
    } else if (event->kind == DRAINED && event->call.version == (int16_t)node->drains) {
        stop_draining(node, true);
        kf__member_drained(node->member, now);
    }
}

static kf_time next_time(void)
{
    kf_time next = now + 250 * KF_MILLISECOND; /* the coordinator's own clock */
    for (size_t i = 0; i < EVENTS; i++)
        if (events[i].used && events[i].at < next)
            next = events[i].at;
    for (int i = 0; i < NODES; i++)
        if (nodes[i].member && nodes[i].tick < next)
            next = nodes[i].tick > now ? nodes[i].tick : now;
    return next;
}

static void run_until(kf_time end)
{
    static struct event one;
    while (now < end) {
        now = coordinator.now = next_time();
        for (size_t i = 0; i < EVENTS; i++)
            if (events[i].used && events[i].at <= now) {
                one = events[i];
                events[i].used = false;
                handle(&one);
            }
        for (int i = 0; i < NODES; i++)
            if (nodes[i].member && nodes[i].tick <= now)
                kf__member_tick(nodes[i].member, now);
        coordinator_tick(&coordinator);
    }
}

/* The world */

static void make_world(uint64_t from, enum kf__assignor which)
{
    seed = from * 7919 + 1;
    assignor = which;
    now = 1000 * KF_SECOND;
    loss_percent = 0;
    mixed = false;
    memset(events, 0, sizeof events);
    memset(nodes, 0, sizeof nodes);
    memset(&coordinator, 0, sizeof coordinator);
    coordinator.answer = on_answer;
    coordinator.leader = -1;
    coordinator.now = now;
    for (int t = 0; t < TOPICS; t++)
        partition_counts[t] = 4;
    for (int i = 0; i < NODES; i++) {
        failing_allocator_init(&nodes[i].memory, -1);
        nodes[i].tick = KF_FOREVER;
    }
    kf_arena_init(&arena, &kf_default_allocator, 0);
}

static void end_world(void)
{
    for (int i = 0; i < NODES; i++)
        if (nodes[i].member)
            kill_node(i);
    kf_arena_free(&arena);
}

static void trouble(void)
{
    int number = (int)draw(NODES);
    struct node *node = &nodes[number];
    switch (draw(8)) {
    case 0:
    case 1:
        if (!node->member || node->leaving) {
            if (node->member)
                kill_node(number);
            start_node(number);
        }
        break;
    case 2:
        if (node->member)
            kill_node(number);
        break;
    case 3:
        if (node->member && !node->leaving) {
            node->leaving = true;
            kf__member_leave(node->member, now + 5 * KF_SECOND, now);
        }
        break;
    case 4:
        coordinator.moved_until = now + draw(3000) * KF_MILLISECOND;
        break;
    case 5:
        node->cut_off_until = now + draw(15000) * KF_MILLISECOND;
        break;
    case 6:
        number = (int)draw(TOPICS);
        if (partition_counts[number] < PARTITIONS)
            partition_counts[number]++;
        for (int i = 0; i < NODES; i++)
            if (nodes[i].member)
                plan(METADATA_ARRIVES, i, draw(2000) * KF_MILLISECOND);
        break;
    case 7:
        mixed = draw(2);
        for (int i = 0; i < NODES; i++)
            if (nodes[i].member)
                plan(SUBSCRIBE, i, draw(2000) * KF_MILLISECOND);
        break;
    }
}

static void check_peace(uint64_t which)
{
    for (int i = 0; i < NODES; i++)
        if (nodes[i].member && !nodes[i].leaving)
            cr_assert(kf__member_is_stable(nodes[i].member), "node %d, seed %lu", i,
                      (unsigned long)which);
    for (int t = 0; t < TOPICS; t++)
        for (int p = 0; p < partition_counts[t]; p++) {
            int owners = 0;
            for (int i = 0; i < NODES; i++)
                owners += nodes[i].handles[t][p];
            cr_assert(eq(int, owners, 1), "%s %d, seed %lu", topic_names[t], p,
                      (unsigned long)which);
        }
}

static void live_through(uint64_t from, enum kf__assignor which)
{
    make_world(from, which);
    start_node(0);
    start_node(1);
    loss_percent = draw(10);
    for (int i = 0; i < 40; i++) {
        run_until(now + draw(4000) * KF_MILLISECOND);
        trouble();
    }
    loss_percent = 0;
    mixed = false;
    for (int i = 0; i < NODES; i++) {
        nodes[i].cut_off_until = 0;
        if (nodes[i].member && nodes[i].leaving)
            kill_node(i);
        else if (nodes[i].member)
            plan(SUBSCRIBE, i, 0);
        if (!nodes[i].member && i == 0)
            start_node(i);
    }
    run_until(now + 90 * KF_SECOND);
    check_peace(from);
    end_world();
}

Test(simulation, cooperative_members_never_share_a_partition_and_own_all_in_peace)
{
    for (uint64_t from = 1; from <= 60; from++)
        live_through(from, KF__ASSIGNOR_COOPERATIVE_STICKY);
    cr_assert(lt(int, 1000, rebalances));
}

Test(simulation, eager_members_never_share_a_partition_and_own_all_in_peace)
{
    for (uint64_t from = 1; from <= 60; from++)
        live_through(from, from % 2 ? KF__ASSIGNOR_STICKY : KF__ASSIGNOR_RANGE);
    cr_assert(lt(int, 1000, rebalances));
}

/* Every allocation of a member's life fails once, in a life of its own. */
Test(simulation, a_member_gets_over_any_failed_allocation)
{
    bool failed = true;
    for (long at = 0; failed; at++) {
        make_world(1, KF__ASSIGNOR_COOPERATIVE_STICKY);
        failing_allocator_init(&nodes[0].memory, at);
        start_node(0);
        run_until(now + 3 * KF_SECOND);
        start_node(1);
        run_until(now + 20 * KF_SECOND);
        check_peace((uint64_t)at);
        kf__member_leave(nodes[0].member, now + 5 * KF_SECOND, now);
        nodes[0].leaving = true;
        run_until(now + 10 * KF_SECOND);
        failed = nodes[0].memory.failed;
        kill_node(0);
        check_peace((uint64_t)at);
        end_world();
    }
}
