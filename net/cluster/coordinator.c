/*
 * coordinator: which broker looks after a group or a transactional id.
 *
 *   FindCoordinator to any broker ──▶ node          (v4 and later: lists of keys)
 *        ▲ back-off   │ not available, loading, no connection
 *        └────────────┘ until the deadline
 */
#include "net/cluster/cluster_inner.h"
#include "net/loop/times.h"

#include <string.h>

static void ask(struct kf__coordinator_search *search);

static void finish(struct kf__coordinator_search *search, kf_err err, int32_t node)
{
    kf__timer_cancel(search->cluster->loop, &search->retry);
    search->done(search, err, node);
}

static void try_again(struct kf__coordinator_search *search, kf_err err)
{
    struct kf__cluster *cluster = search->cluster;
    const struct kf__world *world = kf__loop_world(cluster->loop);
    kf_time now = kf__loop_now(cluster->loop);
    kf_time at = kf__after(now, kf__back_off(cluster->settings.retry_backoff,
                                             cluster->settings.retry_backoff_max, search->attempts,
                                             world->random(world->context)));
    search->attempts++;
    if (err != KF_ERR_TIMED_OUT)
        search->heard = err;
    if (at >= search->deadline) /* the try that time runs out on says nothing */
        finish(search, search->heard ? search->heard : err, -1);
    else
        kf__timer_set(cluster->loop, &search->retry, at);
}

static void retry(struct kf__timer *timer, void *owner)
{
    (void)timer;
    ask(owner);
}

static kf_err build(struct kf__call *call, int16_t version, kf_arena *arena, const void **message)
{
    const struct kf__coordinator_search *search = call->owner;
    struct kf_find_coordinator_request *request = kf_arena_alloc(arena, sizeof *request);
    kf_string *keys = kf_arena_alloc(arena, sizeof *keys);
    if (!request || !keys)
        return KF_ERR_NO_MEMORY;
    kf_reset(&kf_schema_of_find_coordinator_request, request);
    *keys = (kf_string){search->key, strlen(search->key)};
    if (version >= 1)
        request->key_type = search->key_type;
    else if (search->key_type != KF__KEY_GROUP)
        return KF_ERR_API_NOT_SUPPORTED;
    if (version >= 4) {
        request->coordinator_keys.items = keys;
        request->coordinator_keys.count = 1;
    } else {
        request->key = *keys;
    }
    *message = request;
    return KF_OK;
}

/* The answer in one shape for all versions. */
static struct kf_find_coordinator_response_coordinator
read_answer(const struct kf_find_coordinator_response *response, int16_t version)
{
    if (version < 4)
        return (struct kf_find_coordinator_response_coordinator){.node_id = response->node_id,
                                                                 .host = response->host,
                                                                 .port = response->port,
                                                                 .error_code = response->error_code,
                                                                 .error_message =
                                                                     response->error_message};
    if (response->coordinators.count > 0)
        return response->coordinators.items[0];
    return (struct kf_find_coordinator_response_coordinator){
        .node_id = -1, .error_code = KF_ERR_COORDINATOR_NOT_AVAILABLE};
}

/* A coordinator that metadata does not have yet can be called all the same. */
static kf_err learn(struct kf__cluster *cluster,
                    const struct kf_find_coordinator_response_coordinator *found)
{
    if (found->node_id < 0)
        return KF_ERR_COORDINATOR_NOT_AVAILABLE;
    kf_string no_rack = {NULL, 0};
    kf__cluster_learn_node(cluster, found->node_id, found->host, found->port, no_rack);
    bool there = kf__cluster_has_node(cluster, found->node_id);
    return there ? KF_OK : KF_ERR_COORDINATOR_NOT_AVAILABLE;
}

static bool is_worth_retrying(kf_err err)
{
    return kf_err_retriable(err) || err == KF_ERR_REQUEST_TIMED_OUT ||
           err == KF_ERR_UNKNOWN_SERVER_ERROR;
}

static void done(struct kf__call *call, kf_err err, const struct kf__answer *answer)
{
    struct kf__coordinator_search *search = call->owner;
    int32_t node = -1;
    if (!err) {
        struct kf_find_coordinator_response_coordinator found =
            read_answer(answer->message, answer->version);
        node = found.node_id;
        err = found.error_code ? found.error_code : learn(search->cluster, &found);
    }
    if (!err)
        finish(search, KF_OK, node);
    else if (is_worth_retrying(err))
        try_again(search, err);
    else
        finish(search, err, -1);
}

static void ask(struct kf__coordinator_search *search)
{
    search->call = (struct kf__call){.api_key = KF_API_FIND_COORDINATOR,
                                     .deadline = search->deadline,
                                     .build = build,
                                     .done = done,
                                     .owner = search};
    kf__cluster_send(search->cluster, KF__NODE_ANY, KF__LANE_CONTROL, &search->call);
}

void kf__cluster_find_coordinator(struct kf__cluster *cluster,
                                  struct kf__coordinator_search *search)
{
    search->cluster = cluster;
    search->attempts = 0;
    search->heard = KF_OK;
    kf__timer_init(&search->retry, retry, search);
    ask(search);
}

void kf__coordinator_search_cancel(struct kf__coordinator_search *search)
{
    if (!search->cluster)
        return;
    kf__timer_cancel(search->cluster->loop, &search->retry);
    kf__call_cancel(&search->call);
}
