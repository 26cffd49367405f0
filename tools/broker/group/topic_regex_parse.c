/*
 * topic_regex_parse: from the expression's text to its program. A piece of the
 * program reaches from some state to the last one that is there; pieces join by
 * standing in a row.
 */
#include "tools/broker/group/topic_regex_program.h"

#include <string.h>

static void put(struct kf__regex_set *set, unsigned c)
{
    if (c < 128)
        set->bits[c / 64] |= UINT64_C(1) << (c % 64);
}

static void put_range(struct kf__regex_set *set, uint32_t first, uint32_t last)
{
    for (uint32_t c = first; c <= last && c < 128; c++)
        put(set, c);
}

static void invert(struct kf__regex_set *set)
{
    set->bits[0] = ~set->bits[0];
    set->bits[1] = ~set->bits[1];
}

static void unite(struct kf__regex_set *set, const struct kf__regex_set *more)
{
    set->bits[0] |= more->bits[0];
    set->bits[1] |= more->bits[1];
}

static void ignore_case(struct kf__regex_set *set)
{
    for (unsigned c = 'a'; c <= 'z'; c++)
        if (kf__regex_has(set, (unsigned char)c) || kf__regex_has(set, (unsigned char)(c - 32))) {
            put(set, c);
            put(set, c - 32);
        }
}

/* ---- letters ---- */

struct parser {
    struct kf__regex *regex;
    const char *at;
    const char *end;
    bool folds; /* (?i) */
    int depth;
    const char *why; /* the first error */
    kf_err err;
};

static void fail(struct parser *parser, const char *why)
{
    if (!parser->err) {
        parser->err = KF_ERR_INVALID_REGULAR_EXPRESSION;
        parser->why = why;
    }
    parser->at = parser->end;
}

static int32_t emit(struct parser *parser, struct kf__regex_state state)
{
    struct kf__regex *regex = parser->regex;
    if (parser->err)
        return 0;
    if (regex->count >= KF__REGEX_MAX_STATES) {
        fail(parser, "invalid repeat count");
        return 0;
    }
    if (regex->count == regex->capacity) {
        int32_t capacity = regex->capacity ? regex->capacity * 2 : 64;
        struct kf__regex_state *states =
            kf_realloc(regex->alloc, regex->states, (size_t)capacity * sizeof *states);
        if (!states) {
            parser->err = KF_ERR_NO_MEMORY;
            parser->at = parser->end;
            return 0;
        }
        regex->states = states;
        regex->capacity = capacity;
    }
    state.next = regex->count + 1;
    regex->states[regex->count] = state;
    return regex->count++;
}

static void emit_set(struct parser *parser, struct kf__regex_set set)
{
    if (parser->folds)
        ignore_case(&set);
    emit(parser, (struct kf__regex_state){.op = KF__REGEX_SET, .set = set});
}

static bool looks_at(const struct parser *parser, const char *text)
{
    size_t size = strlen(text);
    return (size_t)(parser->end - parser->at) >= size && memcmp(parser->at, text, size) == 0;
}

static bool take(struct parser *parser, const char *text)
{
    bool here = looks_at(parser, text);
    if (here)
        parser->at += strlen(text);
    return here;
}

/* The next letter's code point; what isn't UTF-8 is an error. */
static uint32_t take_letter(struct parser *parser)
{
    unsigned char c = (unsigned char)*parser->at++;
    int more = c < 0x80 ? 0 : c < 0xC2 ? -1 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : c < 0xF5 ? 3 : -1;
    if (more < 0 || parser->end - parser->at < more) {
        fail(parser, "invalid UTF-8");
        return 0;
    }
    uint32_t letter = more == 0 ? c : c & (0x3FU >> more);
    for (; more > 0; more--)
        letter = letter << 6 | ((unsigned char)*parser->at++ & 0x3FU);
    return letter;
}

/* \d and the like; false: no such class. */
static bool perl_class(char letter, struct kf__regex_set *set)
{
    *set = (struct kf__regex_set){0};
    switch (letter | 0x20) {
    case 'd':
        put_range(set, '0', '9');
        break;
    case 's':
        put_range(set, '\t', '\n');
        put_range(set, '\f', '\r');
        put(set, ' ');
        break;
    case 'w':
        put_range(set, '0', '9');
        put_range(set, 'A', 'Z');
        put_range(set, 'a', 'z');
        put(set, '_');
        break;
    default:
        return false;
    }
    if (letter < 'a')
        invert(set);
    return true;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static uint32_t take_hex(struct parser *parser)
{
    bool braced = take(parser, "{");
    uint32_t value = 0;
    int digits = 0;
    while (parser->at < parser->end && digit_of(*parser->at) >= 0 && (braced || digits < 2) &&
           value <= 0x10FFFF) {
        value = value * 16 + (uint32_t)digit_of(*parser->at++);
        digits++;
    }
    if (digits == 0 || value > 0x10FFFF || (!braced && digits != 2) ||
        (braced && !take(parser, "}")))
        fail(parser, "invalid escape sequence");
    return value;
}

/* \1 … \7 need a second digit, so that they are no back references; \0 doesn't. */
static uint32_t take_octal(struct parser *parser, char first)
{
    uint32_t value = (uint32_t)(first - '0');
    bool more = parser->at < parser->end && *parser->at >= '0' && *parser->at <= '7';
    if (first != '0' && !more)
        fail(parser, "invalid escape sequence");
    for (int i = 0; i < 2 && parser->at < parser->end && *parser->at >= '0' && *parser->at <= '7';
         i++)
        value = value * 8 + (uint32_t)(*parser->at++ - '0');
    return value;
}

/* What stands behind a backslash, where it is one letter. */
static uint32_t take_escape(struct parser *parser)
{
    static const char names[] = "afnrtv", letters[] = "\a\f\n\r\t\v";
    if (parser->at == parser->end) {
        fail(parser, "trailing backslash at end of expression");
        return 0;
    }
    char c = *parser->at;
    if ((unsigned char)c >= 0x80)
        return take_letter(parser);
    parser->at++;
    const char *named = strchr(names, c);
    if (named && c)
        return (uint32_t)letters[named - names];
    if (c == 'x')
        return take_hex(parser);
    if (c >= '0' && c <= '7')
        return take_octal(parser, c);
    bool is_word = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (is_word)
        fail(parser, "invalid escape sequence");
    return (uint32_t)(unsigned char)c;
}

/* ---- classes ---- */

/* [:name:]; false: it isn't one. */
static bool take_named(struct parser *parser, struct kf__regex_set *set)
{
    static const struct {
        const char *name;
        const char *ranges; /* pairs */
    } names[] = {
        {"alnum", "09AZaz"},
        {"alpha", "AZaz"},
        {"ascii", "\x01\x7F"},
        {"blank", "\t\t  "},
        {"cntrl", "\x01\x1F\x7F\x7F"},
        {"digit", "09"},
        {"graph", "!~"},
        {"lower", "az"},
        {"print", " ~"},
        {"punct", "!/:@[`{~"},
        {"space", "\t\r  "},
        {"upper", "AZ"},
        {"word", "09AZaz__"},
        {"xdigit", "09AFaf"},
    };
    const char *start = parser->at;
    if (!take(parser, "[:"))
        return false;
    bool negated = take(parser, "^");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[16];
        size_t size = strlen(names[i].name);
        memcpy(text, names[i].name, size);
        memcpy(text + size, ":]", 3);
        if (!take(parser, text))
            continue;
        struct kf__regex_set named = {0};
        for (const char *range = names[i].ranges; *range; range += 2)
            put_range(&named, (unsigned char)range[0], (unsigned char)range[1]);
        if (negated)
            invert(&named);
        unite(set, &named);
        return true;
    }
    bool closed = false;
    for (const char *at = parser->at; at + 1 < parser->end && !closed; at++)
        closed = at[0] == ':' && at[1] == ']';
    if (closed)
        fail(parser, "invalid character class range");
    parser->at = closed ? parser->end : start;
    return false;
}

static uint32_t take_class_letter(struct parser *parser)
{
    if (parser->at == parser->end) {
        fail(parser, "missing closing ]");
        return 0;
    }
    return take(parser, "\\") ? take_escape(parser) : take_letter(parser);
}

static bool take_class_escape(struct parser *parser, struct kf__regex_set *set)
{
    struct kf__regex_set more;
    if (parser->end - parser->at < 2 || *parser->at != '\\')
        return false;
    if (parser->at[1] == 'p' || parser->at[1] == 'P') {
        fail(parser, "invalid character class range");
        return true;
    }
    if (!perl_class(parser->at[1], &more))
        return false;
    parser->at += 2;
    unite(set, &more);
    return true;
}

/* From behind the opening bracket. */
static void parse_class(struct parser *parser)
{
    struct kf__regex_set set = {0};
    bool negated = take(parser, "^"), first = true;
    while (!parser->err && (first || !looks_at(parser, "]"))) {
        if (parser->at == parser->end) {
            fail(parser, "missing closing ]");
            return;
        }
        first = false;
        if (take_named(parser, &set) || take_class_escape(parser, &set))
            continue;
        uint32_t low = take_class_letter(parser), high = low;
        if (looks_at(parser, "-") && parser->end - parser->at > 1 && parser->at[1] != ']') {
            parser->at++;
            high = take_class_letter(parser);
            if (high < low)
                fail(parser, "invalid character class range");
        }
        put_range(&set, low, high);
    }
    take(parser, "]");
    if (parser->folds)
        ignore_case(&set);
    if (negated)
        invert(&set);
    emit(parser, (struct kf__regex_state){.op = KF__REGEX_SET, .set = set});
}

/* ---- groups, repetition, alternation ---- */

static void parse_alternation(struct parser *parser);

static void skip_name(struct parser *parser)
{
    const char *start = parser->at;
    while (parser->at < parser->end && *parser->at != '>')
        parser->at++;
    if (parser->at == start || !take(parser, ">"))
        fail(parser, "invalid named capture");
}

/* (?flags) or (?flags: ; true: a group follows. */
static bool parse_flags(struct parser *parser)
{
    bool off = false;
    while (parser->at < parser->end) {
        char c = *parser->at++;
        if (c == ':' || c == ')')
            return c == ':';
        if (c == '-' && !off)
            off = true;
        else if (c == 'i')
            parser->folds = !off;
        else if (c != 's' && c != 'm' && c != 'U')
            break;
    }
    fail(parser, "invalid or unsupported Perl syntax");
    return false;
}

/* From behind the opening parenthesis. */
static void parse_group(struct parser *parser)
{
    bool folds = parser->folds, is_group = true;
    if (++parser->depth > KF__REGEX_MAX_DEPTH) {
        fail(parser, "expression nests too deeply");
        return;
    }
    if (take(parser, "?P<") || take(parser, "?<"))
        skip_name(parser);
    else if (take(parser, "?"))
        is_group = parse_flags(parser);
    if (is_group) {
        parse_alternation(parser);
        if (!parser->err && !take(parser, ")"))
            fail(parser, "missing closing )");
        parser->folds = folds;
    }
    parser->depth--;
}

static void parse_quoted(struct parser *parser)
{
    while (parser->at < parser->end && !take(parser, "\\E")) {
        struct kf__regex_set set = {0};
        put(&set, take_letter(parser));
        emit_set(parser, set);
    }
}

static void parse_backslash(struct parser *parser)
{
    struct kf__regex_set set = {0};
    char c = parser->at < parser->end ? *parser->at : 0;
    if (c == 'A' || c == 'z' || c == 'b' || c == 'B') {
        parser->at++;
        enum kf__regex_op op = c == 'A'   ? KF__REGEX_BEGIN
                               : c == 'z' ? KF__REGEX_END
                               : c == 'b' ? KF__REGEX_EDGE
                                          : KF__REGEX_INSIDE;
        emit(parser, (struct kf__regex_state){.op = op});
    } else if (c == 'Q') {
        parser->at++;
        parse_quoted(parser);
    } else if (c == 'p' || c == 'P') {
        fail(parser, "invalid character class range");
    } else if (c && perl_class(c, &set)) {
        parser->at++;
        emit(parser, (struct kf__regex_state){.op = KF__REGEX_SET, .set = set});
    } else {
        put(&set, take_escape(parser));
        emit_set(parser, set);
    }
}

static void parse_atom(struct parser *parser)
{
    struct kf__regex_set set = {0};
    if (take(parser, "("))
        parse_group(parser);
    else if (take(parser, "["))
        parse_class(parser);
    else if (take(parser, "\\"))
        parse_backslash(parser);
    else if (take(parser, "^"))
        emit(parser, (struct kf__regex_state){.op = KF__REGEX_BEGIN});
    else if (take(parser, "$"))
        emit(parser, (struct kf__regex_state){.op = KF__REGEX_END});
    else if (take(parser, ".")) {
        invert(&set);
        emit(parser, (struct kf__regex_state){.op = KF__REGEX_SET, .set = set});
    } else {
        put(&set, take_letter(parser));
        emit_set(parser, set);
    }
}

/* {n}, {n,}, {n,m}; false: these are letters. -1: no limit. */
static bool take_bounds(struct parser *parser, int32_t *least, int32_t *most)
{
    const char *at = parser->at + 1;
    int64_t numbers[2] = {-1, -1};
    bool comma = false;
    for (; at < parser->end && *at != '}'; at++) {
        int64_t *number = &numbers[comma];
        if (*at == ',' && !comma && numbers[0] >= 0)
            comma = true;
        else if (*at >= '0' && *at <= '9')
            *number = *number > 100000 ? *number : (*number < 0 ? 0 : *number) * 10 + (*at - '0');
        else
            return false;
    }
    if (at == parser->end || numbers[0] < 0)
        return false;
    parser->at = at + 1;
    *least = (int32_t)numbers[0];
    *most = comma ? (int32_t)numbers[1] : *least;
    if (*least > KF__REGEX_MAX_REPEAT || *most > KF__REGEX_MAX_REPEAT ||
        (*most >= 0 && *most < *least))
        fail(parser, "invalid repeat count");
    return true;
}

static bool take_repetition(struct parser *parser, int32_t *least, int32_t *most)
{
    *least = 0;
    *most = -1;
    if (take(parser, "*"))
        return true;
    if (take(parser, "+"))
        *least = 1;
    else if (take(parser, "?"))
        *most = 1;
    else
        return looks_at(parser, "{") && take_bounds(parser, least, most);
    return true;
}

/* Another copy of the piece states[first … first+count) behind all that is there. */
static void emit_copy(struct parser *parser, const struct kf__regex_state *piece, int32_t first,
                      int32_t count)
{
    int32_t start = parser->regex->count;
    for (int32_t i = 0; i < count && !parser->err; i++) {
        struct kf__regex_state state = piece[i];
        int32_t next = state.next - first + start;
        int32_t at = emit(parser, state);
        if (parser->err)
            return;
        parser->regex->states[at].next = next;
        parser->regex->states[at].other = state.other - first + start;
    }
}

/* x? as often as it may come beyond the least, or x* at the end. */
static void emit_rest(struct parser *parser, const struct kf__regex_state *piece, int32_t first,
                      int32_t count, int32_t least, int32_t most)
{
    struct kf__regex *regex = parser->regex;
    for (int32_t i = least; i < most && !parser->err; i++) {
        int32_t split = emit(parser, (struct kf__regex_state){.op = KF__REGEX_SPLIT});
        emit_copy(parser, piece, first, count);
        if (!parser->err)
            regex->states[split].other = regex->count;
    }
    if (most >= 0 || parser->err)
        return;
    int32_t split = emit(parser, (struct kf__regex_state){.op = KF__REGEX_SPLIT});
    emit_copy(parser, piece, first, count);
    int32_t jump = emit(parser, (struct kf__regex_state){.op = KF__REGEX_JUMP});
    if (parser->err)
        return;
    regex->states[jump].next = split;
    regex->states[split].other = regex->count;
}

/* The piece from `first` on comes `least` to `most` times instead. */
static void repeat(struct parser *parser, int32_t first, int32_t least, int32_t most)
{
    struct kf__regex *regex = parser->regex;
    int32_t count = regex->count - first;
    size_t size = (size_t)count * sizeof(struct kf__regex_state);
    if (parser->err || count == 0)
        return;
    struct kf__regex_state *piece = kf_alloc(regex->alloc, size);
    if (!piece) {
        parser->err = KF_ERR_NO_MEMORY;
        return;
    }
    memcpy(piece, regex->states + first, size);
    regex->count = first;
    for (int32_t i = 0; i < least && !parser->err; i++)
        emit_copy(parser, piece, first, count);
    emit_rest(parser, piece, first, count, least, most);
    kf_free(regex->alloc, piece);
}

static void parse_repeated(struct parser *parser)
{
    int32_t first = parser->regex->count, least, most;
    if (take_repetition(parser, &least, &most)) {
        fail(parser, "missing argument to repetition operator");
        return;
    }
    parse_atom(parser);
    if (!take_repetition(parser, &least, &most))
        return;
    take(parser, "?"); /* lazy: whether a whole name matches is the same */
    repeat(parser, first, least, most);
    if (take_repetition(parser, &least, &most))
        fail(parser, "invalid nested repetition operator");
}

static void parse_sequence(struct parser *parser)
{
    while (!parser->err && parser->at < parser->end && *parser->at != '|' && *parser->at != ')')
        parse_repeated(parser);
}

/* Puts a state before the piece that begins at `first`. */
static void insert_split(struct parser *parser, int32_t first)
{
    struct kf__regex *regex = parser->regex;
    emit(parser, (struct kf__regex_state){.op = KF__REGEX_SPLIT});
    if (parser->err)
        return;
    for (int32_t i = regex->count - 1; i > first; i--) {
        regex->states[i] = regex->states[i - 1];
        regex->states[i].next++;
        if (regex->states[i].op == KF__REGEX_SPLIT)
            regex->states[i].other++;
    }
    regex->states[first] = (struct kf__regex_state){.op = KF__REGEX_SPLIT, .next = first + 1};
}

/* x|y|z: a split before each but the last, behind each a jump to the end of all. */
static void parse_alternation(struct parser *parser)
{
    struct kf__regex *regex = parser->regex;
    int32_t jumps = -1; /* the last one; each names the one before as its other */
    for (;;) {
        int32_t first = regex->count;
        parse_sequence(parser);
        if (parser->err || !take(parser, "|"))
            break;
        insert_split(parser, first);
        int32_t jump = emit(parser, (struct kf__regex_state){.op = KF__REGEX_JUMP, .other = jumps});
        if (parser->err)
            return;
        regex->states[first].other = regex->count;
        jumps = jump;
    }
    while (!parser->err && jumps >= 0) {
        regex->states[jumps].next = regex->count;
        jumps = regex->states[jumps].other;
    }
}

kf_err kf__regex_parse(struct kf__regex *regex, kf_string text, const char **why)
{
    struct parser parser = {.regex = regex, .at = text.data, .end = text.data + text.size};
    parse_alternation(&parser);
    if (!parser.err && parser.at < parser.end)
        fail(&parser, "regexp/syntax: internal error");
    emit(&parser, (struct kf__regex_state){.op = KF__REGEX_MATCH});
    if (parser.why)
        *why = parser.why;
    return parser.err;
}
