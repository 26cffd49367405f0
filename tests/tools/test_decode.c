/* `kf decode` as a program: exact output for real captures, damage, hints and exit codes. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum {
    MOST = 1 << 16
};

static char output[MOST];
static char wanted[MOST];

static size_t slurp(FILE *file, char *text)
{
    size_t size = fread(text, 1, MOST - 1, file);
    text[size] = '\0';
    return size;
}

/* Runs it in the folder of the fixtures; what it prints, stderr too, is in `output`. */
static int run(const char *arguments)
{
    const char *build = getenv("KAFIBER_BUILD");
    char kf[512], command[1024];
    snprintf(kf, sizeof kf, "%s/tools/kf/kf", build ? build : "build");
    FILE *file = fopen(kf, "rb");
    if (!file)
        cr_skip_test("kf is not built");
    fclose(file);
    if (strstr(arguments, "xxd") && system("command -v xxd >/dev/null") != 0)
        cr_skip_test("xxd is not here");
    snprintf(command, sizeof command, "cd tests/tools/fixtures && %s 2>&1", arguments);
    setenv("KF", kf, 1);
    file = popen(command, "r");
    cr_assert(ne(ptr, file, NULL));
    slurp(file, output);
    int status = pclose(file);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect_file(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "tests/tools/fixtures/%s", name);
    FILE *file = fopen(path, "rb");
    cr_assert(ne(ptr, file, NULL));
    slurp(file, wanted);
    fclose(file);
    cr_assert(eq(str, output, wanted));
}

static void expect_line(const char *line)
{
    cr_assert(ne(ptr, strstr(output, line), NULL), "no \"%s\" in:\n%s", line, output);
}

TestSuite(decode);

/* librdkafka: Metadata and Produce with headers, from Ethernet frames of a pcap. */
Test(decode, shows_a_produce_session_in_a_pcap)
{
    cr_assert(eq(int, run("$KF decode tea.pcap.hex"), 0));
    expect_file("tea.txt");
}

/* A Java consumer: JoinGroup v9 and SyncGroup v5, subscription and assignment opened. */
Test(decode, shows_a_group_session_in_a_pcapng)
{
    cr_assert(eq(int, run("$KF decode join.pcapng.hex"), 0));
    expect_file("join.txt");
}

Test(decode, reads_the_binary_file_from_stdin_as_well)
{
    cr_assert(eq(int, run("xxd -r tea.pcap.hex | $KF decode"), 0));
    expect_file("tea.txt");
}

Test(decode, prints_json_a_line_a_frame)
{
    cr_assert(eq(int, run("$KF decode --json tea.pcap.hex | head -n 1"), 0));
    cr_assert(
        eq(str, output,
           "{\"frame\":1,\"time\":\"2026-11-21T14:02:59.327491Z\",\"connection\":1,"
           "\"from\":\"127.0.0.1:41382\",\"to\":\"127.0.0.1:24701\",\"direction\":\"request\","
           "\"size\":31,\"api\":\"Metadata\",\"api_key\":3,\"version\":4,\"correlation_id\":2,"
           "\"client_id\":\"rdkafka\",\"message\":{\"topics\":[{\"name\":\"tea\"}],"
           "\"allowAutoTopicCreation\":true}}\n"));
}

Test(decode, reads_plain_hex_with_comments)
{
    cr_assert(eq(
        int, run("echo '0x0000000e 0003 0001 00000005 ffff # header\n ffffffff' | $KF decode"), 0));
    expect_line("Metadata v1 request, correlation id 5\n");
    expect_line("clientId                           string           null\n");
}

Test(decode, reads_the_dumps_of_other_tools)
{
    cr_assert(eq(int,
                 run("printf '00000000  00 00 00 0e 00 03 00 01  00 00 00 05 ff ff ff ff |........"
                     "........|\\n00000010  ff ff                                            "
                     "|..|\\n00000012\\n' | $KF decode"),
                 0));
    expect_line("Metadata v1 request, correlation id 5\n");
    cr_assert(eq(
        int, run("echo '0000000e0003000100000005ffffffffffff' | xxd -r -p | xxd | $KF decode"), 0));
    expect_line("Metadata v1 request, correlation id 5\n");
}

/* The request says which API the response is of. */
Test(decode, pairs_both_directions_of_a_raw_stream)
{
    cr_assert(eq(int,
                 run("echo '0000000a 0012 0000 00000007 ffff 0000000a 00000007 0000 00000000' |"
                     " $KF decode"),
                 0));
    expect_line("ApiVersions v0 request, correlation id 7\n");
    expect_line("ApiVersions v0 response, correlation id 7\n");
}

Test(decode, believes_the_hint_about_responses)
{
    cr_assert(eq(int,
                 run("echo '0000000a 00000007 0000 00000000' |"
                     " $KF decode --response ApiVersions 0"),
                 0));
    expect_line("ApiVersions v0 response, correlation id 7\n");
}

Test(decode, says_where_and_why_it_stops)
{
    cr_assert(
        eq(int, run("echo '0000000e 0003 0001 00000005 ffff 00000009' | $KF decode --request"), 1));
    expect_line("!! topics: a count of 9 elements, but only 0 bytes are left\n");
    expect_line("!! 4 bytes not decoded\n");
    expect_line("kf decode: 1 frames, 1 of them damaged, 4 bytes not decoded\n");
}

Test(decode, says_which_line_is_no_hex)
{
    cr_assert(eq(int, run("printf '0000\\nxyz\\n' | $KF decode --hex"), 2));
    expect_line("kf decode: -: line 2 is no hex");
}

Test(decode, tells_a_file_without_any_frame)
{
    cr_assert(eq(int, run("printf '' | $KF decode"), 1));
    expect_line("no Kafka frame in it\n");
    cr_assert(eq(int, run("$KF decode nowhere.pcap"), 2));
    cr_assert(eq(int, run("$KF decode --response Nonsense 1 tea.pcap.hex"), 2));
}

/* The capture's last packet is cut: everything before it is shown all the same. */
Test(decode, shows_a_damaged_capture_up_to_the_damage)
{
    cr_assert(eq(int, run("xxd -r tea.pcap.hex | head -c 700 | $KF decode"), 1));
    expect_line("Produce v7 request, correlation id 3\n");
    expect_line("of the capture: the file ends within a packet\n");
}

/*
 * A real broker: SaslHandshake v0, then PLAIN and SCRAM-SHA-256 without headers, the last of PLAIN
 * without a byte; and OAUTHBEARER in a SaslAuthenticate. The password, the proof and the token are
 * nowhere.
 */
Test(decode, shows_sasl_messages_without_their_secrets)
{
    cr_assert(eq(int, run("$KF decode sasl.pcap.hex"), 0));
    expect_file("sasl.txt");
    cr_assert(eq(ptr, strstr(output, "alice-secret"), NULL));
    expect_line("   SASL message of the broker\n"
                "      0  00 00 00 00              size                                 int32      "
                "      0\n\n");
}

/* "\0alice\0" and twelve asterisks; the token has 86 bytes. */
Test(decode, shows_no_secrets_in_json_either)
{
    cr_assert(eq(int, run("$KF decode --json sasl.pcap.hex"), 0));
    expect_line("\"sasl\":{\"authzid\":\"\",\"authcid\":\"alice\","
                "\"password\":\"(12 bytes, not shown)\"}}\n");
    expect_line("\"sasl\":{\"channelBinding\":\"biws\",");
    expect_line("\"proof\":\"(44 bytes, not shown)\"}}\n");
    expect_line("\"message\":{\"authBytes\":\"biwsAWF1dGg9QmVhcmVyICoqKioq");
}

/* A broker forwards CreateTopics to the controller; the answer's API is that of the request inside.
 */
Test(decode, opens_what_an_envelope_forwards)
{
    cr_assert(eq(int, run("$KF decode envelope.pcap.hex | cut -c37-"), 0));
    expect_line("CreateTopicsRequest, version 7\n");
    expect_line("CreateTopicsResponse, version 7\n");
    expect_line("name                   compact string   \"compression.type\"\n");
}

/* Fetch v18 has only the topic's id, which a Metadata answer gave a name; Fetch v11 has the name.
 */
Test(decode, opens_the_records_of_internal_topics)
{
    cr_assert(eq(int,
                 run("$KF decode state.pcap.hex | grep -A13 'TransactionLogKey' | head -n 14"
                     " | cut -c35-"),
                 0));
    expect_line("transactionalId    string           \"tx1\"\n");
    expect_line("transactionTimeoutMs int32            60000\n");
    expect_line("45 bytes: TransactionLogValue\n");
    cr_assert(eq(int,
                 run("$KF decode state.pcap.hex | grep -A12 ': OffsetCommitKey' | head -n 13"
                     " | cut -c35-"),
                 0));
    expect_line("group              string           \"g1\"\n");
    expect_line("topic              string           \"orders\"\n");
    expect_line("42 bytes: OffsetCommitValue\n");
}

/* Two thirds of the file are in the pipe, which stays open: `early` frames are shown already. */
static void expect_frames_from_a_pipe(const char *produce, int early, int all)
{
    char command[1024], told[64];
    snprintf(command, sizeof command,
             "d=$(mktemp -d); mkfifo $d/in; $KF decode <$d/in >$d/out 2>&1 & "
             "exec 3>$d/in; %s >$d/all; n=$(($(wc -c <$d/all) * 2 / 3)); head -c $n $d/all >&3; "
             "shown() { grep -c '^── frame' $d/out; }; "
             "for i in $(seq 300); do [ $(shown) -ge %d ] && break; sleep 0.1; done; shown; "
             "tail -c +$((n + 1)) $d/all >&3; exec 3>&-; wait $!; echo ended $?; shown; rm -r $d",
             produce, early);
    snprintf(told, sizeof told, "%d\nended 0\n%d\n", early, all);
    cr_assert(eq(int, run(command), 0));
    cr_assert(eq(str, output, told));
}

Test(decode, shows_a_capture_from_a_pipe_as_it_comes)
{
    expect_frames_from_a_pipe("xxd -r sasl.pcap.hex", 8, 14);
    expect_frames_from_a_pipe("xxd -r join.pcapng.hex", 2, 4);
}

Test(decode, shows_a_raw_stream_from_a_pipe_as_it_comes)
{
    expect_frames_from_a_pipe("for i in 1 2 3 4 5 6; do printf '0000000a001200000000000%dffff' $i "
                              "| xxd -r -p; done",
                              4, 6);
}
