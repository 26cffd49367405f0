/*
 * json_none: what a build without names says to who asks for JSON. It stands
 * in for json_read.c and json_write.c (KAFIBER_JSON=OFF).
 */
#include <kafiber/codec.h>

kf_err kf_to_json(const kf_schema *schema, int16_t version, const void *message, kf_writer *text)
{
    (void)schema, (void)version, (void)message;
    if (!text->err)
        text->err = KF_ERR_NOT_BUILT;
    return text->err;
}

kf_err kf_from_json(const kf_schema *schema, int16_t version, const char *text, size_t size,
                    kf_arena *arena, void *message, kf_error *error)
{
    (void)schema, (void)version, (void)text, (void)size, (void)arena, (void)message;
    if (error)
        kf_error_set(error, KF_ERR_NOT_BUILT, "this build reads no JSON (KAFIBER_JSON=OFF)");
    return KF_ERR_NOT_BUILT;
}
