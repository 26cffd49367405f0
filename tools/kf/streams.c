/* streams: TCP put together again. Called by decode.c. */
#include "tools/kf/streams.h"

#include <kafiber/codec.h>
#include <kafiber/dissect.h>
#include <kafiber/messages.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUCKETS = 4096,
    MOST_CONNECTIONS = 16384, /* then those that are over are forgotten, or else the oldest */
    MOST_WAITING = 256,       /* pieces behind a gap: then it is taken as lost */
    KEPT_ROOM = 1 << 20,      /* bytes of a half's buffer that stay between frames */
    MOST_OUTSTANDING = 4096,  /* requests without answer: then the oldest is forgotten */
    SIZE_FIELD = 4,
    LEAST_REQUEST = 14, /* bytes: size, API, version, correlation id, client id's length */
    CLIENT = 0,
    SERVER = 1,
};

/* Bytes; Kafka's own limit is 100 MiB, and a TLS handshake reads as one of 352 MiB. */
static const uint32_t largest_frame = 256u << 20;

/* Bytes that came before others that should precede them. */
struct piece {
    uint32_t sequence;
    const uint8_t *bytes; /* NULL: known to be missing */
    uint8_t *owned;       /* the same, of one that waits */
    size_t size;
    int64_t time;
};

/* One direction. */
struct half {
    bool started;
    bool synced;           /* `frame` begins where a frame does */
    uint32_t next;         /* sequence number of the next byte */
    struct piece *waiting; /* MOST_WAITING of them, once one has to wait */
    size_t waiting_count;
    uint8_t *frame; /* owned: the bytes of the frame being received, and more */
    size_t used;
    size_t room;
    size_t ignore;    /* bytes to pass over: the rest of a damaged frame */
    uint64_t early;   /* bytes passed over before the first frame: it began before the capture */
    uint64_t skipped; /* and later */
    bool begun;       /* a frame began */
    bool fin;         /* nothing comes after `last` */
    uint32_t last;
};

struct outstanding {
    int32_t correlation_id;
    int16_t api_key;
    int16_t api_version;
    int16_t forwarded_key; /* of the request inside an Envelope */
    int16_t forwarded_version;
};

struct connection {
    struct connection *next;
    uint64_t number;
    struct kf__endpoint ends[2];
    int client;   /* 0 or 1: whose half the requests are; -1: not known yet */
    bool foreign; /* no Kafka */
    bool kafka;   /* a request was seen */
    bool sasl;    /* raw SASL messages follow, until a request comes */
    bool over;    /* closed by both, or reset: nothing is kept but what it was */
    struct half *halves[2];
    struct outstanding *outstanding;
    size_t outstanding_count;
    unsigned tokens; /* raw SASL messages of the client not yet answered */
};

struct kf__streams {
    struct kf__streams_events events;
    struct connection *buckets[BUCKETS];
    uint64_t connections; /* so far */
    size_t kept;
    kf_err err;
};

static kf_err drain(kf__streams *streams, struct connection *connection, int from);
static kf_err finish(kf__streams *streams, struct connection *connection);
static kf_err give_up_gap(kf__streams *streams, struct connection *connection, int from);

static uint32_t be32(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static int16_t be16(const uint8_t *b) { return (int16_t)(uint16_t)(b[0] << 8 | b[1]); }

static void KF_PRINTF(4, 5) remark(kf__streams *streams, const struct connection *connection,
                                   bool loss, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    streams->events.remark(connection->number, loss, text, streams->events.context);
}

bool kf__looks_like_request(const uint8_t *bytes, size_t size)
{
    if (size < LEAST_REQUEST)
        return false;
    uint32_t announced = be32(bytes);
    const kf_schema *schema = kf_schema_request(be16(bytes + 4));
    int16_t version = be16(bytes + 6), client_id = be16(bytes + 12);
    return announced >= LEAST_REQUEST - SIZE_FIELD && announced <= largest_frame && schema &&
           version >= kf_schema_min_version(schema) && version <= kf_schema_max_version(schema) &&
           client_id >= -1 && (uint32_t)(client_id + LEAST_REQUEST - SIZE_FIELD) <= announced;
}

/* ---- connections ---- */

static bool same_end(const struct kf__endpoint *a, const struct kf__endpoint *b)
{
    return a->port == b->port && a->ipv6 == b->ipv6 &&
           memcmp(a->address, b->address, sizeof a->address) == 0;
}

/* The same for both directions. */
static size_t bucket_of(const struct kf__segment *segment)
{
    uint32_t sum = (uint32_t)segment->from.port * segment->to.port;
    for (size_t i = 0; i < sizeof segment->from.address; i++)
        sum += (uint32_t)(segment->from.address[i] + segment->to.address[i]) << i;
    return (sum ^ sum >> 12) % BUCKETS;
}

static void free_half(struct half *half)
{
    if (!half)
        return;
    for (size_t i = 0; i < half->waiting_count; i++)
        free(half->waiting[i].owned);
    free(half->frame);
    free(half->waiting);
    free(half);
}

/* What it took is free again. */
static void empty_connection(struct connection *connection)
{
    free_half(connection->halves[0]);
    free_half(connection->halves[1]);
    free(connection->outstanding);
    connection->halves[0] = connection->halves[1] = NULL;
    connection->outstanding = NULL;
    connection->outstanding_count = 0;
}

static void forget(kf__streams *streams, struct connection **place)
{
    struct connection *connection = *place;
    *place = connection->next;
    empty_connection(connection);
    free(connection);
    streams->kept--;
}

/* Forgets all that are over; where there are none, the oldest. */
static kf_err make_place(kf__streams *streams)
{
    struct connection **oldest = NULL;
    size_t before = streams->kept;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct connection **place = &streams->buckets[i]; *place;) {
            if ((*place)->over) {
                forget(streams, place);
                continue;
            }
            if (!oldest || (*place)->number < (*oldest)->number)
                oldest = place;
            place = &(*place)->next;
        }
    if (streams->kept < before)
        return KF_OK;
    kf_err err = finish(streams, *oldest);
    forget(streams, oldest);
    return err;
}

/* The segment's connection, made where there is none; *from is the sender's half. */
static struct connection *find(kf__streams *streams, const struct kf__segment *segment, int *from)
{
    struct connection **bucket = &streams->buckets[bucket_of(segment)];
    for (struct connection *c = *bucket; c; c = c->next) {
        for (*from = 0; *from < 2; ++*from)
            if (same_end(&c->ends[*from], &segment->from) &&
                same_end(&c->ends[!*from], &segment->to))
                return c;
    }
    if (streams->kept == MOST_CONNECTIONS)
        streams->err = make_place(streams);
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection)
        return NULL;
    *from = 0;
    streams->kept++;
    connection->next = *bucket;
    connection->number = ++streams->connections;
    connection->ends[0] = segment->from;
    connection->ends[1] = segment->to;
    connection->client = -1;
    *bucket = connection;
    return connection;
}

static struct half *half_of(struct connection *connection, int from)
{
    if (!connection->halves[from])
        connection->halves[from] = calloc(1, sizeof(struct half));
    return connection->halves[from];
}

/* ---- requests and their answers ---- */

static kf_err remember(struct connection *connection, const uint8_t *frame, size_t size)
{
    if (!connection->outstanding)
        connection->outstanding = calloc(MOST_OUTSTANDING, sizeof *connection->outstanding);
    if (!connection->outstanding)
        return KF_ERR_NO_MEMORY;
    if (connection->outstanding_count == MOST_OUTSTANDING)
        memmove(connection->outstanding, connection->outstanding + 1,
                --connection->outstanding_count * sizeof *connection->outstanding);
    struct outstanding *asked = &connection->outstanding[connection->outstanding_count++];
    *asked = (struct outstanding){
        .correlation_id = (int32_t)be32(frame + 8),
        .api_key = be16(frame + 4),
        .api_version = be16(frame + 6),
        .forwarded_key = -1,
    };
    if (asked->api_key == KF_API_SASL_HANDSHAKE && asked->api_version == 0)
        connection->sasl = true; /* KIP-152: from v1 on they stand in SaslAuthenticate */
    kf_dissection facts;
    if (asked->api_key == KF_API_ENVELOPE) {
        kf_err err =
            kf_dissect_request(frame, size, NULL, &kf_default_allocator, NULL, NULL, &facts);
        asked->forwarded_key = facts.forwarded_api_key;
        asked->forwarded_version = facts.forwarded_api_version;
        return err;
    }
    return KF_OK;
}

static bool is_outstanding(const struct connection *connection, int32_t correlation_id, size_t *at)
{
    for (*at = 0; *at < connection->outstanding_count; ++*at)
        if (connection->outstanding[*at].correlation_id == correlation_id)
            return true;
    return false;
}

/* Answers come in the order of the requests: what is before it gets none (acks=0). */
static void pair(struct connection *connection, struct kf__frame_seen *seen)
{
    size_t at;
    seen->paired = is_outstanding(connection, (int32_t)be32(seen->bytes + SIZE_FIELD), &at);
    if (!seen->paired)
        return;
    seen->api_key = connection->outstanding[at].api_key;
    seen->api_version = connection->outstanding[at].api_version;
    seen->forwarded_key = connection->outstanding[at].forwarded_key;
    seen->forwarded_version = connection->outstanding[at].forwarded_version;
    connection->outstanding_count -= at + 1;
    memmove(connection->outstanding, connection->outstanding + at + 1,
            connection->outstanding_count * sizeof *connection->outstanding);
}

/* A response proves that its request arrived: what is missing before that is lost to us. */
static kf_err find_request(kf__streams *streams, struct connection *connection,
                           int32_t correlation_id)
{
    size_t at;
    struct half *requests = connection->halves[connection->client];
    while (requests && requests->waiting_count &&
           !is_outstanding(connection, correlation_id, &at)) {
        kf_err err = give_up_gap(streams, connection, connection->client);
        if (err)
            return err;
    }
    return KF_OK;
}

/* ---- frames ---- */

/* Stricter, where nothing else says that a frame begins here: zeros look like much. */
static bool is_surely_request(const uint8_t *bytes, size_t size)
{
    if (!kf__looks_like_request(bytes, size))
        return false;
    size_t frame = be32(bytes) + (size_t)SIZE_FIELD;
    if (size >= frame) {
        kf_dissection facts;
        return kf_dissect_request(bytes, frame, NULL, &kf_default_allocator, NULL, NULL, &facts) ==
                   KF_OK &&
               !facts.err;
    }
    int16_t client_id = be16(bytes + 12);
    bool printable = client_id > 0 && (size_t)client_id <= size - LEAST_REQUEST;
    for (int16_t i = 0; printable && i < client_id; i++)
        printable = bytes[LEAST_REQUEST + i] >= ' ';
    return printable;
}

/*
 * Whether it is a raw SASL message. After a handshake of v0 the client sends them until it sends a
 * request, and the broker answers each with one, the last perhaps of no bytes.
 */
static bool is_sasl(struct connection *connection, const struct kf__frame_seen *seen)
{
    if (seen->request) {
        connection->sasl = connection->sasl && !is_surely_request(seen->bytes, seen->size);
        connection->tokens += connection->sasl;
        return connection->sasl;
    }
    if (connection->tokens == 0 || connection->outstanding_count)
        return false;
    connection->tokens--;
    return true;
}

/* Bytes of the smallest frame, its size not counted. */
static uint32_t least_frame(const struct connection *connection)
{
    return connection->sasl || connection->tokens ? 0 : SIZE_FIELD;
}

static bool is_no_size(const struct connection *connection, uint32_t announced)
{
    return announced < least_frame(connection) || announced > largest_frame;
}

/* What a response answers, or what a request asks. */
static kf_err match(kf__streams *streams, struct connection *connection,
                    struct kf__frame_seen *seen)
{
    seen->sasl = is_sasl(connection, seen);
    if (seen->sasl)
        return KF_OK;
    if (seen->request && seen->size >= LEAST_REQUEST - 2) {
        connection->kafka = true;
        return remember(connection, seen->bytes, seen->size);
    }
    if (seen->request || seen->size < 2 * SIZE_FIELD)
        return KF_OK;
    kf_err err = find_request(streams, connection, (int32_t)be32(seen->bytes + SIZE_FIELD));
    pair(connection, seen);
    return err;
}

static kf_err hand_out(kf__streams *streams, struct connection *connection, int from,
                       const uint8_t *bytes, size_t size, size_t missing, int64_t time)
{
    struct kf__frame_seen seen = {
        .time = time,
        .connection = connection->number,
        .from = connection->ends[from],
        .to = connection->ends[!from],
        .request = from == connection->client,
        .bytes = bytes,
        .size = size,
        .missing = missing,
    };
    kf_err err = match(streams, connection, &seen);
    streams->events.frame(&seen, streams->events.context);
    return err;
}

/* Whether frames of this half may begin at these bytes. */
static bool may_begin(struct connection *connection, int from, const uint8_t *bytes, size_t size)
{
    size_t at;
    if (connection->client < 0 && is_surely_request(bytes, size))
        connection->client = from;
    if (connection->client < 0)
        return false;
    if (connection->client == from)
        return is_surely_request(bytes, size);
    return size >= 2 * SIZE_FIELD && be32(bytes) <= largest_frame &&
           is_outstanding(connection, (int32_t)be32(bytes + SIZE_FIELD), &at);
}

static void turn_foreign(kf__streams *streams, struct connection *connection, const uint8_t *bytes,
                         size_t size)
{
    bool tls = size >= 2 && bytes[0] == 0x16 && bytes[1] == 3;
    connection->foreign = true;
    remark(streams, connection, tls,
           tls ? "TLS: what is inside cannot be seen" : "no Kafka: left out");
}

static void lose_sync(kf__streams *streams, struct connection *connection, int from,
                      uint32_t announced)
{
    struct half *half = connection->halves[from];
    remark(streams, connection, true,
           "%s: a frame that announces %d bytes: passed over until a frame begins again",
           from == connection->client ? "requests" : "responses", (int32_t)announced);
    half->synced = false;
    half->skipped += half->used;
    half->used = 0;
}

/* Whether the connection's first bytes are a request; asks for more where they don't say. */
static bool check_first(kf__streams *streams, struct connection *connection, int from)
{
    struct half *half = connection->halves[from];
    if (connection->kafka || from != connection->client)
        return true;
    uint32_t announced = be32(half->frame);
    if (half->used < LEAST_REQUEST && announced >= LEAST_REQUEST - SIZE_FIELD &&
        announced <= largest_frame)
        return false;
    if (kf__looks_like_request(half->frame, half->used))
        return true;
    turn_foreign(streams, connection, half->frame, half->used);
    return false;
}

/* Hands out the whole frames at the front of the half's bytes. */
static kf_err cut(kf__streams *streams, struct connection *connection, int from, int64_t time)
{
    struct half *half = connection->halves[from];
    size_t at = 0;
    kf_err err = KF_OK;
    while (!err && half->used - at >= SIZE_FIELD) {
        if (at == 0 && !check_first(streams, connection, from))
            return KF_OK;
        uint32_t announced = be32(half->frame + at);
        if (is_no_size(connection, announced))
            break;
        if (half->used - at - SIZE_FIELD < announced)
            break;
        err =
            hand_out(streams, connection, from, half->frame + at, announced + SIZE_FIELD, 0, time);
        at += announced + SIZE_FIELD;
    }
    half->used -= at;
    if (at && half->used)
        memmove(half->frame, half->frame + at, half->used);
    if (half->used == 0 && half->room > KEPT_ROOM) {
        free(half->frame);
        half->frame = NULL;
        half->room = 0;
    }
    if (!err && half->used >= SIZE_FIELD && is_no_size(connection, be32(half->frame)))
        lose_sync(streams, connection, from, be32(half->frame));
    return err;
}

static kf_err append(struct half *half, const uint8_t *bytes, size_t size)
{
    if (half->room - half->used < size) {
        size_t room = half->room * 2 > half->used + size ? half->room * 2 : half->used + size;
        uint8_t *frame = realloc(half->frame, room);
        if (!frame)
            return KF_ERR_NO_MEMORY;
        half->frame = frame;
        half->room = room;
    }
    memcpy(half->frame + half->used, bytes, size);
    half->used += size;
    return KF_OK;
}

/* Bytes in order. */
static kf_err deliver(kf__streams *streams, struct connection *connection, int from,
                      const uint8_t *bytes, size_t size, int64_t time)
{
    struct half *half = connection->halves[from];
    size_t ignored = size < half->ignore ? size : half->ignore;
    half->ignore -= ignored;
    bytes += ignored;
    size -= ignored;
    if (size == 0 || connection->foreign)
        return KF_OK;
    if (!half->synced) {
        half->synced = may_begin(connection, from, bytes, size);
        if (!half->synced) {
            *(half->begun ? &half->skipped : &half->early) += size;
            return KF_OK;
        }
    }
    half->begun = true;
    kf_err err = append(half, bytes, size);
    return err ? err : cut(streams, connection, from, time);
}

/* ---- bytes that are missing ---- */

/* `size` bytes are lost to us: the frame they stand in is handed out as far as it goes. */
static kf_err miss(kf__streams *streams, struct connection *connection, int from, size_t size,
                   int64_t time)
{
    struct half *half = connection->halves[from];
    size_t ignored = size < half->ignore ? size : half->ignore;
    half->ignore -= ignored;
    half->next += (uint32_t)size;
    size -= ignored;
    if (connection->foreign || size == 0)
        return KF_OK;

    remark(streams, connection, true, "%s: %zu bytes are missing in the capture",
           connection->client < 0       ? "direction not known"
           : from == connection->client ? "requests"
                                        : "responses",
           size);
    if (!half->synced || half->used < SIZE_FIELD) {
        half->synced = false;
        half->used = 0;
        return KF_OK;
    }
    size_t rest = be32(half->frame) + (size_t)SIZE_FIELD - half->used;
    size_t used = half->used;
    half->used = 0;
    half->synced = size <= rest;
    half->ignore = half->synced ? rest - size : 0;
    return hand_out(streams, connection, from, half->frame, used, rest < size ? rest : size, time);
}

static void remove_first(struct half *half)
{
    memmove(half->waiting, half->waiting + 1, --half->waiting_count * sizeof *half->waiting);
}

/* A piece that has its turn; what of it was there before is left out. */
static kf_err take_piece(kf__streams *streams, struct connection *connection, int from,
                         const struct piece *piece)
{
    struct half *half = connection->halves[from];
    size_t known = half->next - piece->sequence; /* a retransmission, or overlapping */
    if (known >= piece->size)
        return KF_OK;
    size_t size = piece->size - known;
    if (!piece->bytes)
        return miss(streams, connection, from, size, piece->time);
    half->next += (uint32_t)size;
    return deliver(streams, connection, from, piece->bytes + known, size, piece->time);
}

static int32_t ahead_of(const struct half *half, const struct piece *piece)
{
    return (int32_t)(piece->sequence - half->next);
}

/* Takes what waits and now has its turn. */
static kf_err drain(kf__streams *streams, struct connection *connection, int from)
{
    struct half *half = connection->halves[from];
    kf_err err = KF_OK;
    while (!err && half->waiting_count && ahead_of(half, &half->waiting[0]) <= 0) {
        struct piece piece = half->waiting[0];
        remove_first(half);
        err = take_piece(streams, connection, from, &piece);
        free(piece.owned);
    }
    return err;
}

static kf_err give_up_gap(kf__streams *streams, struct connection *connection, int from)
{
    struct half *half = connection->halves[from];
    size_t gap = half->waiting[0].sequence - half->next;
    kf_err err =
        (int32_t)gap > 0 ? miss(streams, connection, from, gap, half->waiting[0].time) : KF_OK;
    return err ? err : drain(streams, connection, from);
}

/* In order of their sequence numbers; of equal ones the first that came stays first. */
static kf_err keep(kf__streams *streams, struct connection *connection, int from,
                   const struct piece *piece)
{
    struct half *half = connection->halves[from];
    if (!half->waiting)
        half->waiting = calloc(MOST_WAITING, sizeof *half->waiting);
    if (!half->waiting)
        return KF_ERR_NO_MEMORY;
    while (half->waiting_count == MOST_WAITING) {
        kf_err err = give_up_gap(streams, connection, from);
        if (err)
            return err;
    }
    struct piece kept = *piece;
    if (piece->bytes) {
        kept.bytes = kept.owned = malloc(piece->size);
        if (!kept.owned)
            return KF_ERR_NO_MEMORY;
        memcpy(kept.owned, piece->bytes, piece->size);
    }
    size_t at = half->waiting_count;
    while (at > 0 && ahead_of(half, &half->waiting[at - 1]) > ahead_of(half, piece))
        at--;
    memmove(half->waiting + at + 1, half->waiting + at,
            (half->waiting_count++ - at) * sizeof *half->waiting);
    half->waiting[at] = kept;
    return drain(streams, connection, from);
}

static kf_err take_or_keep(kf__streams *streams, struct connection *connection, int from,
                           const struct piece *piece)
{
    if (piece->size == 0)
        return KF_OK;
    if (ahead_of(connection->halves[from], piece) > 0)
        return keep(streams, connection, from, piece);
    kf_err err = take_piece(streams, connection, from, piece);
    return err ? err : drain(streams, connection, from);
}

/* ---- the face ---- */

kf__streams *kf__streams_open(const struct kf__streams_events *events)
{
    kf__streams *streams = calloc(1, sizeof *streams);
    if (streams)
        streams->events = *events;
    return streams;
}

static void tell_skipped(kf__streams *streams, const struct connection *connection)
{
    uint64_t early = 0, skipped = 0;
    for (int i = 0; i < 2; i++) {
        early += connection->halves[i] ? connection->halves[i]->early : 0;
        skipped += connection->halves[i] ? connection->halves[i]->skipped : 0;
    }
    if (connection->foreign)
        return;
    if (early + skipped && !connection->kafka) {
        remark(streams, connection, false, "no Kafka: left out");
        return;
    }
    if (early)
        remark(streams, connection, false,
               "older than the capture: %llu bytes passed over, whose requests are not here",
               (unsigned long long)early);
    if (skipped)
        remark(streams, connection, true, "%llu bytes passed over, in which no frame begins",
               (unsigned long long)skipped);
}

static kf_err finish(kf__streams *streams, struct connection *connection)
{
    kf_err err = KF_OK;
    int first = connection->client < 0 ? 0 : connection->client; /* requests before responses */
    for (int i = 0; i < 2; i++) {
        int from = i ? !first : first;
        struct half *half = connection->halves[from];
        while (!err && half && half->waiting_count)
            err = give_up_gap(streams, connection, from);
        if (!err && half && half->used && !connection->foreign && connection->kafka) {
            size_t rest = half->used < SIZE_FIELD
                              ? SIZE_FIELD - half->used
                              : be32(half->frame) + (size_t)SIZE_FIELD - half->used;
            err = hand_out(streams, connection, from, half->frame, half->used, rest, 0);
        }
    }
    tell_skipped(streams, connection);
    return err;
}

/* What the connection said is told, and it is kept no longer. */
static kf_err end_connection(kf__streams *streams, struct connection *connection)
{
    kf_err err = finish(streams, connection);
    empty_connection(connection);
    connection->over = true;
    return err;
}

/* The same two ports again for another connection. */
static void begin_again(kf__streams *streams, struct connection *connection)
{
    connection->foreign = connection->kafka = connection->sasl = connection->over = false;
    connection->tokens = 0;
    connection->client = -1;
    connection->number = ++streams->connections;
}

static kf_err take_syn(kf__streams *streams, struct connection *connection, int from,
                       const struct kf__segment *segment)
{
    struct half *half = connection->halves[from];
    uint32_t first = segment->sequence + 1;
    if (half && half->started) {
        bool again = !segment->ack && half->next != first && !half->waiting_count;
        if (!again)
            return KF_OK; /* sent twice */
        kf_err err = end_connection(streams, connection);
        if (err)
            return err;
        begin_again(streams, connection);
    }
    half = half_of(connection, from);
    if (!half)
        return KF_ERR_NO_MEMORY;
    half->started = half->synced = true;
    half->next = first;
    connection->client = segment->ack ? !from : from;
    return KF_OK;
}

static kf_err take_bytes(kf__streams *streams, struct connection *connection, int from,
                         const struct kf__segment *segment)
{
    struct half *half = half_of(connection, from);
    if (!half)
        return KF_ERR_NO_MEMORY;
    uint32_t sequence = segment->sequence + (segment->syn ? 1 : 0);
    if (!half->started) {
        half->started = true;
        half->next = sequence;
    }
    struct piece piece = {sequence, segment->bytes, NULL, segment->size, segment->time};
    struct piece hole = {sequence + (uint32_t)segment->size, NULL, NULL, segment->lost,
                         segment->time};
    kf_err err = take_or_keep(streams, connection, from, &piece);
    return err ? err : take_or_keep(streams, connection, from, &hole);
}

/* No byte of this half can still come. */
static bool is_at_end(const struct half *half)
{
    return half && half->fin && (int32_t)(half->last - half->next) <= 0;
}

/* A connection that both sides closed, or that was reset, is over. */
static kf_err take_end(kf__streams *streams, struct connection *connection, int from,
                       const struct kf__segment *segment)
{
    struct half *half = half_of(connection, from);
    if (!half)
        return KF_ERR_NO_MEMORY;
    if (segment->fin && !half->fin) {
        half->fin = true;
        half->last = segment->sequence + (uint32_t)(segment->size + segment->lost);
        if (!half->started)
            half->next = half->last;
    }
    bool over = segment->rst || connection->foreign ||
                (is_at_end(connection->halves[0]) && is_at_end(connection->halves[1]));
    return over ? end_connection(streams, connection) : KF_OK;
}

kf_err kf__streams_feed(kf__streams *streams, const struct kf__segment *segment)
{
    int from;
    struct connection *connection = find(streams, segment, &from);
    if (!connection)
        return KF_ERR_NO_MEMORY;
    if (connection->over && !segment->syn)
        return KF_OK;
    if (connection->over)
        begin_again(streams, connection);
    kf_err err = segment->syn ? take_syn(streams, connection, from, segment) : KF_OK;
    if (!err && segment->size + segment->lost && !connection->foreign)
        err = take_bytes(streams, connection, from, segment);
    bool ends = segment->fin || segment->rst ||
                (connection->halves[0] && connection->halves[0]->fin) ||
                (connection->halves[1] && connection->halves[1]->fin);
    if (!err && ends)
        err = take_end(streams, connection, from, segment);
    return err ? err : streams->err;
}

kf_err kf__streams_end(kf__streams *streams)
{
    kf_err err = KF_OK;
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct connection *c = streams->buckets[i]; c && !err; c = c->next)
            err = finish(streams, c);
    return err;
}

void kf__streams_close(kf__streams *streams)
{
    for (size_t i = 0; streams && i < BUCKETS; i++)
        while (streams->buckets[i])
            forget(streams, &streams->buckets[i]);
    free(streams);
}
