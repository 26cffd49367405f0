/* The cache of tokens: when the source is asked, by whom, and what the others get meanwhile. */
#include "net/failing_alloc.h"
#include "net/sasl/token.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    NOW = 1700000000000 / 1000, /* seconds */
};

static _Atomic int64_t now_ms;
static uint64_t random_number;
static struct kf__world world;
static struct kf__token_settings settings;
static struct kf__tokens *tokens;

/* The source: what it says, how often it was asked, and whether it takes its time. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int calls;
    int64_t life_ms; /* of the token that it gives; INT64_MAX: for ever */
    kf_err err;
    bool holds; /* it does not answer until this is over */
    bool is_asked;
} source = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static _Thread_local bool releases; /* this thread's look at the clock lets the source go on */

static void let_go(void)
{
    pthread_mutex_lock(&source.lock);
    source.holds = false;
    pthread_cond_broadcast(&source.changed);
    pthread_mutex_unlock(&source.lock);
}

static int64_t wall(void *context)
{
    (void)context;
    if (releases)
        let_go();
    return now_ms;
}

static uint64_t some_number(void *context)
{
    (void)context;
    return random_number;
}

static kf_err give(void *context, kf_sasl_token *token, kf_error *error)
{
    (void)context;
    pthread_mutex_lock(&source.lock);
    int number = ++source.calls;
    source.is_asked = true;
    pthread_cond_broadcast(&source.changed);
    while (source.holds)
        pthread_cond_wait(&source.changed, &source.lock);
    kf_err err = source.err;
    pthread_mutex_unlock(&source.lock);
    if (err)
        return kf_error_set(error, err, "refusal %d", number);
    snprintf(token->text, sizeof token->text, "token%d", number);
    if (source.life_ms)
        token->expires_at_ms = source.life_ms == INT64_MAX ? INT64_MAX : now_ms + source.life_ms;
    return KF_OK;
}

static void open_tokens(void)
{
    now_ms = (int64_t)NOW * 1000;
    world = (struct kf__world){.wall_ms = wall, .random = some_number};
    settings = (struct kf__token_settings){
        .provider = KF__TOKEN_CALLBACK, .get = give, .refresh_factor = 0.8};
    source.life_ms = 100000;
}

static void close_tokens(void) { kf__tokens_free(tokens); }

TestSuite(token, .init = open_tokens, .fini = close_tokens, .timeout = 60);

static void make(void)
{
    cr_assert(
        eq(int, kf__tokens_new(&kf_default_allocator, &world, &settings, &tokens, NULL), KF_OK));
}

static const char *get(void)
{
    static _Thread_local kf_sasl_token token;
    static _Thread_local kf_error error;
    error = (kf_error)KF_ERROR_INIT;
    return kf__tokens_get(tokens, &token, &error) ? error.text : token.text;
}

/* ---- when ---- */

Test(token, is_asked_for_again_when_its_part_of_life_has_passed)
{
    make();
    cr_expect(eq(str, (char *)get(), "token1"));
    now_ms += 79999;
    cr_expect(eq(str, (char *)get(), "token1"));
    now_ms += 1;
    cr_expect(eq(str, (char *)get(), "token2"));
}

Test(token, is_asked_for_each_time_where_its_end_is_not_known)
{
    source.life_ms = 0;
    make();
    cr_expect(eq(str, (char *)get(), "token1"));
    cr_expect(eq(str, (char *)get(), "token2"));
}

/* The largest factor and jitter that can be set: their sum is more than a whole life. */
Test(token, that_never_ends_is_kept)
{
    settings.refresh_factor = 1;
    settings.refresh_jitter = 0.25;
    random_number = 999;
    source.life_ms = INT64_MAX;
    make();
    cr_expect(eq(str, (char *)get(), "token1"));
    cr_expect(eq(str, (char *)get(), "token1"));
}

Test(token, goes_on_while_the_source_refuses_which_is_asked_again_in_ten_seconds)
{
    make();
    get();
    source.err = KF_ERR_TOKEN_UNAVAILABLE;
    now_ms += 85000;
    cr_expect(eq(str, (char *)get(), "token1"));
    cr_expect(eq(int, source.calls, 2));
    now_ms += 9999;
    cr_expect(eq(str, (char *)get(), "token1"));
    cr_expect(eq(int, source.calls, 2));
    now_ms += 1;
    cr_expect(eq(str, (char *)get(), "token1"));
    cr_expect(eq(int, source.calls, 3));
    now_ms += 5000;
    cr_expect(eq(str, (char *)get(), "refusal 4"));
}

/* ---- many at once ---- */

static char elsewhere[64];

static void *get_elsewhere(void *context)
{
    (void)context;
    snprintf(elsewhere, sizeof elsewhere, "%s", get());
    return NULL;
}

/* The source is asked by a thread of its own, and does not answer yet. */
static pthread_t ask_slowly(void)
{
    pthread_t thread;
    source.holds = true;
    source.is_asked = false;
    pthread_create(&thread, NULL, get_elsewhere, NULL);
    pthread_mutex_lock(&source.lock);
    while (!source.is_asked)
        pthread_cond_wait(&source.changed, &source.lock);
    pthread_mutex_unlock(&source.lock);
    return thread;
}

Test(token, that_is_good_is_used_while_a_new_one_is_asked_for)
{
    make();
    get();
    now_ms += 85000;
    pthread_t thread = ask_slowly();
    cr_expect(eq(str, (char *)get(), "token1"));
    let_go();
    pthread_join(thread, NULL);
    cr_expect(eq(str, elsewhere, "token2"));
    cr_expect(eq(str, (char *)get(), "token2"));
    cr_expect(eq(int, source.calls, 2));
}

/* The second looks at the clock with the lock held, before it waits: only then the source answers.
 */
Test(token, who_waits_for_the_source_shares_what_becomes_of_it)
{
    make();
    get();
    now_ms += 200000;
    source.err = KF_ERR_TOKEN_UNAVAILABLE;
    pthread_t thread = ask_slowly();
    releases = true;
    cr_expect(eq(str, (char *)get(), "refusal 2"));
    pthread_join(thread, NULL);
    cr_expect(eq(str, elsewhere, "refusal 2"));

    releases = false;
    source.err = KF_OK;
    thread = ask_slowly();
    releases = true;
    cr_expect(eq(str, (char *)get(), "token3"));
    pthread_join(thread, NULL);
    cr_expect(eq(str, elsewhere, "token3"));
    cr_expect(eq(int, source.calls, 3));
}

/* ---- sources ---- */

Test(token, is_read_from_its_file_each_time)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/kafiber-token-%d", (int)getpid());
    settings = (struct kf__token_settings){.provider = KF__TOKEN_FILE, .file = path};
    make();
    cr_expect(ne(ptr, strstr(get(), "can't be read"), NULL));
    FILE *file = fopen(path, "w");
    fputs("abc.def \n", file);
    fclose(file);
    cr_expect(eq(str, (char *)get(), "abc.def"));
    file = fopen(path, "w");
    for (int i = 0; i < KF_SASL_TOKEN_BYTES; i++)
        fputc('a', file);
    fclose(file);
    cr_expect(ne(ptr, strstr(get(), "is longer than 16383 bytes"), NULL));
    fclose(fopen(path, "w"));
    cr_expect(ne(ptr, strstr(get(), "is empty"), NULL));
    unlink(path);
}

Test(token, that_has_ended_already_is_refused)
{
    source.life_ms = -5000;
    make();
    cr_expect(ne(ptr, strstr(get(), "had expired 5 s before"), NULL));
}

Test(token, tells_when_memory_ends_at_any_point)
{
    settings.extensions = "a=b";
    settings.subject = "alice";
    settings.oidc.client_id = "id";
    settings.oidc.client_secret = "secret";
    settings.oidc.scope = "scope";
    kf_err err = KF_ERR_NO_MEMORY;
    int allowed = 0;
    for (; err && allowed < 50; allowed++) {
        struct failing_alloc memory;
        kf_allocator alloc = failing_alloc(&memory, allowed);
        struct kf__tokens *made = NULL;
        err = kf__tokens_new(&alloc, &world, &settings, &made, NULL);
        if (err)
            cr_expect(eq(int, err, KF_ERR_NO_MEMORY), "%d allocations", allowed);
        kf__tokens_free(made);
        cr_assert(eq(int, memory.live, 0), "%d allocations", allowed);
    }
    cr_expect(eq(int, err, KF_OK));
    cr_expect(eq(int, allowed, 7)); /* the struct and five texts */
}
