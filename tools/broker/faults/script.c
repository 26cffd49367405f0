/*
 *   line      = [ "seed" NUMBER | fault | event ] [ "#" comment ]
 *   fault     = "on" api condition* action
 *   event     = ( "at" api condition* | "after" TIME | "every" TIME ) deed
 *   api       = "Fetch", "Produce", … or its number, "any"
 *   condition = "#"N | "#"N"-"M | "from" "#"N | "every" N"th" | N "times" | N"%"
 *             | "version="N["-"M] | "client="NAME | "connection="N | "node="N
 *             | "topic="NAME | "partition="N
 *   action    = "answer" ERROR | "delay" TIME | "throttle" TIME | "drop" ["answer"]
 *             | "close" ["answer"] | "cut" ["after"] N ["bytes"] | "garbage" [N ["bytes"]]
 *             | "corrupt" ["crc"]
 *   deed      = "stop" "node" N | "start" "node" N | "move" "leader" TOPIC"/"P "to" N
 *             | "move" "coordinator" GROUP "to" N | "create" "topic" NAME N
 *             | "create" "partitions" TOPIC N | "delete" "topic" NAME
 *             | "delete" "records" TOPIC"/"P "before" N | "close" "connections"
 *             | "pause" | "resume" | "elect" "leader" TOPIC"/"P ["unclean"]
 *             | ( "hold" | "release" ) "replica" TOPIC"/"P "on" N
 *             | "expire" ( "offsets" | "producers" ) | "clean" ( "topic" NAME | "topics" )
 *
 * A comment's "#" stands at the start of the line or before a blank. Words are
 * looked up in tables, so that an error can list them and name the nearest.
 */
#include "tools/broker/faults/script.h"

#include "tools/broker/faults/nearest.h"
#include "tools/broker/text.h"

#include <kafiber/codec.h>
#include <kafiber/dissect.h>
#include <stdlib.h>

enum {
    GARBAGE_BYTES = 64,
    NAME_BYTES = 256, /* of a topic, group or client: one NUL included */
    MAX_ERROR_CODE = 200,
    LONGEST_H = 500, /* of a time: as ms it fits into throttle_time_ms */
};

struct script {
    struct kf__rules *rules;
    kf_error *error;
    kf_time now;
    const char *at; /* behind the word */
    kf_string word; /* the one looked at; size 0: the line has ended */
    int line;
    const char *line_start;
    bool failed;

    kf_broker_fault what;
    struct kf__event event;
    char topic[NAME_BYTES];
    char client[NAME_BYTES];
    char name[NAME_BYTES];
};

/* ---- words ---- */

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

static bool ends_line(const char *at)
{
    if (*at == 0 || *at == '\n')
        return true;
    return *at == '#' && (is_blank(at[1]) || at[1] == 0 || at[1] == '\n' || at[1] == '#');
}

/* The next word; one in quotes may hold blanks. */
static void next(struct script *script)
{
    while (is_blank(*script->at))
        script->at++;
    const char *start = script->at;
    bool quoted = false;
    if (!ends_line(start) &&
        !(*start == '#' && start == script->line_start && !(start[1] >= '0' && start[1] <= '9')))
        while (*script->at && *script->at != '\n' && (quoted || !is_blank(*script->at)))
            quoted ^= *script->at++ == '"';
    script->word = (kf_string){start, (size_t)(script->at - start)};
}

static bool is_word(const struct script *script, const char *text)
{
    return kf__text_equal(script->word, kf__text(text));
}

static bool take(struct script *script, const char *text)
{
    if (!is_word(script, text))
        return false;
    next(script);
    return true;
}

/* ---- what is wrong ---- */

static void fail_near(struct script *script, const char *expected, kf_string nearest)
{
    if (script->failed)
        return;
    script->failed = true;
    int column = (int)(script->word.data - script->line_start) + 1;
    char found[80];
    if (script->word.size > 0)
        snprintf(found, sizeof found, "not \"%.*s%s\"",
                 script->word.size < 60 ? (int)script->word.size : 60, script->word.data,
                 script->word.size > 60 ? "…" : "");
    else
        snprintf(found, sizeof found, "but the line ends");
    kf_error_set(script->error, KF_ERR_INVALID_ARGUMENT,
                 "line %d, column %d: %s is expected, %s%s%.*s%s", script->line, column, expected,
                 found, nearest.data ? " (did you mean " : "", (int)nearest.size,
                 nearest.data ? nearest.data : "", nearest.data ? "?)" : "");
}

static void fail(struct script *script, const char *expected)
{
    fail_near(script, expected, (kf_string){0});
}

/* Which of the words, from 0; -1: none, and the error lists them. NULL ends the list. */
static int choose(struct script *script, const char *const *words)
{
    char list[240];
    size_t used = 0;
    struct kf__nearest nearest = kf__nearest_to(script->word);
    list[0] = 0;
    for (int i = 0; words[i]; i++) {
        if (take(script, words[i]))
            return i;
        kf__nearest_offer(&nearest, kf__text(words[i]));
        const char *between = i == 0 ? "" : words[i + 1] ? ", " : " or ";
        int length = snprintf(list + used, sizeof list - used, "%s%s", between, words[i]);
        used = used + (size_t)length < sizeof list ? used + (size_t)length : sizeof list - 1;
    }
    fail_near(script, list, nearest.best);
    return -1;
}

static void expect(struct script *script, const char *word)
{
    const char *const words[] = {word, NULL};
    choose(script, words);
}

/* ---- numbers, times, names ---- */

/* Digits, then exactly `behind`. */
static bool read_number(kf_string text, const char *behind, int64_t *number)
{
    size_t tail = strlen(behind), digits = 0;
    *number = 0;
    if (text.size <= tail || memcmp(text.data + text.size - tail, behind, tail) != 0)
        return false;
    for (; digits < text.size - tail; digits++) {
        char c = text.data[digits];
        if (c < '0' || c > '9' || *number > (INT64_MAX - 9) / 10)
            return false;
        *number = *number * 10 + (c - '0');
    }
    return true;
}

static int64_t take_number(struct script *script, const char *expected, int64_t least, int64_t most)
{
    int64_t number = 0;
    if (!read_number(script->word, "", &number) || number < least || number > most)
        fail(script, expected);
    next(script);
    return number;
}

static kf_time take_time(struct script *script, int64_t least)
{
    static const struct {
        const char *unit;
        kf_time size;
    } units[] = {
        {"ms", KF_MILLISECOND}, {"s", KF_SECOND}, {"min", 60 * KF_SECOND}, {"h", 3600 * KF_SECOND}};
    int64_t number;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (!read_number(script->word, units[i].unit, &number))
            continue;
        if (number > LONGEST_H * 3600 * KF_SECOND / units[i].size)
            fail(script, "a time of at most 500h");
        else if (number < least)
            fail(script, "a time above 0");
        next(script);
        return script->failed ? 0 : number * units[i].size;
    }
    fail(script, "a time as 250ms, 2s, 5min or 1h");
    return 0;
}

static void copy_name(struct script *script, kf_string from, char *name, const char *expected)
{
    if (from.size >= 2 && from.data[0] == '"' && from.data[from.size - 1] == '"') {
        from.data++;
        from.size -= 2;
    }
    if (from.size == 0 || from.size >= NAME_BYTES || memchr(from.data, '"', from.size)) {
        fail(script, expected);
        return;
    }
    memcpy(name, from.data, from.size);
    name[from.size] = 0;
}

static void take_name(struct script *script, const char *expected)
{
    copy_name(script, script->word, script->name, expected);
    script->event.name = kf__text(script->name);
    next(script);
}

/* TOPIC/PARTITION */
static void take_partition(struct script *script)
{
    static const char expected[] = "TOPIC/PARTITION";
    kf_string topic = script->word, index = {0};
    for (size_t i = 0; i < script->word.size; i++)
        if (script->word.data[i] == '/') {
            topic.size = i;
            index = (kf_string){script->word.data + i + 1, script->word.size - i - 1};
        }
    int64_t number = 0;
    if (!index.data || !read_number(index, "", &number) || number > INT32_MAX) {
        fail(script, expected);
        return;
    }
    copy_name(script, topic, script->name, expected);
    script->event.name = kf__text(script->name);
    script->event.partition = (int32_t)number;
    next(script);
}

static int32_t take_node(struct script *script)
{
    return (int32_t)take_number(script, "a node's number from 1", 1, INT32_MAX);
}

/* ---- which requests ---- */

static void take_api(struct script *script)
{
    script->what.api_key = KF_BROKER_ANY_API;
    if (take(script, "any"))
        return;
    struct kf__nearest nearest = kf__nearest_to(script->word);
    for (int16_t key = 0; key < 128; key++) {
        size_t size = 0;
        const char *text = kf_api_name(key, &size);
        int64_t number = -1;
        kf_string name = {text, size};
        if (text && (kf__text_equal(name, script->word) ||
                     (read_number(script->word, "", &number) && number == key))) {
            script->what.api_key = key;
            next(script);
            return;
        }
        kf__nearest_offer(&nearest, name);
    }
    fail_near(script, "the name of an API, or any,", nearest.best);
}

static void take_error(struct script *script)
{
    struct kf__nearest nearest = kf__nearest_to(script->word);
    for (kf_err err = -1; err < MAX_ERROR_CODE; err++) {
        kf_string name = kf__text(kf_err_name(err));
        if (err == 0 || strcmp(name.data, "UNKNOWN") == 0)
            continue;
        if (kf__text_equal(name, script->word)) {
            script->what.error = err;
            next(script);
            return;
        }
        kf__nearest_offer(&nearest, name);
    }
    fail_near(script, "the name of an error", nearest.best);
}

/* "N" or "N-M" behind the first `skip` bytes of the word, from `least` on. */
static void take_range(struct script *script, size_t skip, const char *expected, int64_t least,
                       int64_t *first, int64_t *last)
{
    kf_string text = {script->word.data + skip, script->word.size - skip};
    const char *dash = text.size > 0 ? memchr(text.data, '-', text.size) : NULL;
    size_t size = dash ? (size_t)(dash - text.data) : text.size;
    bool good = read_number((kf_string){text.data, size}, "", first);
    *last = *first;
    if (good && dash)
        good = read_number((kf_string){dash + 1, text.size - size - 1}, "", last);
    if (!good || *first < least || *last < *first || *last > INT32_MAX)
        fail(script, expected);
    next(script);
}

static bool starts_with(const struct script *script, const char *start)
{
    size_t size = strlen(start);
    return script->word.size >= size && memcmp(script->word.data, start, size) == 0;
}

static kf_string value_text(const struct script *script, size_t skip)
{
    return (kf_string){script->word.data + skip, script->word.size - skip};
}

/* The number behind "node=" and its kin. */
static int64_t value_number(struct script *script, size_t skip, const char *expected, int64_t least)
{
    int64_t number = 0;
    if (!read_number(value_text(script, skip), "", &number) || number < least || number > INT32_MAX)
        fail(script, expected);
    next(script);
    return number;
}

static bool take_pair(struct script *script)
{
    kf_broker_fault *what = &script->what;
    if (starts_with(script, "version=")) {
        int64_t first = 0, last = 0;
        take_range(script, 8, "version=N or version=N-M", 0, &first, &last);
        what->by_version = true;
        what->min_version = (int16_t)(first > INT16_MAX ? INT16_MAX : first);
        what->max_version = (int16_t)(last > INT16_MAX ? INT16_MAX : last);
    } else if (starts_with(script, "client=")) {
        copy_name(script, value_text(script, 7), script->client, "client=NAME");
        what->client_id = script->client;
        next(script);
    } else if (starts_with(script, "connection=")) {
        what->connection = (uint64_t)value_number(script, 11, "connection=N from 1", 1);
    } else if (starts_with(script, "node=")) {
        what->node = (int32_t)value_number(script, 5, "node=N from 1", 1);
    } else if (starts_with(script, "topic=")) {
        copy_name(script, value_text(script, 6), script->topic, "topic=NAME");
        what->topic = script->topic;
        next(script);
    } else if (starts_with(script, "partition=")) {
        what->partition = (int32_t)value_number(script, 10, "partition=N", 0);
        what->one_partition = true;
    } else {
        return false;
    }
    return true;
}

/* "20th", "2nd" */
static void take_every(struct script *script)
{
    static const char *const endings[] = {"th", "st", "nd", "rd"};
    int64_t number = 0;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (read_number(script->word, endings[i], &number) && number > 0)
            break;
    if (number <= 0)
        fail(script, "a number as 20th");
    script->what.every = number;
    next(script);
}

static bool take_count(struct script *script)
{
    kf_broker_fault *what = &script->what;
    int64_t number = 0;
    if (starts_with(script, "#")) {
        take_range(script, 1, "a count as #3 or #2-5", 1, &what->first, &what->last);
    } else if (take(script, "from")) {
        if (!starts_with(script, "#"))
            fail(script, "a count as #10");
        else
            what->first = value_number(script, 1, "a count as #10", 1);
    } else if (take(script, "every")) {
        take_every(script);
    } else if (read_number(script->word, "%", &number)) {
        if (number < 1 || number > 100)
            fail(script, "a chance from 1% to 100%");
        what->probability = (double)number / 100;
        next(script);
    } else if (read_number(script->word, "", &number)) {
        what->times = take_number(script, "a number of times", 1, INT64_MAX);
        expect(script, "times");
    } else {
        return false;
    }
    return true;
}

static void take_requests(struct script *script)
{
    kf_broker_fault *what = &script->what;
    take_api(script);
    while (!script->failed && (take_pair(script) || take_count(script)))
        ;
    if (what->every > 0 && what->first == 0)
        what->first = what->every; /* every 20th: the 20th is the first */
    if (what->one_partition && !what->topic)
        fail(script, "topic=NAME beside partition=");
}

/* ---- what happens ---- */

static size_t take_bytes(struct script *script)
{
    size_t bytes = (size_t)take_number(script, "a number of bytes", 0, 1 << 24);
    take(script, "bytes");
    return bytes;
}

static void take_action(struct script *script)
{
    static const char *const words[] = {"answer", "delay",   "throttle", "drop", "close",
                                        "cut",    "garbage", "corrupt",  NULL};
    kf_broker_fault *what = &script->what;
    switch (choose(script, words)) {
    case 0:
        what->kind = KF_BROKER_ANSWER_ERROR;
        take_error(script);
        break;
    case 1:
        what->kind = KF_BROKER_DELAY;
        what->ms = take_time(script, 0) / KF_MILLISECOND;
        break;
    case 2:
        what->kind = KF_BROKER_THROTTLE;
        what->ms = take_time(script, 0) / KF_MILLISECOND;
        break;
    case 3:
        what->kind = take(script, "answer") ? KF_BROKER_DROP_ANSWER : KF_BROKER_DROP_REQUEST;
        break;
    case 4:
        what->kind = take(script, "answer") ? KF_BROKER_CLOSE_ANSWER : KF_BROKER_CLOSE;
        break;
    case 5:
        what->kind = KF_BROKER_CUT;
        take(script, "after");
        what->bytes = take_bytes(script);
        break;
    case 6:
        what->kind = KF_BROKER_GARBAGE;
        what->bytes = script->word.size > 0 ? take_bytes(script) : GARBAGE_BYTES;
        break;
    case 7:
        what->kind = KF_BROKER_CORRUPT_CRC;
        if (!take(script, "CRC"))
            take(script, "crc");
        break;
    default:
        break;
    }
}

static void take_move(struct script *script)
{
    static const char *const words[] = {"leader", "coordinator", NULL};
    int which = choose(script, words);
    script->event.kind = which == 0 ? KF__MOVE_LEADER : KF__MOVE_COORDINATOR;
    if (which == 0)
        take_partition(script);
    else
        take_name(script, "a group's name");
    expect(script, "to");
    script->event.node = take_node(script);
}

static void take_create(struct script *script)
{
    static const char *const words[] = {"topic", "partitions", NULL};
    int which = choose(script, words);
    script->event.kind = which == 0 ? KF__CREATE_TOPIC : KF__CREATE_PARTITIONS;
    take_name(script, "a topic's name");
    script->event.number = take_number(script, "a number of partitions", 1, INT32_MAX);
}

static void take_delete(struct script *script)
{
    static const char *const words[] = {"topic", "records", NULL};
    if (choose(script, words) == 0) {
        script->event.kind = KF__DELETE_TOPIC;
        take_name(script, "a topic's name");
        return;
    }
    script->event.kind = KF__DELETE_RECORDS;
    take_partition(script);
    expect(script, "before");
    script->event.number = take_number(script, "an offset", 0, INT64_MAX);
}

static void take_election(struct script *script)
{
    script->event.kind = KF__ELECT_LEADER;
    expect(script, "leader");
    take_partition(script);
    script->event.number = take(script, "unclean");
}

static void take_expiry(struct script *script)
{
    static const char *const words[] = {"offsets", "producers", NULL};
    script->event.kind = choose(script, words) == 0 ? KF__EXPIRE_OFFSETS : KF__EXPIRE_PRODUCERS;
}

static void take_cleaning(struct script *script)
{
    static const char *const words[] = {"topic", "topics", NULL};
    script->event.kind = KF__CLEAN;
    if (choose(script, words) == 0)
        take_name(script, "a topic's name");
}

static void take_replica(struct script *script, bool held)
{
    script->event.kind = held ? KF__HOLD_REPLICA : KF__RELEASE_REPLICA;
    expect(script, "replica");
    take_partition(script);
    expect(script, "on");
    script->event.node = take_node(script);
}

static void take_deed(struct script *script)
{
    static const char *const words[] = {"stop",  "start", "move",    "create", "delete",
                                        "close", "pause", "resume",  "elect",  "expire",
                                        "clean", "hold",  "release", NULL};
    int which = choose(script, words);
    if (which == 0 || which == 1) {
        script->event.kind = which == 0 ? KF__STOP_NODE : KF__START_NODE;
        expect(script, "node");
        script->event.node = take_node(script);
    } else if (which == 2) {
        take_move(script);
    } else if (which == 3) {
        take_create(script);
    } else if (which == 4) {
        take_delete(script);
    } else if (which == 5) {
        script->event.kind = KF__CLOSE_CONNECTIONS;
        expect(script, "connections");
    } else if (which == 6 || which == 7) {
        script->event.kind = which == 6 ? KF__PAUSE : KF__RESUME;
    } else if (which == 8) {
        take_election(script);
    } else if (which == 9) {
        take_expiry(script);
    } else if (which == 10) {
        take_cleaning(script);
    } else if (which > 10) {
        take_replica(script, which == 11);
    }
}

/* ---- lines ---- */

static void add_rule(struct script *script, kf_time at, kf_time period)
{
    if (!script->failed && script->word.size > 0)
        fail(script, "the end of the line");
    if (script->failed)
        return;
    if (kf__rules_add(script->rules, &script->what, &script->event, at, period) == 0) {
        script->failed = true;
        kf_error_set(script->error, KF_ERR_NO_MEMORY, "line %d: out of memory", script->line);
    }
}

static void take_line(struct script *script)
{
    static const char *const words[] = {"on", "at", "after", "every", "seed", NULL};
    script->what = (kf_broker_fault){.size = sizeof script->what};
    script->event = (struct kf__event){0};
    next(script);
    if (script->word.size == 0)
        return;
    kf_time span;
    switch (choose(script, words)) {
    case 0:
        take_requests(script);
        take_action(script);
        add_rule(script, KF_FOREVER, 0);
        break;
    case 1:
        take_requests(script);
        take_deed(script);
        add_rule(script, KF_FOREVER, 0);
        break;
    case 2:
        span = take_time(script, 0);
        take_deed(script);
        add_rule(script, script->now + span, 0);
        break;
    case 3:
        span = take_time(script, 1);
        take_deed(script);
        add_rule(script, script->now + span, span);
        break;
    case 4:
        script->rules->seed = (uint64_t)take_number(script, "a number", 0, INT64_MAX);
        if (script->word.size > 0)
            fail(script, "the end of the line");
        break;
    default:
        break;
    }
}

kf_err kf__script_load(struct kf__rules *rules, const char *text, kf_time now, kf_error *error)
{
    kf_error own = KF_ERROR_INIT;
    struct script script = {.rules = rules, .error = &own, .now = now, .at = text};
    int32_t before = rules->last_id;
    uint64_t seed = rules->seed;
    while (*script.at && !script.failed) {
        script.line++;
        script.line_start = script.at;
        take_line(&script);
        script.at += strcspn(script.at, "\n");
        script.at += *script.at == '\n';
    }
    if (!script.failed)
        return KF_OK;
    kf__rules_clear_above(rules, before);
    rules->seed = seed;
    return kf_error_set(error, own.code, "%s", own.text);
}
