/*
 * groups: what a build was told to leave out is not found, and what remains works. A program of its
 * own, so that the small builds (minimal, musl, aarch64) run it too.
 */
#include <kafiber/messages.h>
#include <stdio.h>
#include <string.h>

#ifdef KAFIBER_WITH_JSON
static const bool with_json = true;
#else
static const bool with_json = false;
#endif
#ifdef KAFIBER_WITH_ADMIN
static const bool with_admin = true;
#else
static const bool with_admin = false;
#endif

static int failures;

static void check(bool holds, const char *what)
{
    if (!holds) {
        printf("FAILED: %s\n", what);
        failures++;
    }
}

static void check_registry(void)
{
    check(kf_schema_find("FetchRequest") == &kf_schema_of_fetch_request, "the client's by name");
    check(kf_schema_response(KF_API_JOIN_GROUP) == &kf_schema_of_join_group_response,
          "the client's by key");
    check((kf_schema_find("CreateTopicsRequest") != NULL) == with_admin, "the admin's by name");
    check((kf_schema_request(KF_API_CREATE_TOPICS) != NULL) == with_admin, "the admin's by key");
    check((kf_schema_response(KF_API_CREATE_TOPICS) != NULL) == with_admin, "its response");

    size_t count = 0;
    const kf_schema *schema;
    while ((schema = kf_schema_at(count)) != NULL) {
        check(kf_schema_find(kf_schema_name(schema)) == schema, kf_schema_name(schema));
        count++;
    }
    printf("%zu messages\n", count);
}

static void check_names(void)
{
    kf_field field;
    kf_fields walk = kf_fields_of(&kf_schema_of_find_coordinator_request);
    check(kf_fields_next(&walk, &field) && kf_fields_next(&walk, &field), "the second field");
    check(strcmp(field.name, with_json ? "key_type" : "") == 0, "its name");
    check(field.offset == offsetof(struct kf_find_coordinator_request, key_type), "its place");
}

static void check_messages(void)
{
    static const char wanted[] = "\0\5group\1";
    struct kf_find_coordinator_request request;
    kf_reset(&kf_schema_of_find_coordinator_request, &request);
    request.key = (kf_string){"group", 5};
    request.key_type = 1;

    kf_writer out, text;
    kf_writer_init(&out, &kf_default_allocator);
    kf_writer_init(&text, &kf_default_allocator);
    check(kf_encode(&kf_schema_of_find_coordinator_request, 1, &request, &out) == KF_OK, "encodes");
    check(out.used == 8 && memcmp(out.bytes, wanted, 8) == 0, "the right bytes");
    kf_err err = kf_to_json(&kf_schema_of_find_coordinator_request, 1, &request, &text);
    check(err == (with_json ? KF_OK : KF_ERR_NOT_BUILT), "JSON only where it was built");
    kf_writer_free(&text);
    kf_writer_free(&out);
}

int main(void)
{
    check_registry();
    check_names();
    check_messages();
    return failures != 0;
}
