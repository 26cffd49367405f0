/* The dissector: exact nodes, damage told where it stands, every golden batch opened. */
#include "tests/proto/batch_golden.h"
#include "tests/proto/wire.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <kafiber/dissect.h>

enum {
    MOST = 1 << 16
};

static uint8_t frame[MOST];
static size_t frame_size;
static char seen[MOST]; /* a line a node: "offset+size name=value" */
static size_t seen_size;
static kf_dissection facts;

static void note(const kf_node *node, void *context)
{
    static const char *const kinds[] = {"", "> ", "# ", "! ", "? "};
    (void)context;
    if (node->empty)
        return;
    int length = snprintf(seen + seen_size, sizeof seen - seen_size, "%s%zu+%zu %s=%s\n",
                          kinds[node->kind], node->offset, node->size, node->name, node->value);
    if (length > 0 && (size_t)length < sizeof seen - seen_size)
        seen_size += (size_t)length;
}

static void start(void)
{
    seen_size = 0;
    seen[0] = '\0';
}

TestSuite(dissect, .init = start);

static void load(const char *hex) { frame_size = from_hex(hex, frame, sizeof frame); }

static void request(const char *hex)
{
    load(hex);
    cr_assert(eq(
        int, kf_dissect_request(frame, frame_size, NULL, &kf_default_allocator, note, NULL, &facts),
        KF_OK));
    cr_assert(eq(sz, facts.explained + facts.undecoded, frame_size));
}

static void response(int16_t key, int16_t version, const char *hex)
{
    load(hex);
    cr_assert(eq(int,
                 kf_dissect_response(key, version, frame, frame_size, NULL, &kf_default_allocator,
                                     note, NULL, &facts),
                 KF_OK));
}

static void expect(const char *part)
{
    cr_assert(ne(ptr, strstr(seen, part), NULL), "no \"%s\" in:\n%s", part, seen);
}

/* A Fetch v4 response of one partition that holds these records, nothing else. */
static void fetch_of(const char *records_hex, size_t records)
{
    static char hex[MOST];
    snprintf(hex, sizeof hex,
             "%08zx"
             "00000007"         /* correlation id */
             "00000000"         /* throttle time */
             "00000001000174"   /* one topic, "t" */
             "0000000100000000" /* one partition, 0 */
             "0000"
             "0000000000000001"
             "0000000000000001"
             "ffffffff" /* no aborted transactions */
             "%08zx%.*s",
             4 + 4 + 7 + 8 + 2 + 16 + 4 + 4 + records, records, (int)(2 * records), records_hex);
    response(KF_API_FETCH, 4, hex);
}

static size_t times(const char *part)
{
    size_t count = 0;
    for (const char *at = seen; (at = strstr(at, part)); at++)
        count++;
    return count;
}

Test(dissect, shows_each_field_of_a_request)
{
    request("00000013"
            "0003000100000005"   /* Metadata v1, correlation id 5 */
            "000161"             /* client id "a" */
            "00000001000274e9"); /* one topic whose name is no UTF-8 */
    cr_assert(eq(str, seen,
                 "0+4 size=19\n"
                 "> 4+0 RequestHeader=\n"
                 "4+2 requestApiKey=3 Metadata\n"
                 "6+2 requestApiVersion=1\n"
                 "8+4 correlationId=5\n"
                 "12+3 clientId=\"a\"\n"
                 "> 15+0 MetadataRequest=version 1\n"
                 "15+4 topics=1 element\n"
                 "> 19+0 [0]=\n"
                 "19+4 name=\"t\\xe9\"\n"));
    cr_assert(eq(int, facts.err, KF_OK));
    cr_assert(eq(sz, facts.undecoded, 0));
    cr_assert(eq(sz, facts.message_at, 15));
    cr_assert(eq(i32, facts.correlation_id, 5));
}

/* ApiVersions 0 has no fields: what is missing is the header's. */
Test(dissect, knows_no_message_behind_half_a_header)
{
    request("00000008001200000000c300");
    expect("! 12+0 clientId=int16 needs 2 bytes, 0 are left\n");
    cr_assert(ne(int, facts.err, KF_OK));
    cr_assert(eq(sz, facts.message_at, 0));
}

Test(dissect, says_where_a_count_is_not_to_be_believed_and_shows_the_rest)
{
    request("00000012000300010000000500016100000009ffff0000");
    expect("! 15+0 topics=a count of 9 elements, but only 4 bytes are left\n"
           "? 15+8 unread=\n");
    cr_assert(eq(int, facts.err, KF_ERR_BAD_COUNT));
    cr_assert(eq(sz, facts.problem_at, 0)); /* the size is wrong as well, and stands first */
}

Test(dissect, shows_a_frame_that_is_cut_off_as_far_as_it_goes)
{
    request("0000001e00030001000000050001610000000100");
    expect("! 0+0 size=the frame announces 30 bytes, 16 are here\n");
    expect("12+3 clientId=\"a\"\n");
    cr_assert(eq(int, facts.err, KF_ERR_BAD_COUNT));
}

Test(dissect, tells_bytes_left_over)
{
    request("000000100003000100000005ffff00000000abcd");
    expect("! 18+0 message=2 bytes are left over behind it\n"
           "? 18+2 unread=\n");
    cr_assert(eq(int, facts.err, KF_ERR_TRAILING_BYTES));
}

Test(dissect, names_an_api_and_a_version_that_are_not_known)
{
    request("0000000a7fff000100000005ffff");
    expect("! 4+0 requestApiKey=no API has the key 32767\n");
    cr_assert(eq(sz, facts.undecoded, 10));
    request("0000000a0008006300000005ffff00");
    expect("OffsetCommitRequest=version 99 is not known, 0 to 10 are\n");
    cr_assert(eq(int, facts.err, KF_ERR_BAD_VERSION));
}

/* KIP-482: Heartbeat v4 with tag 5, which nobody knows, and a known tag beside it. */
Test(dissect, shows_unknown_tags)
{
    request("0000001b000c000400000005ffff00"
            "0267"
            "00000001"
            "026d"
            "00"
            "0105046f6c6421");
    expect("24+1 _tags=1\n25+6 tag 5=\"old!\"\n");
    cr_assert(eq(int, facts.err, KF_OK));
}

Test(dissect, refuses_tags_out_of_order)
{
    request("0000001a000c000400000005ffff00026700000001026d00"
            "0206000500"
            "0000");
    expect("! 27+0 _tags=tag 5 stands twice or out of order\n");
    cr_assert(eq(int, facts.err, KF_ERR_BAD_TAG));
}

/* KIP-511: asked at version 9, answered at 0. */
Test(dissect, reads_the_refusal_of_an_unknown_api_versions_version)
{
    response(KF_API_API_VERSIONS, 4, "00000010000000010023000000010012000000040000");
    cr_assert(eq(i16, facts.api_version, 0));
    expect("8+2 errorCode=35 UNSUPPORTED_VERSION\n");
}

Test(dissect, opens_batches_of_every_codec_and_format)
{
    static const char *const batches[] = {
        golden_v2_none,
        golden_v2_gzip,
        golden_v2_snappy,
        golden_v2_lz4,
        golden_v2_zstd,
        golden_v0_none,
        golden_v0_gzip,
        golden_v0_snappy,
        golden_v0_lz4,
        golden_v1_none,
        golden_v1_gzip,
        golden_v1_lz4,
        golden_v1_snappy,
        golden_v2_transactional,
        golden_v2_abort,
        golden_v2_commit,
        golden_v2_log_append,
        golden_v2_empty,
        golden_v1_gzip_log_append,
    };
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        start();
        fetch_of(batches[i], strlen(batches[i]) / 2);
        cr_assert(eq(sz, facts.problems, 0), "batch %zu: %s", i, facts.problem);
        cr_assert(eq(sz, facts.undecoded, 0));
        cr_assert(eq(sz, facts.explained, frame_size));
        expect(", right\n");
    }
}

Test(dissect, opens_control_records)
{
    fetch_of(golden_v2_commit, strlen(golden_v2_commit) / 2);
    expect("type=1 COMMIT\n");
    expect("coordinatorEpoch=");
    fetch_of(golden_v2_abort, strlen(golden_v2_abort) / 2);
    expect("type=0 ABORT\n");
}

/* A Fetch answer ends where its limit is; in a Produce request that would be damage. */
Test(dissect, takes_a_cut_last_batch_of_a_fetch_as_it_is)
{
    size_t whole = strlen(golden_v2_none) / 2;
    fetch_of(golden_v2_none, whole - 10);
    cr_assert(eq(sz, facts.problems, 0));
    expect(": cut at the answer's limit\n");
}

Test(dissect, tells_a_wrong_checksum_and_goes_on)
{
    char hex[MOST];
    snprintf(hex, sizeof hex, "%s", golden_v2_none);
    hex[2 * 17] = hex[2 * 17] == '0' ? '1' : '0';
    fetch_of(hex, strlen(hex) / 2);
    cr_assert(eq(sz, facts.problems, 1));
    cr_assert(eq(sz, facts.undecoded, 0));
    cr_assert(eq(int, facts.err, KF_OK)); /* the message itself is sound */
    cr_assert(eq(sz, times(": the checksum should be") + times("crc=the checksum should be"), 1));
}

Test(dissect, tells_damaged_compression_and_goes_on_behind_the_batch)
{
    char hex[MOST];
    snprintf(hex, sizeof hex, "%s", golden_v2_gzip);
    hex[2 * 61] = hex[2 * 61] == '0' ? '1' : '0';
    fetch_of(hex, strlen(hex) / 2);
    cr_assert(lt(sz, 1, facts.problems));
    cr_assert(eq(sz, facts.explained + facts.undecoded, frame_size));
    cr_assert(eq(int, facts.err, KF_OK));
}

Test(dissect, opens_subscriptions_only_of_consumer_groups)
{
    /* JoinGroup v2: group g, protocol type "consumer" or "connect", one protocol. */
    request("00000049000b000200000005ffff"
            "00016700002710000027100000"
            "0008636f6e73756d6572"
            "00000001000572616e6765"
            "00000013"
            "000000000001000574657374738080ffffff7f");
    expect("ConsumerProtocolSubscription\n");
    start();
    request("0000003c000b000200000005ffff"
            "00016700002710000027100000"
            "0007636f6e6e656374"
            "00000001000572616e6765"
            "00000003"
            "abcdef");
    expect("metadata=0xabcdef\n");
}

Test(dissect, finds_apis_by_name_and_number)
{
    cr_assert(eq(i16, kf_api_find("Metadata"), 3));
    cr_assert(eq(i16, kf_api_find("18"), 18));
    cr_assert(eq(i16, kf_api_find("metadata"), -1));
    cr_assert(eq(i16, kf_api_find("32000"), -1));
    cr_assert(eq(i16, kf_api_find(""), -1));
}

/* ---- SASL ---- */

static void sasl(bool from_client, const char *bytes, size_t size)
{
    uint8_t begin[] = {0, 0, 0, (uint8_t)size};
    memcpy(frame, begin, sizeof begin);
    memcpy(frame + sizeof begin, bytes, size);
    frame_size = sizeof begin + size;
    start();
    cr_assert(eq(int, kf_dissect_sasl(from_client, frame, frame_size, note, NULL, &facts), KF_OK));
    cr_assert(eq(sz, facts.explained, frame_size));
    cr_assert(eq(sz, facts.problems, 0));
}

static void expect_seen(const char *wanted)
{
    const char *behind_size = strchr(seen, '\n') + 1;
    cr_assert(eq(str, (char *)(uintptr_t)behind_size, (char *)(uintptr_t)wanted));
}

Test(dissect, shows_plain_but_for_the_password)
{
    sasl(true, "boss\0ann\0secret", 15);
    expect_seen("4+4 authzid=\"boss\"\n8+4 authcid=\"ann\"\n"
                "12+7 password=(6 bytes, not shown)\n");
    cr_assert(eq(sz, facts.secrets, 1));
}

/* An unknown key may be anything: a password that a broken client put there. */
Test(dissect, shows_scram_but_for_proof_signature_and_what_it_does_not_know)
{
    sasl(true, "y,a=boss,n=ann,r=x,mysecret=1", 29);
    expect_seen("4+9 gs2Header=\"y,a=boss,\"\n13+5 user=\"ann\"\n18+4 nonce=\"x\"\n"
                "22+11 extension=(10 bytes, not shown)\n");
    sasl(true, "c=biws,r=xy,p=AAAA", 18);
    expect_seen("4+6 channelBinding=\"biws\"\n10+5 nonce=\"xy\"\n"
                "15+7 proof=(4 bytes, not shown)\n");
    sasl(false, "v=AAAA", 6);
    expect_seen("4+6 serverSignature=(4 bytes, not shown)\n");
    sasl(false, "e=unknown-user", 14);
    expect_seen("4+14 error=\"unknown-user\"\n");
}

Test(dissect, shows_oauthbearer_but_for_the_token)
{
    sasl(true,
         "n,,\x01"
         "auth=Bearer abc\x01team=a\x01\x01",
         28);
    expect_seen("4+3 gs2Header=\"n,,\"\n7+16 auth=\"Bearer \" (3 bytes, not shown)\n"
                "23+7 extension=\"team=a\"\n30+2 end=\"\\x01\\x01\"\n");
    sasl(true,
         "n,,\x01"
         "auth=abc\x01\x01",
         14);
    expect_seen("4+3 gs2Header=\"n,,\"\n7+9 auth=(3 bytes, not shown)\n16+2 end=\"\\x01\\x01\"\n");
    sasl(false, "{\"status\":\"invalid_token\"}", 26);
    expect_seen("4+26 error=\"{\\\"status\\\":\\\"invalid_token\\\"}\"\n");
}

/* GSSAPI, a mechanism of one's own, a password with a NUL: all or nothing. */
Test(dissect, shows_nothing_of_a_sasl_message_that_it_does_not_know)
{
    static const char *const messages[] = {
        "\x60\x82\x01\x02 ticket", "secret", "a\0b\0c\0secret", "\0\0secret", "p=", "n,secret"};
    static const size_t sizes[] = {11, 6, 12, 8, 2, 8};
    char wanted[64];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        sasl(true, messages[i], sizes[i]);
        snprintf(wanted, sizeof wanted, "4+%zu message=(%zu bytes, not shown)\n", sizes[i],
                 sizes[i]);
        expect_seen(wanted);
    }
    sasl(false, "secret", 6);
    expect_seen("4+6 message=(6 bytes, not shown)\n");
    sasl(false, "", 0);
    expect_seen("");
}

Test(dissect, shows_no_salted_password)
{
    /* AlterUserScramCredentials v0: no deletion, one upsertion. */
    request("000000220033000000000001ffff00010204616e6e0100001000036162076364656667680000");
    expect("saltedPassword=(6 bytes, not shown)\n");
    expect("salt=(2 bytes, not shown)\n");
}

/* ---- Envelope ---- */

/* An Envelope in an Envelope in an Envelope: a frame could hold millions. */
Test(dissect, opens_one_envelope_and_not_those_inside)
{
    request("00000021003a000000000001ffff0013003a000000000002ffff0004010203010100010100");
    cr_assert(eq(sz, facts.problems, 0));
    cr_assert(facts.forwards);
    cr_assert(eq(i16, facts.forwarded_api_key, KF_API_ENVELOPE));
    expect("requestData=0x010203\n");
}

Test(dissect, tells_an_envelope_with_no_request_inside)
{
    request("00000012003a000000000001ffff00047fff01010100");
    expect("! ");
    expect("requestData=no request that is known\n");
    cr_assert(not(facts.forwards));
    cr_assert(eq(int, facts.err, KF_OK));
}
