/* TCP as it is in captures: out of order, twice, overlapping, with holes, joined late. */
#include "tools/kf/streams.c"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

/* Metadata v1 request, correlation id 5, no topics; and its answer: no brokers, no topics. */
static const uint8_t request[] = {0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 5, 0xFF, 0xFF, 0, 0, 0, 0};
static const uint8_t response[] = {0, 0, 0, 16, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0};

enum {
    MOST_SEEN = 8,
    CLIENT_PORT = 40000,
    SERVER_PORT = 9092,
};

static struct kf__frame_seen frames[MOST_SEEN];
static size_t frame_count;
static char remarks[MOST_SEEN][256];
static bool losses[MOST_SEEN];
static size_t remark_count;
static kf__streams *streams;

static void take_frame(const struct kf__frame_seen *frame, void *context)
{
    (void)context;
    cr_assert(lt(sz, frame_count, MOST_SEEN));
    frames[frame_count++] = *frame;
}

static void take_remark(uint64_t connection, bool loss, const char *text, void *context)
{
    (void)connection, (void)context;
    cr_assert(lt(sz, remark_count, MOST_SEEN));
    losses[remark_count] = loss;
    snprintf(remarks[remark_count++], sizeof remarks[0], "%s", text);
}

static void open_streams(void)
{
    struct kf__streams_events events = {take_frame, take_remark, NULL};
    frame_count = remark_count = 0;
    streams = kf__streams_open(&events);
}

static void close_streams(void) { kf__streams_close(streams); }

TestSuite(streams, .init = open_streams, .fini = close_streams);

static struct kf__segment segment_of(bool client, uint32_t sequence, const uint8_t *bytes,
                                     size_t size)
{
    struct kf__segment segment = {
        .time = 1,
        .from = {.address = {127, 0, 0, 1}, .port = client ? CLIENT_PORT : SERVER_PORT},
        .to = {.address = {127, 0, 0, 1}, .port = client ? SERVER_PORT : CLIENT_PORT},
        .sequence = sequence,
        .ack = true,
        .bytes = bytes,
        .size = size,
    };
    return segment;
}

static void feed(bool client, uint32_t sequence, const uint8_t *bytes, size_t size)
{
    struct kf__segment segment = segment_of(client, sequence, bytes, size);
    cr_assert(eq(int, kf__streams_feed(streams, &segment), KF_OK));
}

/* The client's bytes begin at 1000, the server's at 2000. */
static void connect_both(void)
{
    struct kf__segment syn = segment_of(true, 999, NULL, 0);
    syn.syn = true;
    syn.ack = false;
    cr_assert(eq(int, kf__streams_feed(streams, &syn), KF_OK));
    struct kf__segment answer = segment_of(false, 1999, NULL, 0);
    answer.syn = true;
    cr_assert(eq(int, kf__streams_feed(streams, &answer), KF_OK));
}

static void end(void) { cr_assert(eq(int, kf__streams_end(streams), KF_OK)); }

Test(streams, pairs_a_response_with_its_request)
{
    connect_both();
    feed(true, 1000, request, sizeof request);
    feed(false, 2000, response, sizeof response);
    end();
    cr_assert(eq(sz, frame_count, 2));
    cr_assert(frames[0].request);
    cr_assert(not(frames[1].request));
    cr_assert(frames[1].paired);
    cr_assert(eq(i16, frames[1].api_key, 3));
    cr_assert(eq(i16, frames[1].api_version, 1));
    cr_assert(eq(sz, remark_count, 0));
}

Test(streams, puts_segments_in_order_and_leaves_out_what_came_twice)
{
    connect_both();
    feed(true, 1010, request + 10, 8);
    feed(true, 1004, request + 4, 10); /* overlaps what waits */
    cr_assert(eq(sz, frame_count, 0));
    feed(true, 1000, request, 4);
    feed(true, 1000, request, sizeof request); /* sent again */
    end();
    cr_assert(eq(sz, frame_count, 1));
    cr_assert(eq(sz, frames[0].size, sizeof request));
    cr_assert(eq(sz, remark_count, 0));
}

Test(streams, cuts_two_frames_out_of_one_segment_and_one_out_of_bytes)
{
    uint8_t two[2 * sizeof request];
    memcpy(two, request, sizeof request);
    memcpy(two + sizeof request, request, sizeof request);
    connect_both();
    feed(true, 1000, two, sizeof two);
    for (uint32_t i = 0; i < sizeof request; i++)
        feed(true, 1000 + sizeof two + i, request + i, 1);
    cr_assert(eq(sz, frame_count, 3));
}

Test(streams, goes_on_across_the_end_of_the_sequence_numbers)
{
    struct kf__segment syn = segment_of(true, UINT32_MAX - 4, NULL, 0);
    syn.syn = true;
    syn.ack = false;
    cr_assert(eq(int, kf__streams_feed(streams, &syn), KF_OK));
    feed(true, 6, request + 10, 8); /* after the wrap, and too early */
    feed(true, UINT32_MAX - 3, request, 10);
    cr_assert(eq(sz, frame_count, 1));
}

/* The hole lies in one frame: that is shown in part, and the next one is whole. */
Test(streams, keeps_the_frames_around_missing_bytes)
{
    connect_both();
    feed(true, 1000, request, 12);
    feed(true, 1015, request + 15, 3);
    feed(true, 1018, request, sizeof request);
    cr_assert(eq(sz, frame_count, 0));
    end();
    cr_assert(eq(sz, frame_count, 2));
    cr_assert(eq(sz, frames[0].size, 12));
    cr_assert(eq(sz, frames[0].missing, 3));
    cr_assert(eq(sz, frames[1].size, sizeof request));
    cr_assert(eq(sz, frames[1].missing, 0));
    cr_assert(eq(str, remarks[0], "requests: 3 bytes are missing in the capture"));
    cr_assert(losses[0]);
}

/* The answer proves that the request went over the wire: waiting for it is no use. */
Test(streams, gives_up_a_gap_when_an_answer_needs_what_is_behind)
{
    connect_both();
    feed(true, 1100, request, sizeof request);
    feed(false, 2000, response, sizeof response);
    cr_assert(eq(sz, frame_count, 2));
    cr_assert(frames[1].paired);
    cr_assert(eq(str, remarks[0], "requests: 100 bytes are missing in the capture"));
}

/* A snap length cut the packet. */
Test(streams, tells_bytes_that_the_capture_cut_off)
{
    connect_both();
    struct kf__segment cut = segment_of(true, 1000, request, 14);
    cut.lost = sizeof request - 14;
    cr_assert(eq(int, kf__streams_feed(streams, &cut), KF_OK));
    feed(true, 1000 + sizeof request, request, sizeof request);
    cr_assert(eq(sz, frame_count, 2));
    cr_assert(eq(sz, frames[0].missing, 4));
    cr_assert(eq(sz, frames[1].missing, 0));
}

Test(streams, joins_a_connection_at_the_first_request)
{
    feed(false, 2000, response + 6, 14); /* the tail of something */
    feed(true, 1000, request, sizeof request);
    feed(false, 2014, response, sizeof response);
    end();
    cr_assert(eq(sz, frame_count, 2));
    cr_assert(frames[0].request);
    cr_assert(frames[1].paired);
    cr_assert(eq(str, remarks[0],
                 "older than the capture: 14 bytes passed over, whose requests are not here"));
    cr_assert(not(losses[0]));
}

Test(streams, leaves_out_what_is_no_kafka)
{
    static const uint8_t http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    connect_both();
    feed(true, 1000, http, sizeof http - 1);
    feed(false, 2000, http, sizeof http - 1);
    end();
    cr_assert(eq(sz, frame_count, 0));
    cr_assert(eq(sz, remark_count, 1));
    cr_assert(eq(str, remarks[0], "no Kafka: left out"));
    cr_assert(not(losses[0]));
}

Test(streams, names_tls)
{
    static const uint8_t hello[] = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3, 0, 0, 0, 0, 0};
    connect_both();
    feed(true, 1000, hello, sizeof hello);
    cr_assert(eq(str, remarks[0], "TLS: what is inside cannot be seen"));
    cr_assert(losses[0]);
}

Test(streams, tells_apart_two_connections_of_the_same_ports)
{
    connect_both();
    feed(true, 1000, request, sizeof request);
    struct kf__segment syn = segment_of(true, 77776, NULL, 0);
    syn.syn = true;
    syn.ack = false;
    cr_assert(eq(int, kf__streams_feed(streams, &syn), KF_OK));
    feed(true, 77777, request, sizeof request);
    cr_assert(eq(sz, frame_count, 2));
    cr_assert(eq(u64, frames[0].connection, 1));
    cr_assert(eq(u64, frames[1].connection, 2));
}

/* A request with acks=0 has no answer. */
Test(streams, forgets_requests_that_a_later_answer_passed)
{
    uint8_t first[sizeof request];
    memcpy(first, request, sizeof request);
    first[11] = 4;
    connect_both();
    feed(true, 1000, first, sizeof first);
    feed(true, 1000 + sizeof first, request, sizeof request);
    feed(false, 2000, response, sizeof response);
    cr_assert(frames[2].paired);
    feed(false, 2000 + sizeof response, response, sizeof response);
    cr_assert(not(frames[3].paired));
}

/* What a frame of 4 GiB or a negative size leaves behind is passed over. */
Test(streams, finds_the_next_frame_after_an_impossible_size)
{
    static const uint8_t garbage[] = {0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4};
    connect_both();
    feed(true, 1000, request, sizeof request);
    feed(true, 1018, garbage, sizeof garbage);
    feed(true, 1026, request, sizeof request);
    cr_assert(eq(sz, frame_count, 2));
    cr_assert(eq(str, remarks[0],
                 "requests: a frame that announces -1 bytes: passed over until a "
                 "frame begins again"));
}

static void finish_half(bool client, uint32_t sequence)
{
    struct kf__segment fin = segment_of(client, sequence, NULL, 0);
    fin.fin = true;
    cr_assert(eq(int, kf__streams_feed(streams, &fin), KF_OK));
}

/* Not at the end of the capture: a pipe may have none. */
Test(streams, tells_what_a_connection_still_had_when_both_have_closed_it)
{
    connect_both();
    feed(true, 1000, request, sizeof request);
    feed(true, 1018, request, 15);
    finish_half(false, 2000);
    cr_assert(eq(sz, frame_count, 1));
    finish_half(true, 1033);
    cr_assert(eq(sz, frame_count, 2));
    cr_assert(eq(sz, frames[1].missing, 3));
    end();
    cr_assert(eq(sz, frame_count, 2));
}

/* The last bytes come behind the packet that closes. */
Test(streams, waits_for_bytes_before_the_end)
{
    connect_both();
    finish_half(false, 2000);
    finish_half(true, 1018);
    cr_assert(eq(sz, frame_count, 0));
    feed(true, 1000, request, sizeof request);
    cr_assert(eq(sz, frame_count, 1));
    cr_assert(eq(sz, frames[0].missing, 0));
}

Test(streams, takes_the_same_ports_for_a_new_connection_after_the_end)
{
    connect_both();
    finish_half(true, 1000);
    finish_half(false, 2000);
    feed(true, 1000, request, 4); /* sent again, of no interest */
    connect_both();
    feed(true, 1000, request, sizeof request);
    cr_assert(eq(sz, frame_count, 1));
    cr_assert(eq(u64, frames[0].connection, 2));
}

/* Those that are open: beyond so many the oldest is forgotten, and what it had is told. */
Test(streams, keeps_so_many_connections_and_no_more)
{
    uint8_t early[sizeof request] = {0};
    for (uint32_t i = 0; i < MOST_CONNECTIONS + 2; i++) {
        struct kf__segment syn = segment_of(true, 999, NULL, 0);
        syn.syn = true;
        syn.ack = false;
        syn.from.address[3] = (uint8_t)(i >> 16);
        syn.from.port = (uint16_t)i;
        cr_assert(eq(int, kf__streams_feed(streams, &syn), KF_OK));
        struct kf__segment ahead = segment_of(true, 1004, early, sizeof early);
        ahead.from = syn.from;
        cr_assert(eq(int, kf__streams_feed(streams, &ahead), KF_OK));
    }
    cr_assert(eq(sz, streams->kept, MOST_CONNECTIONS));
    cr_assert(eq(sz, remark_count, 4)); /* of each: bytes missing, no frame */
    cr_assert(eq(str, remarks[0], "requests: 4 bytes are missing in the capture"));
}

/* What waits for its turn is copied: the capture's bytes may be gone by then. */
Test(streams, borrows_nothing_beyond_the_call)
{
    uint8_t late[8];
    connect_both();
    memcpy(late, request + 10, sizeof late);
    feed(true, 1010, late, sizeof late);
    memset(late, 0x55, sizeof late);
    feed(true, 1000, request, 10);
    cr_assert(eq(sz, frame_count, 1));
    cr_assert(eq(sz, frames[0].missing, 0));
}
