#include "group/help_coordinator.h"

#include <stdio.h>
#include <string.h>

enum {
    REBALANCE_SECONDS = 60
};

static kf_string text(const char *chars) { return (kf_string){chars, strlen(chars)}; }

static struct peer *find(struct coordinator *c, kf_string id)
{
    for (int i = 0; i < MAX_PEERS; i++)
        if (c->peers[i].used && strlen(c->peers[i].id) == id.size &&
            !memcmp(c->peers[i].id, id.data, id.size))
            return &c->peers[i];
    return NULL;
}

static struct peer *add_peer(struct coordinator *c)
{
    for (int i = 0; i < MAX_PEERS; i++) {
        struct peer *peer = &c->peers[i];
        if (peer->used)
            continue;
        memset(peer, 0, sizeof *peer);
        peer->used = true;
        peer->expires = c->now + 30 * KF_SECOND;
        snprintf(peer->id, sizeof peer->id, "m%u", ++c->ids);
        return peer;
    }
    return NULL;
}

static void answer_join(struct coordinator *c, struct call *call, kf_err err,
                        const struct peer *peer)
{
    struct kf_join_group_response response;
    struct kf_join_group_response_member members[MAX_PEERS];
    kf_reset(&kf_schema_of_join_group_response, &response);
    response.error_code = (int16_t)err;
    response.member_id = text(peer ? peer->id : "");
    response.protocol_name = text("");
    if (!err) {
        response.generation_id = c->generation;
        response.protocol_name = text(c->protocol);
        response.leader = text(c->peers[c->leader].id);
        response.members.items = members;
        for (int i = 0; peer == &c->peers[c->leader] && i < MAX_PEERS; i++) {
            if (!c->peers[i].in_group)
                continue;
            struct kf_join_group_response_member *one = &members[response.members.count++];
            memset(one, 0, sizeof *one);
            one->member_id = text(c->peers[i].id);
            one->metadata = (kf_bytes){c->peers[i].metadata, c->peers[i].metadata_size};
        }
    }
    call->waits = false;
    c->answer(*call, KF__MEMBER_JOIN, &kf_schema_of_join_group_response, &response);
}

static void answer_sync(struct coordinator *c, struct call *call, kf_err err,
                        const struct peer *peer)
{
    struct kf_sync_group_response response;
    kf_reset(&kf_schema_of_sync_group_response, &response);
    response.error_code = (int16_t)err;
    if (!err)
        response.assignment = (kf_bytes){peer->assignment, peer->assignment_size};
    call->waits = false;
    c->answer(*call, KF__MEMBER_SYNC, &kf_schema_of_sync_group_response, &response);
}

static void complete_join(struct coordinator *c, bool late)
{
    int members = 0;
    for (int i = 0; i < MAX_PEERS; i++) {
        struct peer *peer = &c->peers[i];
        if (late && peer->in_group && !peer->join.waits)
            peer->used = peer->in_group = false;
        members += peer->in_group;
    }
    c->phase = members ? GROUP_COMPLETING : GROUP_EMPTY;
    c->generation++;
    c->leader = -1;
    for (int i = 0; i < MAX_PEERS; i++)
        if (c->peers[i].in_group) {
            c->leader = c->leader < 0 ? i : c->leader;
            c->peers[i].assignment_size = 0;
            c->peers[i].expires = c->now + c->peers[i].session_timeout;
        }
    for (int i = 0; i < MAX_PEERS; i++)
        if (c->peers[i].in_group)
            answer_join(c, &c->peers[i].join, KF_OK, &c->peers[i]);
}

static void try_complete_join(struct coordinator *c)
{
    if (c->phase != GROUP_PREPARING)
        return;
    for (int i = 0; i < MAX_PEERS; i++)
        if (c->peers[i].in_group && !c->peers[i].join.waits)
            return;
    complete_join(c, false);
}

static void prepare(struct coordinator *c)
{
    if (c->phase == GROUP_PREPARING)
        return;
    for (int i = 0; i < MAX_PEERS; i++)
        if (c->peers[i].sync.waits)
            answer_sync(c, &c->peers[i].sync, KF_ERR_REBALANCE_IN_PROGRESS, NULL);
    c->phase = GROUP_PREPARING;
    c->rebalance_ends = c->now + REBALANCE_SECONDS * KF_SECOND;
}

static void remove_peer(struct coordinator *c, struct peer *peer)
{
    bool was_in_group = peer->in_group;
    peer->used = peer->in_group = false;
    peer->join.waits = peer->sync.waits = false;
    if (!was_in_group)
        return;
    prepare(c);
    try_complete_join(c);
}

static void join(struct coordinator *c, struct call call,
                 const struct kf_join_group_request *request)
{
    const struct kf_join_group_request_protocol *protocol = &request->protocols.items[0];
    struct peer *peer = request->member_id.size ? find(c, request->member_id) : add_peer(c);
    if (!peer) {
        answer_join(c, &call, KF_ERR_UNKNOWN_MEMBER_ID, NULL);
        return;
    }
    if (!request->member_id.size && call.version >= 4) {
        answer_join(c, &call, KF_ERR_MEMBER_ID_REQUIRED, peer);
        return;
    }
    bool same = peer->in_group && peer->metadata_size == protocol->metadata.size &&
                !memcmp(peer->metadata, protocol->metadata.data, peer->metadata_size);
    bool leads = c->leader >= 0 && peer == &c->peers[c->leader];
    if (same && (c->phase == GROUP_COMPLETING || (c->phase == GROUP_STABLE && !leads))) {
        answer_join(c, &call, KF_OK, peer);
        return;
    }
    memcpy(peer->metadata, protocol->metadata.data, protocol->metadata.size);
    peer->metadata_size = protocol->metadata.size;
    snprintf(c->protocol, sizeof c->protocol, "%.*s", (int)protocol->name.size,
             protocol->name.data);
    peer->session_timeout = request->session_timeout_ms * KF_MILLISECOND;
    peer->in_group = true;
    prepare(c);
    peer->join = call;
    peer->join.waits = true;
    try_complete_join(c);
}

static void finish_sync(struct coordinator *c, const struct kf_sync_group_request *request)
{
    for (int32_t i = 0; i < request->assignments.count; i++) {
        struct peer *peer = find(c, request->assignments.items[i].member_id);
        kf_bytes bytes = request->assignments.items[i].assignment;
        if (!peer)
            continue;
        memcpy(peer->assignment, bytes.data, bytes.size);
        peer->assignment_size = bytes.size;
    }
    c->phase = GROUP_STABLE;
    for (int i = 0; i < MAX_PEERS; i++)
        if (c->peers[i].sync.waits)
            answer_sync(c, &c->peers[i].sync, KF_OK, &c->peers[i]);
}

/* What holds for sync and heartbeat alike. */
static kf_err check(const struct coordinator *c, const struct peer *peer, int32_t generation)
{
    if (!peer || !peer->in_group)
        return KF_ERR_UNKNOWN_MEMBER_ID;
    if (generation != c->generation)
        return KF_ERR_ILLEGAL_GENERATION;
    return c->phase == GROUP_PREPARING ? KF_ERR_REBALANCE_IN_PROGRESS : KF_OK;
}

static void sync(struct coordinator *c, struct call call,
                 const struct kf_sync_group_request *request)
{
    struct peer *peer = find(c, request->member_id);
    kf_err err = check(c, peer, request->generation_id);
    if (err || c->phase == GROUP_STABLE) {
        answer_sync(c, &call, err, peer);
        return;
    }
    peer->sync = call;
    peer->sync.waits = true;
    if (peer == &c->peers[c->leader])
        finish_sync(c, request);
}

static void heartbeat(struct coordinator *c, struct call call,
                      const struct kf_heartbeat_request *request)
{
    struct kf_heartbeat_response response;
    kf_reset(&kf_schema_of_heartbeat_response, &response);
    struct peer *peer = find(c, request->member_id);
    kf_err err = check(c, peer, request->generation_id);
    response.error_code = (int16_t)err;
    if (!err || err == KF_ERR_REBALANCE_IN_PROGRESS)
        peer->expires = c->now + peer->session_timeout;
    c->answer(call, KF__MEMBER_HEARTBEAT, &kf_schema_of_heartbeat_response, &response);
}

static void leave(struct coordinator *c, struct call call,
                  const struct kf_leave_group_request *request)
{
    struct kf_leave_group_response response;
    struct kf_leave_group_response_member_response one = {0};
    kf_reset(&kf_schema_of_leave_group_response, &response);
    kf_string id = call.version >= 3 ? request->members.items[0].member_id : request->member_id;
    struct peer *peer = find(c, id);
    kf_err err = peer ? KF_OK : KF_ERR_UNKNOWN_MEMBER_ID;
    if (call.version >= 3) {
        one.member_id = id;
        one.error_code = (int16_t)err;
        response.members.items = &one;
        response.members.count = 1;
    } else {
        response.error_code = (int16_t)err;
    }
    if (peer)
        remove_peer(c, peer);
    c->answer(call, KF__MEMBER_LEAVE, &kf_schema_of_leave_group_response, &response);
}

static void refuse(struct coordinator *c, struct call call, enum kf__member_request request)
{
    struct kf_heartbeat_response beat = {.error_code = KF_ERR_NOT_COORDINATOR};
    struct kf_leave_group_response left = {.error_code = KF_ERR_NOT_COORDINATOR};
    switch (request) {
    case KF__MEMBER_JOIN:
        answer_join(c, &call, KF_ERR_NOT_COORDINATOR, NULL);
        break;
    case KF__MEMBER_SYNC:
        answer_sync(c, &call, KF_ERR_NOT_COORDINATOR, NULL);
        break;
    case KF__MEMBER_HEARTBEAT:
        c->answer(call, request, &kf_schema_of_heartbeat_response, &beat);
        break;
    case KF__MEMBER_LEAVE:
        c->answer(call, request, &kf_schema_of_leave_group_response, &left);
        break;
    case KF__MEMBER_REQUESTS:
        break;
    }
}

void coordinator_request(struct coordinator *c, struct call call, enum kf__member_request request,
                         const void *message)
{
    if (c->now < c->moved_until) {
        refuse(c, call, request);
        return;
    }
    switch (request) {
    case KF__MEMBER_JOIN:
        join(c, call, message);
        break;
    case KF__MEMBER_SYNC:
        sync(c, call, message);
        break;
    case KF__MEMBER_HEARTBEAT:
        heartbeat(c, call, message);
        break;
    case KF__MEMBER_LEAVE:
        leave(c, call, message);
        break;
    case KF__MEMBER_REQUESTS:
        break;
    }
}

void coordinator_tick(struct coordinator *c)
{
    for (int i = 0; i < MAX_PEERS; i++) {
        struct peer *peer = &c->peers[i];
        if (peer->used && !peer->join.waits && c->now >= peer->expires)
            remove_peer(c, peer);
    }
    if (c->phase == GROUP_PREPARING && c->now >= c->rebalance_ends)
        complete_join(c, true);
}
